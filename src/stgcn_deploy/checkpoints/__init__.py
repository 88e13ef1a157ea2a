"""Files of training codebases: unwrapped safely, recognised, accounted for."""
