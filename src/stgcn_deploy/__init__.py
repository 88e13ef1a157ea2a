"""From a trained skeleton-action checkpoint to verified, fast, running software."""

__version__ = "0.1.0"
