"""PaddlePaddle's .pdparams, as the tensors that PyTorch would have saved.

The file is a pickled dict: name -> numpy array, or (name of the variable, array) in some versions,
and a table of the variables' names.  What differs from PyTorch, and is undone here:

    batch normalisation   _mean, _variance          running_mean, running_var
    nn.Linear             weight is (in, out)       (out, in); convolutions are the same in both

Nothing but arrays is built from the file; Paddle itself is not needed.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stgcn_deploy.data.safe_pickle import builds_arrays
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)

__all__ = ["is_pickled_dict", "read_pdparams"]

NAME_TABLE = "StructuredToParameterName@@"
SPLIT_TABLE = "UnpackBigParamInfor@@"
RENAMED = {"_mean": "running_mean", "_variance": "running_var"}
# What may stand before the first value of a pickle.
PREAMBLE = {"PROTO", "FRAME", "MARK"}
MAX_DEPTH = 2
SAVE_HINT = "save it with paddle.save(layer.state_dict(), 'model.pdparams')"


def is_pickled_dict(path: Path) -> bool:
    """Whether the first object of a pickle is a dict: Paddle's, for PyTorch writes a number first."""
    try:
        with path.open("rb") as file:
            if file.read(1) != pickle.PROTO:
                return False
            file.seek(0)
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name not in PREAMBLE:
                    # An OrderedDict begins with its class, by one name or two.
                    return opcode.name == "EMPTY_DICT" or str(argument).startswith("collections")
    except (ValueError, OSError):
        return False
    return False


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what rebuilds numpy arrays and plain containers."""
        if builds_arrays(module, name):
            return super().find_class(module, name)
        if module.partition(".")[0] == "torch":
            raise CheckpointError(
                "a dict of tensors written by pickle.dump; write it with torch.save(dict, 'weights.pt')."
            )
        raise UnsafeFileError(
            f"the file asks for {module}.{name} while being read, which a Paddle state dict has no "
            f"need for and which could run code. If the weights are yours, {SAVE_HINT}."
        )


def read_pdparams(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The file's content with tensors as PyTorch has them, and what was changed, in words.

    Raises:
        UnsafeFileError: it names something that is not needed to build arrays.
        UnsupportedCheckpointError: a parameter is split into parts.
        CheckpointError: it is a dict, but not Paddle's.
        FileUnreadableError: damaged or truncated.
    """
    try:
        with path.open("rb") as file:
            # Arrays that Python 2 wrote keep their bytes in strings.
            loaded = _Unpickler(file, encoding="latin1").load()
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises anything
        raise FileUnreadableError(
            f"{path} is no complete Paddle state dict ({type(error).__name__}: {error}); copy or "
            "download it again."
        ) from None
    if not isinstance(loaded, Mapping) or not _is_paddles(loaded):
        raise CheckpointError(
            f"{path} is a plain pickle, but not Paddle's: no {NAME_TABLE!r}, and no batch "
            "normalisation with _mean and _variance in it. For weights of PyTorch, write the file "
            f"with torch.save(model.state_dict(), 'weights.pt'); for Paddle's, {SAVE_HINT}."
        )
    steps = ["a PaddlePaddle state dict"]
    return _converted(loaded, path, steps), steps


def _is_paddles(loaded: Mapping[Any, Any], depth: int = MAX_DEPTH) -> bool:
    if NAME_TABLE in loaded or any(str(key).rpartition(".")[2] in RENAMED for key in loaded):
        return True
    inside = (value for value in loaded.values() if isinstance(value, Mapping))
    return depth > 0 and any(_is_paddles(value, depth - 1) for value in inside)


def _array(value: object) -> np.ndarray[Any, Any] | None:
    """The array of an entry, bare or as (variable name, array)."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" else None


def _converted(
    loaded: Mapping[Any, Any], path: Path, steps: list[str], depth: int = MAX_DEPTH
) -> dict[str, Any]:
    """A dict of Paddle's with tensors for arrays; dicts inside it likewise."""
    if SPLIT_TABLE in loaded:
        raise UnsupportedCheckpointError(
            f"{path}: a parameter of over a thousand million elements, which Paddle splits into parts; "
            "no skeleton network has one. Is it the right file?"
        )
    found: dict[str, Any] = {}
    turned: list[str] = []
    for key, value in loaded.items():
        name = _renamed(str(key))
        array = _array(value)
        if isinstance(value, Mapping) and key != NAME_TABLE and depth:
            found[name] = _converted(value, path, steps, depth - 1)
        elif array is not None:
            found[name] = _tensor(array)
            # In the family only nn.Linear has a matrix for a weight.
            if name.endswith("weight") and array.ndim == 2:
                found[name] = found[name].T.contiguous()
                turned.append(name)
        elif isinstance(value, (str, int, float, bool, list)):
            found[name] = value
    if turned:
        steps.append(f"Linear weights transposed: {', '.join(turned)}")
    return found


def _renamed(key: str) -> str:
    head, dot, last = key.rpartition(".")
    return f"{head}{dot}{RENAMED.get(last, last)}"


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    native = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
    return torch.from_numpy(native)
