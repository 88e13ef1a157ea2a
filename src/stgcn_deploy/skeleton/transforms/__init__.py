"""What codebases do to a recording before their networks see it: numbers in, new numbers out.

Every function here is pure: its arguments keep their values.  Clips are (M, T, V, C).  The files are
about arrays; steps.py puts them in the form that a manifest can name and repeat.
"""

from __future__ import annotations

from stgcn_deploy.skeleton.transforms.normalize2d import prenormalize_2d
from stgcn_deploy.skeleton.transforms.normalize3d import prenormalize_3d
from stgcn_deploy.skeleton.transforms.sampling import uniform_indices
from stgcn_deploy.skeleton.transforms.sequence import Sequence

__all__ = ["Sequence", "prenormalize_2d", "prenormalize_3d", "uniform_indices"]
