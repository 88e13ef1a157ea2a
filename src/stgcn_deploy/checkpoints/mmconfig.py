"""Training configs of PYSKL and MMAction2 read as text, for what a checkpoint file lacks.

Such a config is a Python file that its own framework executes.  Here it is parsed and never run:
literals, `dict(...)`, names set earlier and plain arithmetic are evaluated by this module, anything
else becomes `Unknown` and is listed with its line.  A statement that is not evaluated takes the
values that it may change with it, so that no outdated value is reported.
Work and memory are bounded by the limits below, whatever the file says.
"""

from __future__ import annotations

import ast
import io
import operator
import re
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from stgcn_deploy.checkpoints.base import Hints, Origin
from stgcn_deploy.errors import (
    CheckpointError,
    FileUnreadableError,
    UnsupportedCheckpointError,
    UsageError,
)
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = [
    "ConfigHints",
    "MMConfig",
    "Section",
    "Skipped",
    "Unknown",
    "contradictions",
    "hints_from_config",
    "parse_config_text",
    "read_config",
    "to_hints",
]

MAX_BYTES = 1_000_000  # of one file, and of a config with its base files
MAX_TOKENS = 200_000
MAX_SKIPPED = 2_000
MAX_BRACKETS = 60
MAX_CHAIN = 200  # tokens between two commas of one bracket: bounds `1 + 1 + ...` and `- - - x`
MAX_NUMBER_CHARS = 40
MAX_DEPTH = 100
MAX_RESULT = 10_000  # elements or characters of one computed list or string
MAX_WORK = 1_000_000  # the same over the whole config
MERGE_COST = 10  # work that counts for merging one entry of a dict
MAX_INT_BITS = 256
MAX_BASE_DEPTH = 8
MAX_BASE_FILES = 32
MAX_STAGES = 100
MAX_DATASET_WRAPS = 4

Value = Any


@dataclass(frozen=True)
class Unknown:
    """Stands for a value that only running the config would give.

    Attributes:
        reason: what stood in the way, as a noun phrase ("a call of osp.join").
        place: file and line.
    """

    reason: str
    place: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.place})"


@dataclass(frozen=True)
class Skipped:
    """One thing in a config that was not evaluated."""

    where: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.where}, line {self.line}: {self.what}"


class _Absent:
    """The type of ABSENT: a key that is certainly not there, or a value that was not computed."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


class Section(dict[Any, Any]):
    """A dict of a config that remembers where it and its keys were written.

    Attributes:
        place: file and line of the dict.
        places: key -> file and line.
        rest: set where keys beyond the listed ones may exist (a missing base file, `**unknown`).
    """

    def __init__(self, place: str = "", rest: Unknown | None = None) -> None:
        super().__init__()
        self.place = place
        self.places: dict[Any, str] = {}
        self.rest = rest

    def put(self, key: Any, value: Value, place: str) -> None:
        """Set a key, with where it was said."""
        self[key] = value
        self.places[key] = place

    def find(self, key: Any) -> Value:
        """The value; Unknown where it may be there unseen; ABSENT where it is certainly not."""
        if key in self:
            return self[key]
        return ABSENT if self.rest is None else self.rest

    def where(self, key: Any) -> str:
        """File and line of a key."""
        return self.places.get(key, self.place)

    def spoil(self, unknown: Unknown) -> None:
        """Forget everything: code that is not run may have changed it."""
        for key in self:
            self[key] = unknown
        self.rest = unknown


@dataclass(frozen=True)
class MMConfig:
    """A config as far as it can be known without running it.

    Attributes:
        where: its path, or what the text was taken from.
        values: the top-level names, base files merged in.
        skipped: what was not evaluated, with lines.
        files: every file read, base files first.
    """

    where: str
    values: Section
    skipped: tuple[Skipped, ...] = ()
    files: tuple[str, ...] = ()


# ---- reading files ---------------------------------------------------------------------------


@dataclass
class _Reading:
    """What the reading of one config shares with that of its base files."""

    skipped: list[Skipped] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    work: int = 0
    size: int = 0

    def spend(self, amount: int, where: str) -> None:
        self.work += amount
        if self.work > MAX_WORK:
            raise CheckpointError(
                f"{where} computes or merges more than {MAX_WORK:,} values, which no training "
                "config needs; give the config that the checkpoint was trained with."
            )


@dataclass(frozen=True)
class _Source:
    """One text with where it came from; `chain` is the way from the first file to this one."""

    text: str
    where: str
    folder: Path | None = None
    chain: tuple[Path, ...] = ()


def read_config(path: Path | str) -> MMConfig:
    """Read an MMAction2 1.x or PYSKL config and its base files, running nothing.

    Raises:
        FileUnreadableError: missing, no text, or too large.
        UsageError: a JSON or YAML file.
        CheckpointError: not Python, nested or multiplied beyond reason, base files in a circle.
    """
    path = Path(path)
    if path.suffix.lower() in (".json", ".yaml", ".yml"):
        raise UsageError(
            f"{path}: only Python configs (.py) are read, not {path.suffix}; give the .py that "
            "the network was trained with."
        )
    source = _Source(_file_text(path), str(path), path.parent, (path.resolve(),))
    reading = _Reading()
    values = _load(source, reading)
    return MMConfig(source.where, values, tuple(reading.skipped), tuple(reading.files))


def parse_config_text(text: str, where: str) -> MMConfig:
    """Read a config given as text, such as the one that mmengine stores in a checkpoint's meta.

    Args:
        text: the Python text.
        where: what it was taken from, for messages ("meta['cfg'] of best.pth").

    Raises:
        CheckpointError: not Python, or nested or multiplied beyond reason.
    """
    reading = _Reading()
    values = _load(_Source(text, where), reading)
    return MMConfig(where, values, tuple(reading.skipped), tuple(reading.files))


def _too_large(where: str, size: int) -> str:
    return (
        f"{where} has {size:,} bytes; training configs have thousands (limit {MAX_BYTES:,}). "
        "Give the config .py, not the checkpoint or a log."
    )


def _file_text(path: Path) -> str:
    if not path.exists():
        raise FileUnreadableError(f"{path} does not exist; give the training config, a .py file.")
    if not path.is_file():
        raise FileUnreadableError(f"{path} is not a file; give the training config, a .py file.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileUnreadableError(f"cannot read {path}: {error.strerror}.") from None
    if len(content) > MAX_BYTES:
        raise FileUnreadableError(_too_large(str(path), path.stat().st_size))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileUnreadableError(
            f"{path} is not UTF-8 text (byte {error.start}); give the config .py, not the "
            "checkpoint."
        ) from None


def _load(source: _Source, reading: _Reading) -> Section:
    reading.size += len(source.text)
    if reading.size > MAX_BYTES:
        raise CheckpointError(_too_large(f"{source.where} with its base files", reading.size))
    tree = _parse(source)
    base = _bases(tree, source, reading)
    evaluator = _Evaluator(source.where, base, reading)
    evaluator.run(tree.body)
    if source.folder is not None:
        reading.files.append(source.where)
    return _merge(evaluator.names, base, source.where, reading)


def _parse(source: _Source) -> ast.Module:
    # Lone carriage returns end lines for the parser but not for tokenize, which checks depth.
    text = source.text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise CheckpointError(
            f"{source.where} contains null bytes: it is not a Python config. Give the config .py."
        )
    try:
        _check_nesting(text, source.where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings of somebody else's file
            return ast.parse(text)
    except SyntaxError as error:
        reason, line = error.msg, error.lineno or 1
    except tokenize.TokenError as error:
        reason, line = str(error.args[0]), error.args[1][0]
    except (MemoryError, RecursionError, ValueError):
        raise CheckpointError(_too_deep(source.where, 1)) from None
    raise CheckpointError(
        f"{source.where}, line {line}: not Python ({reason}); expected an MMAction2 or PYSKL "
        "config such as `model = dict(...)`. Correct the line, or give the unchanged config."
    )


def _too_deep(where: str, line: int) -> str:
    return (
        f"{where}, line {line}: nested or chained deeper than any training config; it is not "
        "read further. Give the config that the checkpoint was trained with."
    )


_COUNTED = (tokenize.NAME, tokenize.NUMBER, tokenize.OP)


def _check_nesting(text: str, where: str) -> None:
    """Refuse what could exhaust the stack of Python's own parser, before it sees it."""
    chains = [0]
    for number, token in enumerate(tokenize.generate_tokens(io.StringIO(text).readline)):
        line = token.start[0]
        if number > MAX_TOKENS:
            raise CheckpointError(
                f"{where} has more than {MAX_TOKENS:,} words and signs; training configs have "
                "thousands. Give the config that the checkpoint was trained with."
            )
        if token.type == tokenize.NUMBER and len(token.string) > MAX_NUMBER_CHARS:
            raise CheckpointError(
                f"{where}, line {line}: a number of {len(token.string)} digits, expected at most "
                f"{MAX_NUMBER_CHARS}; give the config that the checkpoint was trained with."
            )
        if token.type == tokenize.NEWLINE:
            chains[-1] = 0
        if token.type not in _COUNTED:
            continue
        if token.string in (",", ";"):
            chains[-1] = 0
        elif token.string in ("(", "[", "{"):
            chains[-1] += 1
            chains.append(0)
        elif token.string in (")", "]", "}"):
            del chains[max(1, len(chains) - 1) :]
        else:
            chains[-1] += 1
        if len(chains) > MAX_BRACKETS or chains[-1] > MAX_CHAIN:
            raise CheckpointError(_too_deep(where, line))


# ---- base files ------------------------------------------------------------------------------

BASE = "_base_"
DELETE = "_delete_"


def _bases(tree: ast.Module, source: _Source, reading: _Reading) -> Section:
    """The base files of a config, side by side in one Section."""
    merged = Section(source.where)
    for statement in tree.body:
        if not (isinstance(statement, ast.Assign) and _is_name(statement.targets[0], BASE)):
            continue
        for entry in _base_entries(statement, source, reading):
            found = _base_file(entry, statement.lineno, source, reading)
            for key in found.keys() & merged.keys():
                what = f"base files set {key!r} twice; the last one is used"
                reading.skipped.append(Skipped(source.where, statement.lineno, what))
            for key, value in found.items():
                merged.put(key, value, found.where(key))
            merged.rest = merged.rest or found.rest
        break  # mmengine takes the first one
    return merged


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _base_entries(
    statement: ast.Assign, source: _Source, reading: _Reading
) -> Iterator[str | Unknown]:
    value = _Evaluator(source.where, Section(), reading).value(statement.value)
    entries = value if isinstance(value, (list, tuple)) else [value]
    if len(entries) > MAX_BASE_FILES:
        raise CheckpointError(_too_many_bases(source, statement.lineno))
    for entry in entries:
        if isinstance(entry, (str, Unknown)):
            yield entry
        else:
            yield Unknown("a base that is not a path", f"{source.where}, line {statement.lineno}")


def _too_many_bases(source: _Source, line: int) -> str:
    return (
        f"{source.where}, line {line}: more than {MAX_BASE_DEPTH} levels or {MAX_BASE_FILES} base "
        "files; give one merged config (`Config.fromfile(...).dump('merged.py')`)."
    )


# mmaction2's own file of hooks and logging, usually left behind: it says nothing about networks.
_HARMLESS_BASES = ("default_runtime.py",)


def _base_file(entry: str | Unknown, line: int, source: _Source, reading: _Reading) -> Section:
    """One base file's values; an all-unknown Section, with a record, where it cannot be read."""
    found: Section | str
    if isinstance(entry, Unknown):
        found = "its name is not known without running the config"
    else:
        found = _follow(entry, line, source, reading)
    if isinstance(found, Section):
        return found
    shown = repr(entry) if isinstance(entry, str) else str(entry)
    reading.skipped.append(Skipped(source.where, line, f"base file {shown}: {found}"))
    if isinstance(entry, str) and Path(entry).name in _HARMLESS_BASES:
        return Section(source.where)
    unread = Unknown(f"base file {shown}, which was not read", f"{source.where}, line {line}")
    return Section(source.where, unread)


def _follow(entry: str, line: int, source: _Source, reading: _Reading) -> Section | str:
    """A base file's values, or why they cannot be had."""
    if source.folder is None:
        return "a text has no folder to look in"
    if "::" in entry or "{{" in entry or Path(entry).is_absolute():
        return "only paths relative to the config are followed"
    if Path(entry).suffix != ".py":
        return "only Python configs (.py) are read"
    path = source.folder / entry
    try:
        real = path.resolve()
        text = _file_text(path)
    except (OSError, RuntimeError, ValueError, FileUnreadableError) as error:
        return str(error).rstrip(".")
    if real in source.chain:
        way = " -> ".join(file.name for file in (*source.chain, real))
        raise CheckpointError(
            f"{source.where}, line {line}: base files in a circle ({way}); remove one `_base_`."
        )
    if len(source.chain) > MAX_BASE_DEPTH or len(reading.files) >= MAX_BASE_FILES:
        raise CheckpointError(_too_many_bases(source, line))
    return _load(_Source(text, str(path), path.parent, (*source.chain, real)), reading)


def _merge(child: Section, base: Section, where: str, reading: _Reading, depth: int = 0) -> Section:
    """A child config over its base, the way mmengine does: dicts merge, anything else replaces."""
    reading.spend(MERGE_COST * (len(child) + len(base) + 1), where)
    if depth > MAX_DEPTH:
        raise CheckpointError(_too_deep(where, 1))
    merged = Section(child.place, child.rest or base.rest)
    for key, value in base.items():
        merged.put(key, child.rest or value, base.where(key))
    for key, value in child.items():
        nested = isinstance(value, Section)
        kept = _inherit(value, base.find(key), where, reading, depth) if nested else value
        merged.put(key, kept, child.where(key))
    merged.pop(DELETE, None)
    return merged


def _inherit(
    child: Section, inherited: Value, where: str, reading: _Reading, depth: int
) -> Section | Unknown:
    delete = child.find(DELETE) if DELETE in child else False
    if isinstance(delete, Unknown):
        return delete
    if delete:
        inherited = Section(child.place)
    if inherited is ABSENT:
        return child
    if isinstance(inherited, Unknown):
        inherited = Section(child.place, inherited)
    if not isinstance(inherited, Section):
        what = f"a dict over a base's {type(inherited).__name__}, which mmengine refuses"
        return Unknown(what, child.place)
    return _merge(child, inherited, where, reading, depth + 1)


# ---- evaluation ------------------------------------------------------------------------------

_NUMBERS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_KINDS = {
    ast.Attribute: "an attribute",
    ast.BoolOp: "and / or",
    ast.Compare: "a comparison",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "a conditional expression",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "an assignment inside an expression",
    ast.SetComp: "a comprehension",
    ast.Assert: "an assert",
    ast.AsyncFunctionDef: "a function",
    ast.ClassDef: "a class",
    ast.Delete: "a del",
    ast.Expr: "an expression",
    ast.For: "a loop",
    ast.FunctionDef: "a function",
    ast.If: "an if",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.Try: "a try",
    ast.While: "a loop",
    ast.With: "a with",
}
_MUTATORS = (
    "append", "clear", "extend", "insert", "merge_from_dict", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update", "__delitem__", "__setitem__",
)  # fmt: skip
_ALL_POWERFUL = frozenset(f"a call of {name}" for name in ("exec", "globals", "locals", "vars"))
_PERCENT = re.compile(r"%(?:\((?P<key>\w+)\))?-?0?\d{0,2}(?:\.\d{1,2})?[sdirfeEgG]|%%|(?P<bad>%)")
_FORMAT_SPEC = re.compile(r"[<>^]?0?\d{0,2}(?:\.\d{1,2})?[sdfeEgG]?")
_TEMPLATE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")


def _is_scalar(value: Value) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float))


def _is_key(value: Value) -> bool:
    # Small integers only: larger ones can be chosen to collide, which makes a dict quadratic.
    small = isinstance(value, int) and abs(value) < 1 << 31
    return small or value is None or isinstance(value, str)


def _called(node: ast.Call) -> str:
    parts: list[str] = []
    func: ast.expr = node.func
    while isinstance(func, ast.Attribute):
        parts.append(func.attr)
        func = func.value
    parts.append(func.id if isinstance(func, ast.Name) else "(...)")
    return f"a call of {'.'.join(reversed(parts))[:60]}"


def _changed(node: ast.AST) -> ast.expr | None:
    """The expression whose value a node changes in place: `x` of `x[0] = 1` and of `x.clear()`."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        return node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in _MUTATORS else None
    return None


class _Evaluator:
    """Evaluates one file's statements into `names`."""

    def __init__(self, where: str, base: Section, reading: _Reading) -> None:
        self.where = where
        self.base = base
        self.reading = reading
        self.names = Section(where)
        self._depth = 0
        self._expressions: Mapping[type[ast.AST], Callable[[Any], Value]] = {
            ast.Attribute: self._attribute,
            ast.BinOp: self._binary,
            ast.Call: self._call,
            ast.Constant: self._constant,
            ast.Dict: self._dict,
            ast.JoinedStr: self._joined,
            ast.List: lambda node: self._items(node.elts),
            ast.Name: self._name,
            ast.Set: self._set,
            ast.Subscript: self._subscript,
            ast.Tuple: lambda node: tuple(self._items(node.elts)),
            ast.UnaryOp: self._unary,
        }
        self._statements: Mapping[type[ast.AST], Callable[[Any], None]] = {
            ast.AnnAssign: self._annotated,
            ast.Assert: lambda node: self._record(node, "an assert"),
            ast.Assign: self._assignment,
            ast.AugAssign: self._augmented,
            ast.Expr: self._expression,
            ast.Import: self._import,
            ast.ImportFrom: self._import,
            ast.Pass: lambda _: None,
        }

    # Bookkeeping.

    def _place(self, node: ast.AST) -> str:
        return f"{self.where}, line {getattr(node, 'lineno', 1)}"

    def _record(self, node: ast.AST, what: str) -> None:
        if len(self.reading.skipped) >= MAX_SKIPPED:
            raise CheckpointError(
                f"{self.where} has more than {MAX_SKIPPED:,} places that only running it would "
                "resolve; give the config that the checkpoint was trained with."
            )
        self.reading.skipped.append(Skipped(self.where, getattr(node, "lineno", 1), what))

    def _unknown(self, node: ast.AST, what: str = "", handles: bool = False) -> Unknown:
        """Record what is not evaluated, and forget whatever it may change.

        Args:
            node: the statement or expression.
            what: its kind, in words.
            handles: whether everything that it mentions counts as changed.
        """
        what = what or (
            _called(node) if isinstance(node, ast.Call)
            else _KINDS.get(type(node), f"a {type(node).__name__}")
        )  # fmt: skip
        self._record(node, what)
        unknown = Unknown(what, self._place(node))
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                if not isinstance(part.ctx, ast.Load):
                    self.names.put(part.id, unknown, unknown.place)
                elif handles:
                    self._forget(self.names.find(part.id), unknown)
            elif (changed := _changed(part)) is not None:
                self._forget(self._container(changed), unknown)
            elif isinstance(part, ast.Call) and _called(part) in _ALL_POWERFUL:
                self.reading.spend(len(self.names), self.where)
                self.names.spoil(unknown)
        return unknown

    def _forget(self, value: Value, unknown: Unknown) -> None:
        """Make a dict or list unknown, with all that it holds: other names may lead there, too."""
        stack, seen = [value], set()
        while stack:
            container = stack.pop()
            if id(container) in seen or not isinstance(container, (Section, list, tuple)):
                continue
            seen.add(id(container))
            self.reading.spend(len(container) + 1, self.where)
            if isinstance(container, Section):
                stack += container.values()
                container.spoil(unknown)
                continue
            stack += container
            if isinstance(container, list):
                container[:] = [unknown]

    def _container(self, node: ast.expr) -> Value:
        """What a path such as `model['backbone']` leads to, or the last known dict or list on it.

        Evaluates nothing.
        """
        keys: list[Any] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                keys.append(node.slice.value)
            elif isinstance(node, ast.Subscript):
                keys.clear()
            elif isinstance(node, ast.Attribute):
                keys.append(node.attr)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                keys.clear()
                node = node.func
            else:
                return ABSENT
            node = node.value
        value = self.base if node.id == BASE else self.names.find(node.id)
        for key in reversed(keys):
            inner = _item(value, key)
            value = value if inner is ABSENT else inner
        return value

    # Statements.

    def run(self, body: list[ast.stmt]) -> None:
        """Go through a file's statements."""
        for statement in body:
            handler = self._statements.get(type(statement))
            if handler:
                handler(statement)
            else:
                self._skip(statement)

    def _skip(self, node: ast.stmt) -> None:
        # A loop over pipelines changes lists that it never names: all that it mentions is suspect.
        unknown = self._unknown(node, handles=True)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.names.put(node.name, unknown, unknown.place)

    def _assignment(self, node: ast.Assign) -> None:
        if _is_name(node.targets[0], BASE):
            return
        value = self.value(node.value)
        for target in node.targets:
            self._assign(target, value)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assign(node.target, self.value(node.value))

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.names.put(target.id, value, self._place(target))
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, value)
        elif isinstance(target, ast.Subscript):
            self._store(target, value)
        else:
            self._unknown(target, "an assignment to an attribute")

    def _unpack(self, target: ast.Tuple | ast.List, value: Value) -> None:
        if not isinstance(value, (list, tuple)) or len(value) != len(target.elts):
            self._unknown(target, "an unpacking")
            return
        for part, item in zip(target.elts, value, strict=True):
            self._assign(part, item)

    def _store(self, target: ast.Subscript, value: Value) -> None:
        container, key = self.value(target.value), self.value(target.slice)
        if isinstance(container, Section) and _is_key(key):
            container.put(key, value, self._place(target))
        elif isinstance(container, list) and _is_index(key, container):
            container[key] = value
        else:
            unknown = self._unknown(target, "an assignment to an item")
            self._forget(container, unknown)

    def _augmented(self, node: ast.AugAssign) -> None:
        old: Value = ABSENT
        if isinstance(node.target, ast.Name):
            old = self.names.find(node.target.id)
        elif isinstance(node.target, ast.Subscript):
            old = self.value(node.target)
        made = self._combine(type(node.op), old, self.value(node.value))
        if made is ABSENT:
            self._forget(old, self._unknown(node, "an augmented assignment"))
        elif isinstance(old, list):
            old[:] = made  # in place, as Python does: other names may hold the same list
        else:
            self._assign(node.target, made)

    def _expression(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):  # a docstring says nothing
            return
        # Its value is thrown away, so it is there for what it changes; print is the exception.
        printed = isinstance(node.value, ast.Call) and _called(node.value) == "a call of print"
        self._unknown(node.value, handles=not printed)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        unknown = self._unknown(node)
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self.names.put(name, unknown, unknown.place)

    # Expressions.

    def value(self, node: ast.expr) -> Value:
        """The value of an expression, or Unknown."""
        handler = self._expressions.get(type(node))
        if handler is None or self._depth >= MAX_DEPTH:
            return self._unknown(node, "" if handler is None else "deep nesting")
        self._depth += 1
        try:
            return handler(node)
        finally:
            self._depth -= 1

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if isinstance(value, str) and "{{" in value and (found := _TEMPLATE.search(value)):
            whole = found.group() == value.strip()
            return self._from_base(node, found.group(1).split(".") if whole else [])
        return value if _is_scalar(value) else self._unknown(node, "a constant of another kind")

    def _from_base(self, node: ast.AST, path: list[str]) -> Value:
        value: Value = self.base if path else ABSENT
        for key in path:
            value = _item(value, key)
        return self._unknown(node, "a name of a base file") if value is ABSENT else value

    def _name(self, node: ast.Name) -> Value:
        value = self.base if node.id == BASE else self.names.find(node.id)
        return self._unknown(node, f"the name {node.id[:60]!r}") if value is ABSENT else value

    def _attribute(self, node: ast.Attribute) -> Value:
        # Only `_base_` has values as attributes; everything else comes from imported modules.
        path: list[str] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            path.append(root.attr)
            root = root.value
        if _is_name(root, BASE):
            return self._from_base(node, path[::-1])
        return self._unknown(node, f"the attribute {'.'.join(path[::-1])[:60]!r}")

    def _items(self, nodes: list[ast.expr]) -> list[Value]:
        items: list[Value] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                items.append(self.value(node))
                continue
            inner = self.value(node.value)
            if isinstance(inner, (list, tuple)) and self._affordable(len(items) + len(inner)):
                items.extend(inner)
            else:
                items.append(inner if isinstance(inner, Unknown) else self._unknown(node, "a star"))
        return items

    def _set(self, node: ast.Set) -> Value:
        inner = node.elts[0]
        if isinstance(inner, ast.Set) and isinstance(inner.elts[0], ast.Attribute):
            return self.value(inner.elts[0])  # {{_base_.name}} is Python, too
        items = self._items(node.elts)
        return set(items) if all(map(_is_key, items)) else self._unknown(node, "such a set")

    def _dict(self, node: ast.Dict) -> Value:
        made = Section(self._place(node))
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.value(value_node)
            if key_node is None:
                self._update(made, value, value_node)
                continue
            key = self.value(key_node)
            if _is_key(key):
                made.put(key, value, self._place(key_node))
            else:
                self._forget_keys(made, self._unknown(key_node, "a key that is not known"))
        return made

    def _call(self, node: ast.Call) -> Value:
        if not _is_name(node.func, "dict") or "dict" in self.names or node.args:
            return self._unknown(node)
        made = Section(self._place(node))
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg is None:
                self._update(made, value, keyword.value)
            else:
                made.put(keyword.arg, value, self._place(keyword))
        return made

    def _forget_keys(self, made: Section, unknown: Unknown) -> None:
        """What is in a dict so far may be overwritten by keys that cannot be seen."""
        self.reading.spend(len(made), self.where)
        made.spoil(unknown)

    def _update(self, made: Section, value: Value, node: ast.expr) -> None:
        """`**value` into a dict."""
        if isinstance(value, Unknown):
            self._forget_keys(made, value)
            return
        if not isinstance(value, Section):
            self._forget_keys(made, self._unknown(node, "a double star"))
            return
        self.reading.spend(len(value), self.where)
        if value.rest is not None:
            self._forget_keys(made, value.rest)
        for key, item in value.items():
            made.put(key, item, value.where(key))

    def _subscript(self, node: ast.Subscript) -> Value:
        container = self.value(node.value)
        if isinstance(container, Unknown):
            return container
        if isinstance(node.slice, ast.Slice):
            return self._slice(node, container)
        key = self.value(node.slice)
        found = key if isinstance(key, Unknown) else _item(container, key)
        return self._unknown(node, "an item that is not there") if found is ABSENT else found

    def _slice(self, node: ast.Subscript, container: Value) -> Value:
        assert isinstance(node.slice, ast.Slice)
        bounds = [
            None if bound is None else self.value(bound)
            for bound in (node.slice.lower, node.slice.upper, node.slice.step)
        ]
        whole = all(bound is None or isinstance(bound, int) for bound in bounds)
        if not isinstance(container, (list, tuple)) or not whole or bounds[2] == 0:
            return self._unknown(node, "a slice")
        made = container[slice(*bounds)]
        return made if self._affordable(len(made)) else self._unknown(node, "a slice")

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(value, Unknown):
            return value
        if isinstance(node.op, ast.Not) and _is_scalar(value):
            return not value
        if _is_number(value) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return -value if isinstance(node.op, ast.USub) else +value
        return self._unknown(node, "an operator on such a value")

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        for side in (left, right):
            if isinstance(side, Unknown):
                return side
        made = self._combine(type(node.op), left, right)
        if made is not ABSENT:
            return made
        what = "a power" if isinstance(node.op, ast.Pow) else "an operation on such values"
        return self._unknown(node, what)

    def _combine(self, kind: type[ast.operator], left: Value, right: Value) -> Value:
        """`left <op> right` within the limits, else ABSENT."""
        if _is_number(left) and _is_number(right):
            return _arithmetic(kind, left, right)
        if kind is ast.Add and type(left) is type(right) and isinstance(left, (str, list, tuple)):
            return left + right if self._affordable(len(left) + len(right)) else ABSENT
        if kind is ast.Mult:
            count, sequence = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and isinstance(sequence, (str, list, tuple)):
                length = len(sequence) * max(count, 0)
                return sequence * count if self._affordable(length) else ABSENT
        if kind is ast.Mod and isinstance(left, str):
            return self._percent(left, right)
        return ABSENT

    def _affordable(self, length: int) -> bool:
        if length > MAX_RESULT:
            return False
        self.reading.spend(length, self.where)
        return True

    def _percent(self, template: str, values: Value) -> Value:
        if isinstance(values, (Section, tuple)):
            listed = list(values.values() if isinstance(values, Section) else values)
        else:
            listed = [values]
        self.reading.spend(len(listed), self.where)
        # A width or precision of a billion would be a billion characters: two digits at most.
        if not all(map(_is_scalar, listed)) or any(m["bad"] for m in _PERCENT.finditer(template)):
            return ABSENT
        if not self._affordable(len(template) + sum(len(str(item)) + 99 for item in listed)):
            return ABSENT
        try:
            made = template % (dict(values) if isinstance(values, Section) else values)
        except (TypeError, ValueError, KeyError, OverflowError):
            return ABSENT
        return made if self._affordable(len(made)) else ABSENT

    def _joined(self, node: ast.JoinedStr) -> Value:
        parts: list[str] = []
        for piece in node.values:
            if isinstance(piece, ast.FormattedValue):
                text = self._formatted(piece)
                if isinstance(text, Unknown):
                    return text
                parts.append(text)
            elif isinstance(piece, ast.Constant):
                parts.append(str(piece.value))
        if not self._affordable(sum(map(len, parts))):
            return self._unknown(node, "a long string")
        return "".join(parts)

    def _formatted(self, node: ast.FormattedValue) -> str | Unknown:
        value, spec = self.value(node.value), ""
        if isinstance(value, Unknown):
            return value
        if isinstance(node.format_spec, ast.JoinedStr):
            pieces = node.format_spec.values
            spec = "".join(str(p.value) if isinstance(p, ast.Constant) else "?" for p in pieces)
        if not _is_scalar(value) or not _FORMAT_SPEC.fullmatch(spec):
            return self._unknown(node, "an f-string of such values")
        try:
            return format(repr(value) if node.conversion == ord("r") else value, spec)
        except (TypeError, ValueError, OverflowError):
            return self._unknown(node, "an f-string of such values")


def _is_index(key: Value, container: list[Value] | tuple[Value, ...]) -> bool:
    return isinstance(key, int) and -len(container) <= key < len(container)


def _item(container: Value, key: Value) -> Value:
    """container[key], Unknown if either is, ABSENT if it cannot be."""
    if isinstance(container, Unknown):
        return container
    if isinstance(container, Section) and _is_key(key):
        return container.find(key)
    if isinstance(container, (list, tuple)) and _is_index(key, container):
        return container[key]
    return ABSENT


def _arithmetic(kind: type[ast.operator], left: float, right: float) -> Value:
    """Numbers only; powers and shifts are left out because their results have no bound."""
    operation = _NUMBERS.get(kind)
    if operation is None:
        return ABSENT
    try:
        made = operation(left, right)
    except ArithmeticError:
        return ABSENT
    return ABSENT if isinstance(made, int) and made.bit_length() > MAX_INT_BITS else made


# ---- what the config says about the checkpoint -----------------------------------------------

Branch = tuple[int, int] | tuple[Literal["max"], int] | Literal["1x1"]

RECOGNISERS = ("RecognizerGCN", "SkeletonGCN")
STREAMS = {"j": "joint", "b": "bone", "jm": "joint_motion", "bm": "bone_motion"}
_DEFAULT_BRANCHES: tuple[Branch, ...] = ((3, 1), (3, 2), (3, 3), (3, 4), ("max", 3), "1x1")
_ADAPTIVE = ("init", "offset", "importance")


@dataclass(frozen=True)
class ConfigHints:
    """What a config says about its checkpoint; None means that it does not say.

    Attributes:
        where: the config.
        backbone: "STGCN".
        frames: T; persons: M; num_clips: clips for each sample in testing.
        layout: our name of it.
        graph_mode: the codebase's word ("spatial" is identity, inward, outward).
        strides: one for each block; channels: the output channels of each block.
        gcn_adaptive: "none" where the config says that the graph is fixed.
        tcn_ms_cfg: branches (kernel, dilation), ("max", kernel) or "1x1".
        streams: of GenSkeFeat, in the words of ours: joint, bone, joint_motion, bone_motion.
        notes: what was taken from where.
    """

    where: str
    backbone: str | None = None
    frames: int | None = None
    persons: int | None = None
    num_clips: int | None = None
    layout: str | None = None
    graph_mode: str | None = None
    in_channels: int | None = None
    num_classes: int | None = None
    gcn_adaptive: Literal["init", "offset", "importance", "none"] | None = None
    gcn_with_res: bool | None = None
    tcn_type: str | None = None
    tcn_ms_cfg: tuple[Branch, ...] | None = None
    data_bn_type: str | None = None
    base_channels: int | None = None
    ch_ratio: float | None = None
    num_stages: int | None = None
    inflate_stages: tuple[int, ...] | None = None
    down_stages: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    streams: tuple[str, ...] | None = None
    average_clips: str | None = None
    class_names: tuple[str, ...] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def dilations(self) -> tuple[int, ...] | None:
        """Of the convolution branches, in order; None where there are none or they are unsaid."""
        if self.tcn_ms_cfg is None:
            return None
        pairs = [entry for entry in self.tcn_ms_cfg if entry != "1x1" and entry[0] != "max"]
        return tuple(int(entry[1]) for entry in pairs)


def hints_from_config(config: MMConfig) -> ConfigHints:
    """Read what a checkpoint lacks out of a config.

    Raises:
        CheckpointError: no model, a model that cannot be known, or not a skeleton recogniser.
        UnsupportedCheckpointError: a backbone other than STGCN.
    """
    model = _model(config)
    backbone, name = _backbone(config, model)
    taken = _Taken()
    old = _type_of(model) == "SkeletonGCN"
    found: dict[str, Any] = {"backbone": name}
    found |= _stages(taken, backbone)
    found |= _units(taken, backbone, old)
    found |= _graph(taken, backbone, config.values, old)
    found |= _head(taken, config.values, model)
    found |= _pipelines(taken, config.values)
    found |= _labels(taken, config.values)
    names, classes = found["class_names"], found["num_classes"]
    if names and classes and len(names) != classes:
        taken.notes.append(f"{len(names)} class names for {classes} classes: left out")
        found["class_names"] = None
    if taken.defaults:
        listed = ", ".join(taken.defaults)
        taken.notes.append(f"not in the config, so the codebase's defaults: {listed}")
    return ConfigHints(where=config.where, notes=tuple(taken.notes), **found)


def _type_of(section: Section) -> Value:
    """`type` without the registry's scope ("mmaction.STGCN")."""
    name = section.find("type")
    return name.rpartition(".")[2] if isinstance(name, str) else name


def _shown(value: Value) -> str:
    if isinstance(value, Unknown):
        return f"<{value}>"
    return repr(value)[:60] if _is_scalar(value) else f"a {type(value).__name__}"


def _section(config: MMConfig, parent: Section, key: str, title: str) -> Section:
    value = parent.find(key)
    if isinstance(value, Section):
        return value
    if isinstance(value, Unknown):
        raise CheckpointError(
            f"{config.where}: {title!r} depends on {value}, and configs are read without being "
            "run. Give a merged config (`Config.fromfile(...).dump('merged.py')`), or leave "
            "--config out and give --frames, --persons and --layout."
        )
    found = "no" if value is ABSENT else f"a {type(value).__name__} as"
    raise CheckpointError(
        f"{config.where} has {found} {title!r}; expected an MMAction2 or PYSKL training config "
        "with `model = dict(type='RecognizerGCN', backbone=dict(type='STGCN', ...), ...)`."
    )


def _model(config: MMConfig) -> Section:
    model = _section(config, config.values, "model", "model")
    name = _type_of(model)
    if name in RECOGNISERS or (isinstance(name, Unknown) and "type" not in model):
        return model
    shown = "a model without a type" if name is ABSENT else f"model type {_shown(name)}"
    raise CheckpointError(
        f"{model.place}: {shown} is not a skeleton recogniser ({' or '.join(RECOGNISERS)}); give "
        "the config that this checkpoint was trained with."
    )


def _backbone(config: MMConfig, model: Section) -> tuple[Section, str | None]:
    if "backbone" not in model and model.rest is not None:
        return Section(model.place, model.rest), None  # it is in a base file that is not here
    backbone = _section(config, model, "backbone", "model.backbone")
    name = _type_of(backbone)
    if name == "STGCN":
        return backbone, "STGCN"
    if isinstance(name, Unknown) and "type" not in backbone:
        return backbone, None
    shown = "without a type" if name is ABSENT else _shown(name)
    raise UnsupportedCheckpointError(
        f"{backbone.where('type')}: backbone {shown} is not supported; configs are read for STGCN "
        "(ST-GCN and ST-GCN++)."
    )


# Each of these turns a config's value into ours, or into ABSENT where it is of the wrong kind.


def _count(value: Value) -> Value:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31
    return value if good else ABSENT


def _stage_count(value: Value) -> Value:
    return value if _count(value) is not ABSENT and value <= MAX_STAGES else ABSENT


def _positive(value: Value) -> Value:
    good = _is_number(value) and not isinstance(value, bool) and 0 < value < 1 << 31
    return value if good else ABSENT


def _flag(value: Value) -> Value:
    return value if isinstance(value, bool) else ABSENT


def _word(value: Value) -> Value:
    return value if isinstance(value, str) and 0 < len(value) <= 100 else ABSENT


def _bn_type(value: Value) -> Value:
    # Anything but these two means no data_bn at all, None and False included.
    return value if isinstance(value, str) and value in ("VC", "MVC") else "none"


def _old_bn(value: Value) -> Value:
    return ("VC" if value else "none") if isinstance(value, bool) else ABSENT


def _adaptive(value: Value) -> Value:
    if value is None:
        return "none"
    return value if isinstance(value, str) and value in _ADAPTIVE else ABSENT


def _importance(value: Value) -> Value:
    return ("importance" if value else "none") if isinstance(value, bool) else ABSENT


def _stage_list(value: Value) -> Value:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_STAGES:
        return ABSENT
    return tuple(value) if all(_count(item) is not ABSENT for item in value) else ABSENT


def _branches(value: Value) -> Value:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_STAGES:
        return ABSENT
    branches = [_one_branch(entry) for entry in value]
    return ABSENT if ABSENT in branches else tuple(branches)


def _one_branch(entry: Value) -> Value:
    if entry == "1x1":
        return entry
    if not isinstance(entry, (list, tuple)) or len(entry) != 2 or _count(entry[1]) is ABSENT:
        return ABSENT
    return tuple(entry) if entry[0] == "max" or _count(entry[0]) is not ABSENT else ABSENT


def _names(value: Value) -> Value:
    good = isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value)
    return tuple(value) if good else ABSENT


def _features(value: Value) -> Value:
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= len(STREAMS):
        return ABSENT
    known = all(isinstance(item, str) and item in STREAMS for item in value)
    return tuple(STREAMS[item] for item in value) if known else ABSENT


class _Taken:
    """Takes values out of a config and notes each one."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.defaults: list[str] = []
        self._unseen: set[Unknown] = set()

    def take(
        self,
        section: Section,
        key: str,
        accept: Callable[[Value], Value],
        default: Value = ABSENT,
        name: str = "",
    ) -> Any:
        """The value of a key in our form, None where it is not known.

        Args:
            section: the dict.
            key: the config's name of it.
            accept: value -> our form, or ABSENT.
            default: what the codebase takes where the key is certainly absent.
            name: ours, where it differs from the key.
        """
        name = name or key
        if key not in section:
            if section.rest is not None and section.rest not in self._unseen:
                self._unseen.add(section.rest)
                self.notes.append(f"not known: what is said by {section.rest}")
            if section.rest is not None or default is ABSENT:
                return None
            self.defaults.append(f"{name} {default!r}")
            return default
        value = section[key]
        if isinstance(value, Unknown):
            self.notes.append(f"{name}: not known, because it depends on {value}")
            return None
        accepted = accept(value)
        if accepted is ABSENT:
            self.notes.append(f"{name}: {_shown(value)} is not understood ({section.where(key)})")
            return None
        shown = f"{len(accepted)} of them" if name == "class_names" else repr(accepted)
        alias = "" if name == key else f"{key}, "
        self.notes.append(f"{name} {shown}: {alias}{section.where(key)}")
        return accepted


def _stages(taken: _Taken, backbone: Section) -> dict[str, Any]:
    """The stage plan: strides and channels follow from it by the rule of the STGCN class."""
    found: dict[str, Any] = {
        "in_channels": taken.take(backbone, "in_channels", _count, 3),
        "base_channels": taken.take(backbone, "base_channels", _count, 64),
        "ch_ratio": taken.take(backbone, "ch_ratio", _positive, 2),
        "num_stages": taken.take(backbone, "num_stages", _stage_count, 10),
        "inflate_stages": taken.take(backbone, "inflate_stages", _stage_list, (5, 8)),
        "down_stages": taken.take(backbone, "down_stages", _stage_list, (5, 8)),
    }
    stages, base, down = found["num_stages"], found["base_channels"], found["down_stages"]
    if None in (found["in_channels"], base, stages, down):
        return found
    # The special first block exists only where it has channels to change.
    first = 2 if found["in_channels"] == base else 1
    order = range(first, stages + 1)
    found["strides"] = tuple(2 if stage > 1 and stage in down else 1 for stage in order)
    inflate, ratio = found["inflate_stages"], found["ch_ratio"]
    if inflate is not None and ratio is not None:
        times = [sum(2 <= step <= stage for step in set(inflate)) for stage in order]
        try:
            found["channels"] = tuple(int(base * ratio**count + 1e-4) for count in times)
        except OverflowError:
            taken.notes.append("channels: ch_ratio and inflate_stages give no usable number")
    return found


def _units(taken: _Taken, backbone: Section, old: bool) -> dict[str, Any]:
    """The graph and temporal units inside a block."""
    adaptive = (
        taken.take(backbone, "edge_importance_weighting", _importance, "importance", "gcn_adaptive")
        if old
        else taken.take(backbone, "gcn_adaptive", _adaptive, "importance")
    )
    bn_key, bn_form = ("data_bn", _old_bn) if old else ("data_bn_type", _bn_type)
    kind = taken.take(backbone, "tcn_type", _word, "unit_tcn")
    return {
        "gcn_adaptive": adaptive,
        "gcn_with_res": taken.take(backbone, "gcn_with_res", _flag, False),
        "tcn_type": kind,
        "tcn_ms_cfg": (
            taken.take(backbone, "tcn_ms_cfg", _branches, _DEFAULT_BRANCHES)
            if kind == "mstcn"
            else None
        ),
        "data_bn_type": taken.take(backbone, bn_key, bn_form, "VC", "data_bn_type"),
    }


def _graph(taken: _Taken, backbone: Section, values: Section, old: bool) -> dict[str, Any]:
    """The graph, else the layout that the pipeline computes bones for."""
    graph = backbone.find("graph_cfg")
    graph = graph if isinstance(graph, Section) else Section(backbone.place)
    mode = taken.take(graph, "strategy" if old else "mode", _word, name="graph_mode")
    features = _step(values, ("GenSkeFeat",), _STAGES)
    stated = "layout" in graph or features is None
    layout = _layout(taken, graph, "layout") if stated else _layout(taken, features, "dataset")
    return {"layout": layout, "graph_mode": mode}


def _layout(taken: _Taken, section: Section | None, key: str) -> str | None:
    def ours(value: Value) -> Value:
        return LAYOUTS[value].name if isinstance(value, str) and value in LAYOUTS else ABSENT

    found: str | None = taken.take(section or Section(), key, ours, name="layout")
    return found


def _head(taken: _Taken, values: Section, model: Section) -> dict[str, Any]:
    head = model.find("cls_head")
    head = head if isinstance(head, Section) else Section(model.place)
    places = (model.find("test_cfg"), head, values.find("test_cfg"))
    average: str | None = None
    for place in places:
        if average is None and isinstance(place, Section):
            average = taken.take(place, "average_clips", _word)
    return {
        "num_classes": taken.take(head, "num_classes", _count),
        "average_clips": average,
    }


# ---- pipelines -------------------------------------------------------------------------------


def _dataset(values: Section, stage: str) -> Section | None:
    """The innermost dataset of a stage, out of RepeatDataset and its like."""
    data, loader = values.find("data"), values.find(f"{stage}_dataloader")
    found = data.find(stage) if isinstance(data, Section) else ABSENT
    if not isinstance(found, Section):
        found = loader.find("dataset") if isinstance(loader, Section) else ABSENT
    for _ in range(MAX_DATASET_WRAPS):
        if not isinstance(found, Section):
            return None
        inner = found.find("dataset")
        several = found.find("datasets")
        if isinstance(several, list) and several:
            inner = several[0]
        if "pipeline" in found or not isinstance(inner, Section):
            return found
        found = inner
    return None


def _pipeline(values: Section, stage: str) -> list[Value]:
    """A stage's pipeline, as its dataset has it, else as the variable of that name."""
    for section, key in (
        (_dataset(values, stage), "pipeline"),
        (values, f"{stage}_pipeline"),
        (values, "pipeline"),
    ):
        if section is not None and key in section:
            found = section[key]
            return list(found) if isinstance(found, (list, tuple)) else [found]
    return []


_STAGES = ("test", "val", "train")
# Steps that fix the number of frames, with the argument that says it.
_SAMPLERS = {
    "UniformSample": "clip_len",
    "UniformSampleFrames": "clip_len",
    "UniformSampleDecode": "clip_len",
    "PadTo": "length",
    "PaddingWithLoop": "clip_len",
}


def _step(values: Section, names: tuple[str, ...], stages: tuple[str, ...]) -> Section | None:
    """The first step of one of these types; a sampler before a padding, in the order of names."""
    for stage in stages:
        steps = [step for step in _pipeline(values, stage) if isinstance(step, Section)]
        for name in names:
            for step in steps:
                if _type_of(step) == name:
                    return step
    return None


def _pipelines(taken: _Taken, values: Section) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(("frames", "persons", "num_clips", "streams"))
    for stage in _STAGES:
        unknown = [step for step in _pipeline(values, stage) if isinstance(step, Unknown)]
        if unknown:
            taken.notes.append(f"{stage} pipeline: not wholly known, it depends on {unknown[0]}")
        sampler = _step(values, tuple(_SAMPLERS), (stage,))
        if sampler is not None and found["frames"] is None:
            key = _SAMPLERS[_type_of(sampler)]
            found["frames"] = taken.take(sampler, key, _count, name="frames")
    if found["frames"] is None:
        found["frames"] = taken.take(values, "clip_len", _count, name="frames")
    tested = _step(values, tuple(_SAMPLERS), ("test",))
    if tested is not None:
        found["num_clips"] = taken.take(tested, "num_clips", _count, 1)
    formatter = _step(values, ("FormatGCNInput",), _STAGES)
    if formatter is not None:
        found["persons"] = taken.take(formatter, "num_person", _count, 2, "persons")
    features = _step(values, ("GenSkeFeat",), _STAGES)
    if features is not None:
        found["streams"] = taken.take(features, "feats", _features, ("joint",), "streams")
    return found


_CLASS_KEYS = ("class_names", "classes", "CLASSES", "label_names", "labels")


def _labels(taken: _Taken, values: Section) -> dict[str, Any]:
    places: list[Value] = [values, values.find("metainfo")]
    for stage in _STAGES:
        dataset = _dataset(values, stage)
        if dataset is not None:
            places += [dataset, dataset.find("metainfo")]
    sections = [place for place in places if isinstance(place, Section)]
    listed: tuple[str, ...] | None = None
    fps: float | None = None
    for section in sections:
        for key in _CLASS_KEYS:
            if listed is None and key in section:
                listed = taken.take(section, key, _names, name="class_names")
        fps = fps if fps is not None else taken.take(section, "fps", _positive)
    return {"class_names": listed, "fps": fps}


# ---- use -------------------------------------------------------------------------------------


def to_hints(config_hints: ConfigHints, given: Hints) -> Hints:
    """What the user said, completed by what the config says; `origins` tells which is which."""
    adaptive = config_hints.gcn_adaptive
    said = {
        "frames": config_hints.frames,
        "persons": config_hints.persons,
        "strides": config_hints.strides,
        "layout": LAYOUTS[config_hints.layout] if config_hints.layout else None,
        "adjacency": adaptive if adaptive in ("importance", "offset") else None,
        "fps": config_hints.fps,
    }
    new: dict[str, Any] = {
        name: value
        for name, value in said.items()
        if value is not None and getattr(given, name) is None
    }
    origins: dict[str, Origin] = {**given.origins, **dict.fromkeys(new, "config")}
    return replace(given, **new, origins=origins)


def contradictions(config_hints: ConfigHints, spec: NetworkSpec) -> list[str]:
    """What the config says and the file's shapes deny, in words; empty when they agree.

    Args:
        config_hints: from hints_from_config.
        spec: the network as read from the file.
    """
    found: list[str] = []
    layout = LAYOUTS[config_hints.layout] if config_hints.layout else None
    family = {"mstcn": "stgcnpp", "unit_tcn": "stgcn"}.get(config_hints.tcn_type or "")
    pairs = (
        ("num_classes", config_hints.num_classes, spec.num_classes),
        ("in_channels", config_hints.in_channels, spec.in_channels),
        (f"layout {config_hints.layout}, V", layout and layout.num_joints, spec.num_joints),
        (f"tcn_type {config_hints.tcn_type}, family", family, spec.family),
        ("data_bn of persons (M)", _fixed_persons(config_hints, spec), spec.num_persons),
    )
    for name, said, real in pairs:
        if said is not None and said != real:
            found.append(f"{name}: {said} by the config, {real} in the file")
    found += _unlike_blocks(config_hints, spec)
    found += _unlike_units(config_hints, spec)
    return found


def _fixed_persons(config_hints: ConfigHints, spec: NetworkSpec) -> int | None:
    return config_hints.persons if spec.num_persons is not None else None


def _unlike_blocks(config_hints: ConfigHints, spec: NetworkSpec) -> list[str]:
    strides, channels = config_hints.strides, config_hints.channels
    count = len(strides) if strides is not None else None
    if count is not None and count != len(spec.blocks):
        return [f"number of blocks: {count} by the config, {len(spec.blocks)} in the file"]
    found: list[str] = []
    real = tuple(block.out_channels for block in spec.blocks)
    if channels is not None and channels != real:
        found.append(f"channels of the blocks: {channels} by the config, {real} in the file")
    for index, (stride, block) in enumerate(zip(strides or (), spec.blocks, strict=False)):
        needed = stride != 1 or block.in_channels != block.out_channels
        if block.residual != "none" and needed != (block.residual == "conv"):
            lack = "has none" if needed else "has one"
            found.append(
                f"block {index + 1}: stride {stride} by the config "
                f"{'needs a' if needed else 'leaves no'} residual convolution, the file {lack}"
            )
    return found


def _unlike_units(config_hints: ConfigHints, spec: NetworkSpec) -> list[str]:
    found: list[str] = []
    first, adaptive = spec.blocks[0], config_hints.gcn_adaptive
    if adaptive is not None:
        # Which of the two a PA is, the file only suggests: there the config is believed.
        stored = first.adjacency != "plain"
        if stored != (adaptive in ("importance", "offset")):
            have = "a PA" if stored else "no PA"
            found.append(f"gcn_adaptive: {adaptive} by the config, the file has {have}")
    with_res = any(block.graph_residual != "none" for block in spec.blocks)
    if config_hints.gcn_with_res is not None and config_hints.gcn_with_res != with_res:
        found.append(
            f"gcn_with_res: {config_hints.gcn_with_res} by the config, {with_res} in the file "
            "(which cannot show it where no block changes its channels)"
        )
    norms = {"VC": ("joint",), "MVC": ("person", "joint"), "none": ("none",)}
    norm = config_hints.data_bn_type
    if norm is not None and spec.input_norm not in norms.get(norm, ("none",)):
        found.append(f"data_bn_type: {norm} by the config, per {spec.input_norm} in the file")
    branches = tuple(map(_branch_entry, first.branches))
    if branches and config_hints.tcn_ms_cfg is not None and config_hints.tcn_ms_cfg != branches:
        found.append(
            f"tcn_ms_cfg: {config_hints.tcn_ms_cfg} by the config, read from the file as "
            f"{branches} (a file shows kernels and channels; dilations are assumed)"
        )
    return found


def _branch_entry(branch: BranchSpec) -> Branch:
    if branch.kind == "1x1":
        return "1x1"
    return ("max", branch.kernel) if branch.kind == "max" else (branch.kernel, branch.dilation)
