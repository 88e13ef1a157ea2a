"""A user's ONNX file with one image as its input: opened with care, tried once, run by any thread.

Nothing in the file is believed: its size, where its weights lie and what comes out of it are checked
before a camera is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stgcn_deploy.backends.base import OpenOptions, TensorSpec
from stgcn_deploy.backends.onnxruntime import BACKEND
from stgcn_deploy.errors import BackendError, FileUnreadableError, UsageError, requires

__all__ = ["OnnxModel", "Outputs"]

# The largest pose networks have some hundred MB.
MAX_BYTES = 1 << 30
MAX_OUTPUT = 1 << 26
MAX_OUTPUTS = 16
SIDES = (32, 4096)
DTYPES = ("float32", "float16", "uint8")
# Images in one call of a graph whose batch is open: more only take memory.
MAX_BATCH = 8
EXTERNAL = 1

# What one image gave, in the graph's order, float32, without the batch axis.
Outputs = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class _Facts:
    """What a file says of itself: metadata, and the names of its weights."""

    metadata: dict[str, str]
    weights: frozenset[str]


class OnnxModel:
    """One graph on the CPU, one thread in each call; `run` may be called by several threads at a time.

    Args:
        usual: (W, H) of the image where the graph leaves it open.

    Attributes:
        size: (W, H) of the image that it takes.
        dtype: of its input: float32, float16 or uint8.
        batch: images in one call; None: any number, which was tried.
        names: of the outputs.
        shapes: of the outputs for one image, without the batch axis, as a first try gave them; axes that
            depend on what is in the image differ from try to try.
        metadata: what the exporter wrote beside the graph.
        weights: names of its weights.

    Raises:
        FileUnreadableError: no ONNX model, too large, or its weights lie elsewhere or not at all.
        UsageError: its input is no image.
        BackendError: the runtime does not load it, or it does not run.
    """

    def __init__(self, path: Path, *, usual: tuple[int, int]) -> None:
        self.path = path
        facts = _facts(path)
        self.metadata, self.weights = facts.metadata, facts.weights
        with requires("running a pose network", 'pip install "stgcn-deploy[live]"'):
            import onnxruntime  # noqa: F401
        self._session = BACKEND.open(path, OpenOptions(threads=1, parallel=False))
        try:
            self._input = _image_input(path, self._session.inputs)
            n, _, height, width = self._input.shape
            self.dtype = self._input.dtype
            self.batch = n if isinstance(n, int) else None
            self.size = (_side(path, width, usual[0]), _side(path, height, usual[1]))
            self.names = tuple(spec.name for spec in self._session.outputs)
            self.shapes = self._try()
        except BaseException:
            self._session.close()
            raise

    def _try(self) -> tuple[tuple[int, ...], ...]:
        if not 0 < len(self.names) <= MAX_OUTPUTS:
            raise UsageError(f"{self.path} has {len(self.names)} outputs, expected 1 or 2.")
        width, height = self.size
        # Grey, as the margins of images are: nobody is in it.
        blob = np.full((1, 3, height, width), 114, self.dtype)
        try:
            (found,) = self.run(blob)
        except BackendError as error:
            raise BackendError(
                f"{self.path} does not run on an image (1, 3, {height}, {width}): {error}"
            ) from error
        if self.batch is None and not self._takes_two(blob):
            self.batch = 1
        return tuple(one.shape for one in found)

    def _takes_two(self, blob: NDArray[Any]) -> bool:
        """Whether an open batch is one: exporters name an axis open that is fixed further inside."""
        try:
            return len(self.run(np.concatenate([blob, blob]))) == 2
        except BackendError:
            return False

    def run(self, blob: NDArray[Any]) -> list[Outputs]:
        """What each of the images (n, 3, H, W) gives.

        Raises:
            BackendError: the runtime failed, or gave something else than one row for each image.
        """
        size = self.batch or MAX_BATCH
        found: list[Outputs] = []
        for start in range(0, len(blob), size):
            part = blob[start : start + size]
            found += self._call(part, self.batch or len(part))[: len(part)]
        return found

    def _call(self, part: NDArray[Any], count: int) -> list[Outputs]:
        # A graph with a fixed batch is given empty images where there are fewer.
        filled = (
            np.pad(part, ((0, count - len(part)), *[(0, 0)] * 3)) if count > len(part) else part
        )
        given = self._session.run({self._input.name: filled})
        outputs = [given[name] for name in self.names]
        for name, one in zip(self.names, outputs, strict=True):
            if (
                one.ndim < 2
                or len(one) != count
                or one.size > MAX_OUTPUT
                or one.dtype.kind not in "fiu"
            ):
                raise BackendError(
                    f"{self.path.name}: output {name!r} is {one.dtype} {one.shape} for {count} image(s); "
                    "expected numbers whose first axis is the image."
                )
        return [
            tuple(one[row].astype(np.float32, copy=False) for one in outputs)
            for row in range(count)
        ]

    @property
    def described(self) -> str:
        """Its outputs for messages, e.g. "dets (1, 50, 5)"."""
        return ", ".join(
            f"{name} ({', '.join(map(str, (1, *shape)))})"
            for name, shape in zip(self.names, self.shapes, strict=True)
        )

    def close(self) -> None:
        """Release the runtime; `run` refuses afterwards."""
        self._session.close()


# ---- the file ------------------------------------------------------------------------------------


def _facts(path: Path) -> _Facts:
    """What the file says, once it is known that ONNX Runtime may open it."""
    with requires("reading an ONNX file", "pip install onnx"):
        import onnx
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileUnreadableError(f"cannot read the network {path}: {reason}.") from None
    if not path.is_file() or not size:
        raise FileUnreadableError(f"{path} is no file, or an empty one; expected an ONNX network.")
    if size > MAX_BYTES:
        raise FileUnreadableError(
            f"{path} has {size >> 20} MiB, which is no pose network: at most {MAX_BYTES >> 20} MiB."
        )
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise FileUnreadableError(f"{path} is no readable ONNX model: {error}") from None
    if not model.graph.node:
        raise FileUnreadableError(f"{path} holds no ONNX model, or one without a single node.")
    weights = set()
    for tensor in _tensors(model):
        weights.add(tensor.name)
        if tensor.data_location == EXTERNAL:
            _check_external(path, tensor)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return _Facts(metadata, frozenset(weights))


def _tensors(model: Any) -> Iterator[Any]:
    """All tensors of a model, those of inner graphs and functions too."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
        while nodes:
            for attribute in nodes.pop().attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
                graphs.extend(attribute.graphs)


def _check_external(path: Path, tensor: Any) -> None:
    """Weights beside the file stay beside it: a path out of its folder would read any file."""
    places = [entry.value for entry in tensor.external_data if entry.key == "location"]
    where = places[0] if places else ""
    folder = path.parent.resolve()
    inside = bool(where) and "\0" not in where and not Path(where).is_absolute()
    target = (folder / where).resolve() if inside else folder
    if not inside or folder not in target.parents:
        raise FileUnreadableError(
            f"{path} wants its weights from {where!r}, outside of its own folder; refused. Export it as "
            "one file."
        )
    if not target.is_file():
        raise FileUnreadableError(
            f"{path} needs {where!r} beside it, where its weights are; copy both files."
        )
    if target.stat().st_size > MAX_BYTES:
        raise FileUnreadableError(f"{target} is too large: at most {MAX_BYTES >> 20} MiB.")


# ---- its input -----------------------------------------------------------------------------------


def _image_input(path: Path, inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    listed = "; ".join(
        f"{one.name} {one.dtype} ({', '.join(map(str, one.shape))})" for one in inputs
    )
    wanted = "expected one input, an image (N, 3, H, W) of float32, float16 or uint8"
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise UsageError(f"{path} takes {listed or 'nothing'}; {wanted}.")
    found = inputs[0]
    count, channels = found.shape[:2]
    if channels == 1 or (isinstance(channels, int) and channels != 3) or found.dtype not in DTYPES:
        raise UsageError(f"{path} takes {listed}; {wanted}.")
    if isinstance(count, int) and not 0 < count <= 64:
        raise UsageError(f"{path} takes {listed}: {count} images in one call; expected 1 to 64.")
    return found


def _side(path: Path, given: int | str, usual: int) -> int:
    side = given if isinstance(given, int) else usual
    if not SIDES[0] <= side <= SIDES[1]:
        raise UsageError(
            f"{path}: images with a side of {side}; expected {SIDES[0]} to {SIDES[1]}."
        )
    return side
