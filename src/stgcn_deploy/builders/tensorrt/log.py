"""What TensorRT says while it builds, kept, and what its errors mean for the one who reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Meaning", "Message", "Messages", "meaning_of"]

ERRORS = ("internal_error", "error")
# "[optimizer.cpp::computeCosts::3869] Error Code 10: Internal Error (", of the vendor's own source.
PREFIX = re.compile(r"^(?:\d+: )?(?:\[[\w./]+::[^\]]*\]\s*)?(?:Error Code \d+:\s*)?")
LONGEST = 400
KEPT = 4000


@dataclass(frozen=True)
class Message:
    """One message; `severity` is internal_error, error, warning, info or verbose."""

    severity: str
    text: str


@dataclass(frozen=True)
class Meaning:
    """A kind of error.

    Attributes:
        pattern: in the vendor's text; a group called `layer` is the layer's name.
        advice: what to try.
    """

    pattern: re.Pattern[str]
    advice: str


def _row(pattern: str, advice: str) -> Meaning:
    return Meaning(re.compile(pattern, re.IGNORECASE), advice)


# The first row that fits is taken, so what is more exact comes first.
MEANINGS = (
    _row(
        r"no importer registered for op: (?P<layer>\w+)|no op(?:erator)? importer.*?(?P<layer2>\w+)$"
        r"|could not find plugin|plugin not found|unsupported onnx|opset .*not supported",
        "this TensorRT does not know an operator of the graph; export with --opset 17 (TensorRT 8), or "
        "another --graph-form",
    ),
    _row(
        r"failed to open file|external data|could not open .*\.data|weights? file",
        "the weights that lie beside the graph were not found; keep model.onnx.data in the bundle, or "
        "export without --external-data",
    ),
    _row(
        r"initialization failure with error|no cuda-capable device|driver version is insufficient"
        r"|cuinit|cuda initialization",
        "the GPU or its driver cannot be used; see nvidia-smi, or on a Jetson the group `video`",
    ),
    _row(
        r"unsupported sm|sm .*(?:not|no longer) supported|target gpu sm|compute capability",
        "this GPU is none that the installed TensorRT supports; see NVIDIA's support matrix for the "
        "last version that does",
    ),
    _row(
        r"(?:could not find any implementation|no implementation).* for node (?P<layer>.+?)"
        r"(?: due to insufficient workspace.*)?[.)\s]*$",
        "give more --workspace, --precision fp32, another --opt-level, or export with another "
        "--graph-form",
    ),
    _row(
        r"insufficient workspace|sufficient workspace|workspace size",
        "give more --workspace",
    ),
    _row(
        r"out of memory|outofmemory|insufficient memory|memory allocation|cudamalloc"
        r"|requested amount of (?:gpu )?memory",
        "the device is out of memory: close what else runs on it, give less --workspace, a smaller "
        "--max-batch or --profile",
    ),
    _row(
        r"calibrat",
        "INT8 ranges could not be taken; give more or other --calib data, --calib-method minmax, or a "
        "graph that carries them: stgcn quantize --to int8 --for tensorrt",
    ),
    _row(
        r"optimization profile|k(?:min|opt|max)\b|profile",
        "the shapes do not fit the graph; choose others with --profile or --max-batch",
    ),
    _row(
        r"version tag|serialization|deserializ|magic tag|plan file|incompatible .*version",
        "the file is of another TensorRT version or GPU, or damaged; build it again here",
    ),
    _row(
        r"strongly typed|precision flag|type mismatch|same type|datatype",
        "the graph's types do not fit together; make it again with stgcn quantize --for tensorrt",
    ),
)


def meaning_of(text: str) -> Meaning | None:
    """What kind of error a text is; None where it is none that is known."""
    return next((one for one in MEANINGS if one.pattern.search(text)), None)


@dataclass
class Messages:
    """All messages of one build, the oldest of very many dropped.

    Attributes:
        tell: called with each, for progress.
        broken: what our own code raised while TensorRT called it; raised again when the call is over.
    """

    tell: Callable[[Message], None] | None = None
    broken: BaseException | None = None
    kept: list[Message] = field(default_factory=list)

    def add(self, severity: str, text: str) -> None:
        """Keep one.  Never raises: an exception must not pass through TensorRT's own frames."""
        message = Message(severity.lower(), text.strip())
        self.kept.append(message)
        if len(self.kept) > KEPT:
            del self.kept[: KEPT // 2]
        try:
            if self.tell:
                self.tell(message)
        except BaseException as error:  # also Ctrl-C
            self.hold(error)

    def hold(self, error: BaseException) -> None:
        """Keep the first exception of our own code for later."""
        self.broken = self.broken or error

    def raise_held(self) -> None:
        """Raise what our own code raised, if anything."""
        if self.broken is not None:
            held, self.broken = self.broken, None
            raise held

    @property
    def errors(self) -> tuple[str, ...]:
        """Texts of all errors."""
        return tuple(one.text for one in self.kept if one.severity in ERRORS)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Texts of all warnings."""
        return tuple(one.text for one in self.kept if one.severity == "warning")

    def diagnosis(self) -> str:
        """Why it failed: the layer, TensorRT's words, and what to try."""
        texts = [*self.errors, *self.warnings]
        told = next(((text, found) for text in texts if (found := meaning_of(text))), None)
        if told is None:
            words = (
                f"TensorRT says: {_short(texts[0])}. " if texts else "TensorRT gives no reason. "
            )
            return words + "Try --builder trtexec, whose log says more."
        text, meaning = told
        place = meaning.pattern.search(text)
        layer = next((one for one in place.groupdict().values() if one), None) if place else None
        where = f"at layer {_short(layer)!r}: " if layer else ""
        return f"{where}TensorRT says: {_short(text)}. What to try: {meaning.advice}."


def _short(text: str) -> str:
    """One line, without the place in the vendor's source."""
    plain = " ".join(PREFIX.sub("", text.strip()).split()).rstrip(".")
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 3] + "..."
