"""Training configs of PYSKL and MMAction2 read as text, for what a checkpoint file lacks.

Such a config is a Python file that its own framework executes.  Here it and its base files are
parsed and never run (`pyliteral`), then read for what they say (`mmhints`).
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path

from stgcn_deploy.checkpoints.mmhints import (
    ConfigHints,
    contradictions,
    hints_from_values,
    to_hints,
)
from stgcn_deploy.checkpoints.pyliteral import (
    ABSENT,
    BASE,
    MAX_DEPTH,
    Evaluator,
    Ledger,
    Section,
    Unknown,
    Value,
    is_name,
)
from stgcn_deploy.errors import CheckpointError, FileUnreadableError

__all__ = [
    "ConfigHints",
    "MMConfig",
    "Section",
    "Unknown",
    "contradictions",
    "hints_from_config",
    "parse_config_text",
    "read_config",
    "to_hints",
]

MAX_BYTES = 300_000  # of one file, and of a config with its base files
MAX_FILES = 32
MAX_BRACKETS = 60
MAX_CHAIN = 200  # tokens between two commas of one bracket: bounds `1 + 1 + ...` and `- - - x`
MAX_NUMBER_CHARS = 40
MAX_FSTRING_CHARS = 1_000
MERGE_COST = 10  # work that counts for merging one entry of a dict

DELETE = "_delete_"
# mmaction2's own file of hooks and logging, usually left behind: it says nothing about networks.
_HARMLESS_BASE = "default_runtime.py"


@dataclass(frozen=True)
class MMConfig:
    """A config as far as it can be known without running it.

    Attributes:
        where: its path, or what the text was taken from.
        values: the top-level names, base files merged in.
        skipped: what was not evaluated, with lines.
    """

    where: str
    values: Section
    skipped: tuple[Unknown, ...] = ()


@dataclass
class _Reading(Ledger):
    """What the reading of one config shares with that of its base files."""

    files: int = 0
    size: int = 0


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
        CheckpointError: not Python, nested or multiplied beyond reason, base files in a circle.
    """
    path = Path(path)
    return _load(_Source(_file_text(path), str(path), path.parent, (path.resolve(),)), _Reading())


def parse_config_text(text: str, where: str) -> MMConfig:
    """Read a config given as text, such as the one that mmengine stores in a checkpoint's meta.

    `where` is what it was taken from, for messages ("meta['cfg'] of best.pth").

    Raises:
        CheckpointError: not Python, or nested or multiplied beyond reason.
    """
    return _load(_Source(text, where), _Reading())


def hints_from_config(config: MMConfig) -> ConfigHints:
    """Read what a checkpoint lacks out of a config.

    Raises:
        CheckpointError: no model, a model that cannot be known, or not a skeleton recogniser.
        UnsupportedCheckpointError: a backbone other than STGCN.
    """
    return hints_from_values(config.where, config.values)


def _too_large(where: str, size: int) -> str:
    return (
        f"{where} has {size:,} bytes; training configs have thousands (limit {MAX_BYTES:,}). "
        "Give the config .py, not the checkpoint or a log."
    )


def _file_text(path: Path) -> str:
    if not path.is_file():
        lack = "is not a file" if path.exists() else "does not exist"
        raise FileUnreadableError(f"{path} {lack}; give the training config, a .py file.")
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


def _load(source: _Source, reading: _Reading) -> MMConfig:
    reading.size += len(source.text)
    if reading.size > MAX_BYTES:
        raise CheckpointError(_too_large(f"{source.where} with its base files", reading.size))
    tree = _parse(source.text, source.where)
    base = Section(source.where)
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and is_name(statement.targets[0], BASE):
            base = _bases(statement, source, reading)
            break  # mmengine takes the first one
    evaluator = Evaluator(source.where, base, reading)
    evaluator.run(tree.body)
    values = _merge(evaluator.names, base, source.where, reading)
    return MMConfig(source.where, values, tuple(reading.skipped))


# ---- parsing ---------------------------------------------------------------------------------


def _parse(text: str, where: str) -> ast.Module:
    # Lone carriage returns end lines for the parser but not for tokenize, which checks depth.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise CheckpointError(
            f"{where} contains null bytes: it is not a Python config. Give the config .py."
        )
    try:
        _check_nesting(text, where)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings of somebody else's file
            return ast.parse(text)
    except SyntaxError as error:
        reason, line = error.msg, error.lineno or 1
    except tokenize.TokenError as error:
        reason, line = str(error.args[0]), error.args[1][0]
    except (MemoryError, RecursionError, ValueError):
        raise CheckpointError(_too_deep(where, 1)) from None
    raise CheckpointError(
        f"{where}, line {line}: not Python ({reason}); expected an MMAction2 or PYSKL config such "
        "as `model = dict(...)`. Correct the line, or give the unchanged config."
    )


def _too_deep(where: str, line: int) -> str:
    return (
        f"{where}, line {line}: nested or chained deeper than any training config; it is not "
        "read further. Give the config that the checkpoint was trained with."
    )


def _check_nesting(text: str, where: str) -> None:
    """Refuse what could exhaust the stack of Python's own parser, before it sees it."""
    chains = [0]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind, sign = token.type, token.string
        if kind == tokenize.NEWLINE or (kind == tokenize.OP and sign in ",;"):
            chains[-1] = 0
        elif kind == tokenize.OP and sign in "([{":
            chains[-1] += 1
            chains.append(0)
        elif kind == tokenize.OP and sign in ")]}":
            del chains[max(1, len(chains) - 1) :]
        elif kind in (tokenize.OP, tokenize.NAME, tokenize.NUMBER):
            chains[-1] += 1
        if len(chains) > MAX_BRACKETS or chains[-1] > MAX_CHAIN or _too_long(token):
            raise CheckpointError(_too_deep(where, token.start[0]))


def _too_long(token: tokenize.TokenInfo) -> bool:
    """A number that takes long to read, or an f-string: before Python 3.12 it hides its tokens."""
    if token.type == tokenize.NUMBER:
        return len(token.string) > MAX_NUMBER_CHARS
    formatted = token.type == tokenize.STRING and "f" in token.string[:2].lower()
    return formatted and len(token.string) > MAX_FSTRING_CHARS


# ---- base files ------------------------------------------------------------------------------


def _bases(statement: ast.Assign, source: _Source, reading: _Reading) -> Section:
    """The base files of a config, side by side in one Section."""
    merged = Section(source.where)
    named = Evaluator(source.where, Section(), reading).value(statement.value)
    for entry in named if isinstance(named, (list, tuple)) else [named]:
        found = _base_file(entry, statement.lineno, source, reading)
        for key, value in found.items():
            merged.put(key, value, found.where(key))
        merged.rest = merged.rest or found.rest
    return merged


def _base_file(entry: Value, line: int, source: _Source, reading: _Reading) -> Section:
    """One base file's values; an all-unknown Section, with a record, where it cannot be read."""
    named = isinstance(entry, str)
    found = _follow(entry, line, source, reading) if named else "its name is not known"
    if isinstance(found, Section):
        return found
    shown = repr(entry)[:100] if named else "from something else than text"
    unread = Unknown(f"base file {shown}, which was not read: {found}", source.where, line)
    reading.skipped.append(unread)
    harmless = named and Path(entry).name == _HARMLESS_BASE
    return Section(source.where, None if harmless else unread)


def _follow(entry: str, line: int, source: _Source, reading: _Reading) -> Section | str:
    """A base file's values, or why they cannot be had."""
    if source.folder is None:
        return "a text has no folder to look in"
    if "::" in entry or Path(entry).is_absolute() or Path(entry).suffix != ".py":
        return "only Python files relative to the config are followed"
    path = source.folder / entry
    try:
        real, text = path.resolve(), _file_text(path)
    except (OSError, RuntimeError, ValueError, FileUnreadableError) as error:
        return str(error).rstrip(".")
    if real in source.chain:
        way = " -> ".join(file.name for file in (*source.chain, real))
        raise CheckpointError(
            f"{source.where}, line {line}: base files in a circle ({way}); remove one `_base_`."
        )
    reading.files += 1
    if reading.files >= MAX_FILES:
        raise CheckpointError(
            f"{source.where}, line {line}: more than {MAX_FILES} base files; give one merged "
            "config (`Config.fromfile(...).dump('merged.py')`)."
        )
    return _load(_Source(text, str(path), path.parent, (*source.chain, real)), reading).values


def _merge(child: Section, base: Section, where: str, reading: _Reading, depth: int = 0) -> Section:
    """A child config over its base, the way mmengine does: dicts merge, anything else replaces."""
    reading.spend(MERGE_COST * (len(child) + len(base) + 1), where)
    if depth > MAX_DEPTH:
        raise CheckpointError(_too_deep(where, 1))
    merged = Section(child.place, child.rest or base.rest)
    for key, value in base.items():
        merged.put(key, child.rest or value, base.where(key))
    for key, value in child.items():
        over = value
        if isinstance(value, Section):
            over = _inherit(value, base.find(key), where, reading, depth + 1)
        merged.put(key, over, child.where(key))
    merged.pop(DELETE, None)
    return merged


def _inherit(
    child: Section, inherited: Value, where: str, reading: _Reading, depth: int
) -> Section | Unknown:
    delete = child.get(DELETE, False)
    if isinstance(delete, Unknown):
        return delete
    if delete or inherited is ABSENT:
        inherited = Section(child.place)
    elif isinstance(inherited, Unknown):
        inherited = Section(child.place, inherited)
    if not isinstance(inherited, Section):
        what = f"a dict over a base's {type(inherited).__name__}, which mmengine refuses"
        return Unknown(what, where)
    return _merge(child, inherited, where, reading, depth)
