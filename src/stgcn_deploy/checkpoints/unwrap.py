"""From a file to its tensors, without running anything that the file brings along.

Containers met in the family: a raw state dict; a dict around it (`state_dict`, `model_state_dict`,
...) with training records; keys prefixed by DataParallel or Lightning; torch's zip and its older
pickle form; PaddlePaddle's pickled dict of arrays (see pdparams).  Only tensor-rebuilding functions
are ever called; records of other libraries become inert objects, and a file that names a function of
the standard library is refused.
"""

from __future__ import annotations

import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, _utils

from stgcn_deploy.checkpoints.pdparams import is_pickled_dict, read_pdparams
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    UnsafeFileError,
    UnsupportedCheckpointError,
)

__all__ = ["RECORD", "Container", "read_container"]

MAX_FILE_BYTES = 4 << 30
MAX_TENSORS = 100_000
WRAPPERS = (
    "state_dict", "model_state_dict", "model", "net", "network", "weights", "params",
    "ema", "model_ema", "module",
)  # fmt: skip
PREFIXES = ("module.", "model.", "net.", "0.", "student.")
# What NVIDIA TAO calls its encrypted archives; their content looks like a damaged zip.
ENCRYPTED_SUFFIXES = (".tlt", ".etlt")
# Under this key, our own training recipes say what the weights want; see record.
RECORD = "stgcn_deploy"
SAVE_HINT = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class Container:
    """What a file holds.

    Attributes:
        tensors: key -> tensor, prefixes removed.
        steps: what was unwrapped, in words, for `stgcn inspect`.
        meta: plain values found beside the tensors (strings, numbers), for class names and configs.
    """

    tensors: dict[str, Tensor]
    steps: tuple[str, ...]
    meta: Mapping[str, Any]


def read_container(path: Path) -> Container:
    """Read a checkpoint file.

    Raises:
        FileUnreadableError: missing, empty, truncated, too large.
        UnsafeFileError: reading it would run code.
        UnsupportedCheckpointError: TorchScript, a whole pickled module, an encrypted file.
        CheckpointError: it is no checkpoint at all.
    """
    _check_file(path)
    loaded, steps = _load(path)
    found, where = _descend(loaded, path)
    steps += where
    tensors, prefix_steps = _strip_prefixes(found)
    meta = _plain_meta(loaded) if isinstance(loaded, Mapping) else {}
    return Container(tensors, tuple(steps + prefix_steps), meta)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if size == 0:
        raise FileUnreadableError(f"{path} is empty; the copy or download did not finish.")
    if size > MAX_FILE_BYTES:
        raise FileUnreadableError(
            f"{path} has {size / 2**30:.1f} GiB; skeleton networks have megabytes (limit "
            f"{MAX_FILE_BYTES >> 30} GiB). Is it the right file?"
        )
    if path.suffix in ENCRYPTED_SUFFIXES:
        raise UnsupportedCheckpointError(
            f"{path} is an encrypted archive of NVIDIA TAO. Decrypt it with TAO and its passphrase "
            "first, and give the decrypted .pth."
        )
    if head[:4] == b"PK\x03\x04":
        _check_zip(path)
    elif head[:1] != b"\x80":
        raise CheckpointError(
            f"{path} is not a PyTorch checkpoint: it begins with {head!r}, expected a zip archive "
            "or a pickle. Give the .pt/.pth file (Paddle: .pdparams) that training saved."
        )


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise FileUnreadableError(
            f"{path} is a damaged or truncated zip archive; copy or download it again."
        ) from None
    names = [entry.filename.partition("/")[2] for entry in entries]
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        raise UnsupportedCheckpointError(
            f"{path} is a TorchScript archive: it holds a compiled program instead of a state "
            f"dict. Load it with torch.jit.load where it was made and {SAVE_HINT}."
        )
    if sum(entry.file_size for entry in entries) > MAX_FILE_BYTES:
        raise UnsafeFileError(f"{path} unpacks to more than {MAX_FILE_BYTES >> 30} GiB; refused.")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does in pickles: protocol 2 has no bytes and carries them as text."""
    return text.encode("latin1" if encoding == "latin1" else "utf-8")


# What a pickled checkpoint may name and really get.  Everything here builds values only.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("torch._utils", "_rebuild_tensor_v2"): _utils._rebuild_tensor_v2,  # noqa: SLF001
    ("torch._utils", "_rebuild_parameter"): _utils._rebuild_parameter,  # noqa: SLF001
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
}
_ALLOWED_TYPES = re.compile(r"^(\w+Storage|(float|bfloat|int|uint)\d+|bool)$")
# _codecs carries the bytes of pickled numpy arrays, which stay inert themselves.
_BENIGN_STDLIB = {
    "_codecs",
    "argparse",
    "collections",
    "datetime",
    "pathlib",
    "types",
    "enum",
    "uuid",
}
_BENIGN_BUILTINS = {"set", "frozenset", "slice", "complex", "bytearray", "object", "dict", "list"}


class Inert:
    """Stands for an object of a library that is not ours to run; holds nothing, does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        del args, kwargs

    def __setstate__(self, state: object) -> None:
        del state

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        del args, kwargs
        return self

    def append(self, item: object) -> None:
        """Lists of foreign classes are filled item by item."""

    def extend(self, items: object) -> None:
        """See append."""

    def __setitem__(self, key: object, value: object) -> None:
        """Dicts of foreign classes are filled pair by pair."""

    def __hash__(self) -> int:
        return id(self)


class RestrictedUnpickler(pickle.Unpickler):
    """Rebuilds tensors and plain containers; other libraries' classes become Inert.

    Raises:
        UnsafeFileError: from find_class, for anything of the standard library that could act.
        UnsupportedCheckpointError: a pickled nn.Module.
    """

    def find_class(self, module: str, name: str) -> Any:
        """The object called module.name, or a stand-in."""
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if module in ("torch", "torch.storage") and _ALLOWED_TYPES.match(name):
            return getattr(torch, name, None) or getattr(torch.storage, name)
        if module.startswith("torch.nn.modules"):
            raise UnsupportedCheckpointError(
                "the file is a whole pickled network (torch.save(model)), which needs the source "
                f"code it was made with; there, {SAVE_HINT}."
            )
        root = module.partition(".")[0]
        harmless = root in _BENIGN_STDLIB or (
            root in ("builtins", "__builtin__") and name in _BENIGN_BUILTINS
        )
        if (root in sys.stdlib_module_names or root == "__builtin__") and not harmless:
            raise UnsafeFileError(
                f"the file asks for {module}.{name} while being read, which would run code; a "
                f"checkpoint has no need for it. Do not open it elsewhere either; if the weights "
                f"are yours, {SAVE_HINT}."
            )
        return Inert


def _load(path: Path) -> tuple[Any, list[str]]:
    if is_pickled_dict(path):
        return read_pdparams(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True), []
    except Exception as first:  # torch raises many kinds here; the second attempt sorts them
        restricted = SimpleNamespace(
            __name__="stgcn_deploy.restricted_pickle",
            Unpickler=RestrictedUnpickler,
            load=lambda file, **options: RestrictedUnpickler(file, **options).load(),
        )
        try:
            loaded = torch.load(
                path, map_location="cpu", weights_only=False, pickle_module=restricted
            )
        except CheckpointError as error:
            raise type(error)(f"{path}: {error}") from None
        except Exception as second:
            raise FileUnreadableError(
                f"{path} cannot be read as a PyTorch checkpoint: {_first_line(second)} "
                f"({_first_line(first)}) The file is damaged, truncated, or of another kind."
            ) from None
        return loaded, ["objects of other libraries in it were left out"]


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:200]


def _is_state_dict(value: object) -> bool:
    """Mostly tensors, by key: what torch.save(model.state_dict()) writes."""
    if not isinstance(value, Mapping) or not value:
        return False
    tensors = sum(isinstance(item, Tensor) for item in value.values())
    return tensors * 2 > len(value) and all(isinstance(key, str) for key in value)


def _descend(loaded: Any, path: Path) -> tuple[Mapping[str, Any], list[str]]:
    """The state dict inside the usual wrappers, at most two deep."""
    value = loaded
    steps: list[str] = []
    for _ in range(3):
        if _is_state_dict(value):
            return value, steps
        if not isinstance(value, Mapping):
            break
        if isinstance(value.get("state_dict"), bytes) or value.get("state_dict_encrypted"):
            raise UnsupportedCheckpointError(
                f"{path}: the state dict is encrypted (NVIDIA TAO). Decrypt it with TAO and its "
                "passphrase first, and give the decrypted .pth."
            )
        inside = next((key for key in WRAPPERS if isinstance(value.get(key), Mapping)), None)
        whole = next((key for key in WRAPPERS if isinstance(value.get(key), Inert)), None)
        if inside is None and whole is not None:
            value = value[whole]
            break
        if inside is None:
            break
        steps.append(f"state dict taken from {inside!r}")
        others = [key for key in ("ema_state_dict", "model_ema") if key in value and key != inside]
        steps += [f"{key!r} is there too and was left" for key in others]
        value = value[inside]
    if isinstance(value, (Inert, torch.nn.Module)):
        raise UnsupportedCheckpointError(
            f"{path} is a whole pickled network (torch.save(model)), which needs the source code "
            f"it was made with; there, {SAVE_HINT}."
        )
    held = f"keys {sorted(map(str, value))[:8]}" if isinstance(value, Mapping) else type(value)
    raise CheckpointError(
        f"{path} holds no state dict (found {held}); expected tensors by name, or a dict with one "
        f"of {', '.join(WRAPPERS[:4])}. To make one, {SAVE_HINT}."
    )


def _strip_prefixes(found: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    if len(tensors) > MAX_TENSORS:
        raise CheckpointError(f"{len(tensors)} tensors; the limit is {MAX_TENSORS}.")
    steps: list[str] = []
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key[len(prefix) :]: tensor for key, tensor in tensors.items()}
        steps.append(f"prefix {prefix!r} removed")
    return tensors, steps


def _plain_meta(loaded: Mapping[Any, Any], depth: int = 2) -> dict[str, Any]:
    """Strings, numbers and lists of them beside the weights, two levels deep; our own record whole."""
    plain: dict[str, Any] = {}
    for key, value in loaded.items():
        if key == RECORD:
            plain[RECORD] = _json_like(value)
        elif isinstance(value, (str, int, float, bool)):
            plain[str(key)] = value
        elif isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            plain[str(key)] = list(value)
        elif isinstance(value, Mapping) and depth and not _is_state_dict(value):
            plain[str(key)] = _plain_meta(value, depth - 1)
    return plain


def _json_like(value: Any, depth: int = 8) -> Any:
    """What JSON can hold of a value; the rest becomes None, and is refused where it is read."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)) and depth:
        return [_json_like(item, depth - 1) for item in value]
    if isinstance(value, Mapping) and depth:
        return {str(key): _json_like(item, depth - 1) for key, item in value.items()}
    return None
