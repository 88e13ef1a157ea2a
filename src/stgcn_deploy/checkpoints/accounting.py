"""Total key accounting: every tensor of a file is used once or refused by name, none is missing.

A codebase says, as plain data, which key of the file each tensor of the reference form comes from.
Loading is then a comparison of two sets, and there is no "strict=False" anywhere: a hand-edited head
or an added attention block loads nowhere silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stgcn_deploy.errors import CheckpointError, KeyMismatchError
from stgcn_deploy.registry import nearest

__all__ = ["KeyMap", "Tensors", "bn_keys", "load_tensors"]

BN_SUFFIXES = ("weight", "bias", "running_mean", "running_var")
# Written by training loops and of no use for inference; absent from some codebases' files.
BOOKKEEPING = (r"(^|\.)num_batches_tracked$", r"^data_preprocessor\.(mean|std)$")
MAX_LISTED = 8


class Tensors(Mapping[str, Tensor]):
    """The tensors of a file, with errors that name the file and the closest key.

    Attributes:
        where: the file, for messages.
        meta: plain values found beside the tensors.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], where: str, meta: Mapping[str, Any] | None = None
    ) -> None:
        self._tensors = dict(tensors)
        self.where = where
        self.meta = dict(meta or {})
        hollow = [key for key, tensor in self._tensors.items() if not tensor.numel()]
        if hollow:
            raise KeyMismatchError(
                f"{where}: tensor {hollow[0]!r} is empty, of shape "
                f"{tuple(self._tensors[hollow[0]].shape)}; the file is damaged or made by hand."
            )

    def __getitem__(self, key: str) -> Tensor:
        try:
            return self._tensors[key]
        except KeyError:
            raise KeyMismatchError(
                f"{self.where}: tensor {key!r} is missing{nearest(key, self._tensors)} The file "
                "was cut, renamed, or comes from a modified network; export the state dict of the "
                "original one."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def any(self, pattern: str) -> bool:
        """Whether a key matches the regular expression `pattern` (searched, not anchored)."""
        return any(re.search(pattern, key) for key in self._tensors)

    def indices(self, pattern: str) -> int:
        """How many consecutive indices 0, 1, .. the one group of `pattern` takes over all keys.

        Raises:
            KeyMismatchError: none, or an index is left out.
        """
        found = {int(m[1]) for key in self._tensors if (m := re.match(pattern, key))}
        if not found or found != set(range(len(found))):
            raise KeyMismatchError(
                f"{self.where}: blocks {sorted(found)} found under {pattern!r}, expected 0, 1, 2, "
                "... without a gap; a block is missing or renamed."
            )
        return len(found)


@dataclass(frozen=True)
class KeyMap:
    """Where the tensors of the reference form come from.

    Attributes:
        sources: name in the reference form -> key in the file.
        unused: regular expressions of keys that the codebase writes and never uses.
    """

    sources: Mapping[str, str]
    unused: tuple[str, ...] = ()


def bn_keys(ours: str, theirs: str) -> dict[str, str]:
    """The four tensors of a batch normalisation, renamed."""
    return {f"{ours}.{suffix}": f"{theirs}.{suffix}" for suffix in BN_SUFFIXES}


def conv_keys(ours: str, theirs: str) -> dict[str, str]:
    """Weight and bias, renamed."""
    return {f"{ours}.{suffix}": f"{theirs}.{suffix}" for suffix in ("weight", "bias")}


def load_tensors(network: torch.nn.Module, tensors: Tensors, key_map: KeyMap) -> torch.nn.Module:
    """Fill the reference form from a file; all keys accounted for.

    Raises:
        KeyMismatchError: missing or unknown keys, or a shape that does not fit.
        CheckpointError: NaN or infinite values.
    """
    expected = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    unmapped = sorted(set(expected) ^ set(key_map.sources))
    if unmapped:
        raise AssertionError(f"key map and reference form disagree about {unmapped}")
    _check_keys(tensors, key_map)
    state: dict[str, Tensor] = {}
    for name, target in expected.items():
        key = key_map.sources[name]
        state[name] = _fit(tensors[key], target, f"{tensors.where}: tensor {key!r}")
    network.load_state_dict(state, strict=False)  # only num_batches_tracked is left out, see above
    return network.eval()


def _check_keys(tensors: Tensors, key_map: KeyMap) -> None:
    wanted = set(key_map.sources.values())
    ignorable = re.compile("|".join((*BOOKKEEPING, *key_map.unused)))
    missing = sorted(wanted - set(tensors))
    unknown = sorted(key for key in set(tensors) - wanted if not ignorable.search(key))
    if not missing and not unknown:
        return
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing: {_listed(missing)}")
    if unknown:
        parts.append(f"{len(unknown)} unknown: {_listed(unknown)}")
    renamed = nearest(missing[0], unknown) if missing and unknown else "."
    raise KeyMismatchError(
        f"{tensors.where}: the tensors do not fit the network they belong to; {'; '.join(parts)}"
        f"{renamed} Nothing is loaded partially: a network with other layers than its codebase "
        "predicts wrongly in silence."
    )


def _listed(keys: Iterable[str]) -> str:
    names = list(keys)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _fit(tensor: Tensor, target: Tensor, what: str) -> Tensor:
    """`tensor` as float32 of the target's shape; only axes of length 1 may differ (fc as 1x1 conv)."""
    if not torch.is_floating_point(tensor):
        raise KeyMismatchError(f"{what} has dtype {tensor.dtype}, expected floating point.")
    squeezed = [size for size in tensor.shape if size != 1]
    if squeezed != [size for size in target.shape if size != 1]:
        raise KeyMismatchError(
            f"{what} has shape {tuple(tensor.shape)}, expected {tuple(target.shape)}."
        )
    tensor = tensor.detach().to(torch.float32).reshape(target.shape).clone()
    if not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise CheckpointError(
            f"{what} holds {bad} NaN or infinite value(s): training diverged or the file is "
            "damaged; use an earlier checkpoint."
        )
    return tensor
