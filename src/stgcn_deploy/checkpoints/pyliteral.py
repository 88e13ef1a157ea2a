"""Values of a Python text that is parsed and never run.

Literals, `dict(...)`, names set earlier, their items, sums of lists and plain arithmetic are
evaluated here; anything else becomes `Unknown` and is listed with its line.  Code that is not
evaluated takes the dicts and lists that it mentions with it, so that no outdated value is reported.
Work and memory are bounded by the limits below, whatever the text says.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stgcn_deploy.errors import CheckpointError

__all__ = [
    "ABSENT",
    "BASE",
    "MAX_DEPTH",
    "Evaluator",
    "Ledger",
    "Section",
    "Unknown",
    "Value",
    "is_name",
]

MAX_DEPTH = 100
MAX_RESULT = 10_000  # elements or characters of one computed list or string
MAX_WORK = 300_000  # the same over a whole config
MAX_INT_BITS = 256

BASE = "_base_"  # the one name that is there from the start: what the text inherits

Value = Any
ABSENT: Any = object()  # a key that is certainly not there, or a value that was not computed


@dataclass(frozen=True)
class Unknown:
    """Stands for a value that only running the text would give.

    Attributes:
        reason: what stood in the way, as a noun phrase ("a call of osp.join").
        where: file; line: in it.
    """

    reason: str
    where: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.reason} ({self.place})"

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.where}, line {self.line}"


class Section(dict[Any, Any]):
    """A dict that remembers where it and its keys were written.

    Attributes:
        place: file and line of the dict.
        rest: set where keys beyond the listed ones may exist (a missing base file, `**unknown`).
    """

    def __init__(self, place: str = "", rest: Unknown | None = None) -> None:
        super().__init__()
        self.place = place
        self.rest = rest
        self._places: dict[Any, str] = {}

    def put(self, key: Any, value: Value, place: str) -> None:
        """Set a key, with where it was said."""
        self[key] = value
        self._places[key] = place

    def find(self, key: Any) -> Value:
        """The value; Unknown where it may be there unseen; ABSENT where it is certainly not."""
        if key in self:
            return self[key]
        return ABSENT if self.rest is None else self.rest

    def where(self, key: Any) -> str:
        """File and line of a key."""
        return self._places.get(key, self.place)

    def forget(self, unknown: Unknown) -> None:
        """Drop everything: code that is not run may have changed it."""
        self.clear()
        self.rest = unknown


@dataclass
class Ledger:
    """What was left out and what was computed, for all texts of one config together."""

    skipped: list[Unknown] = field(default_factory=list)
    work: int = 0

    def spend(self, amount: int, where: str) -> None:
        """Count work; more than MAX_WORK raises CheckpointError."""
        self.work += amount
        if self.work > MAX_WORK:
            raise CheckpointError(
                f"{where} computes or merges more than {MAX_WORK:,} values, which no training "
                "config needs; give the config that the checkpoint was trained with."
            )


def is_name(node: ast.AST, name: str) -> bool:
    """Whether a node is this name."""
    return isinstance(node, ast.Name) and node.id == name


# ---- evaluation ------------------------------------------------------------------------------

_NUMBERS = {  # powers, shifts and repetitions are left out: their results have no bound
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_READERS = ("deepcopy", "dict", "join", "len", "print", "range", "sorted")  # change no argument


def _is_key(value: Value) -> bool:
    # Small integers only: larger ones can be chosen to collide, which makes a dict quadratic.
    small = isinstance(value, int) and abs(value) < 1 << 31
    return small or value is None or isinstance(value, str)


def _is_index(key: Value, container: list[Value] | tuple[Value, ...]) -> bool:
    return isinstance(key, int) and -len(container) <= key < len(container)


def _item(container: Value, key: Value) -> Value:
    """container[key], Unknown if either is, ABSENT if it cannot be."""
    for value in (container, key):
        if isinstance(value, Unknown):
            return value
    if isinstance(container, Section) and _is_key(key):
        return container.find(key)
    if isinstance(container, (list, tuple)) and _is_index(key, container):
        return container[key]
    return ABSENT


def _called(node: ast.Call) -> str:
    parts = [getattr(part, "attr", getattr(part, "id", "")) for part in ast.walk(node.func)]
    return ".".join(filter(None, reversed(parts)))


def _may_change(node: ast.AST) -> bool:
    """Whether code that is not evaluated may change the values that it mentions."""
    if isinstance(node, ast.stmt):
        return True
    return any(
        isinstance(part, (ast.comprehension, ast.NamedExpr))
        or (isinstance(part, ast.Call) and _called(part).rpartition(".")[2] not in _READERS)
        for part in ast.walk(node)
    )


class Evaluator:
    """Evaluates one text's statements.

    Attributes:
        names: what they set.
    """

    def __init__(self, where: str, base: Section, ledger: Ledger) -> None:
        self.names = Section(where)
        self._where = where
        self._base = base
        self._ledger = ledger
        self._depth = 0
        self._expressions: Mapping[type[ast.AST], Callable[[Any], Value]] = {
            ast.Attribute: self._attribute,
            ast.BinOp: self._binary,
            ast.Call: self._call,
            ast.Constant: self._constant,
            ast.Dict: self._dict,
            ast.List: self._items,
            ast.Name: self._name,
            ast.Set: self._template,
            ast.Subscript: self._subscript,
            ast.Tuple: self._items,
            ast.UnaryOp: self._unary,
        }

    def run(self, body: list[ast.stmt]) -> None:
        """Go through a text's statements."""
        for statement in body:
            if isinstance(statement, ast.Assign):
                self._assignment(statement)
            elif not isinstance(statement, ast.Expr):
                self._unknown(statement)
            elif isinstance(statement.value, ast.Call):
                self.value(statement.value)
            elif not isinstance(statement.value, ast.Constant):  # a docstring says nothing
                self._unknown(statement)

    def value(self, node: ast.expr) -> Value:
        """The value of an expression, or Unknown."""
        handler = self._expressions.get(type(node))
        if handler is None or self._depth >= MAX_DEPTH:
            return self._unknown(node, "" if handler is None else "deep nesting")
        self._depth += 1
        try:
            made = handler(node)
        finally:
            self._depth -= 1
        forgotten = isinstance(made, list) and len(made) == 1 and isinstance(made[0], Unknown)
        return made[0] if forgotten else made

    # What is not evaluated.

    def _place(self, node: ast.AST) -> str:
        return f"{self._where}, line {getattr(node, 'lineno', 1)}"

    def _unknown(self, node: ast.AST, what: str = "") -> Unknown:
        """Record code that is not evaluated, and forget what it may change."""
        what = what or f"code of the kind {type(node).__name__}"
        unknown = Unknown(what, self._where, getattr(node, "lineno", 1))
        self._ledger.skipped.append(unknown)
        for part in ast.walk(node) if _may_change(node) else ():
            if isinstance(part, ast.Name):
                self._mentioned(part, unknown)
            elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.names.put(part.name, unknown, unknown.place)
            elif isinstance(part, ast.alias) and part.name == "*":
                self.names.forget(unknown)
            elif isinstance(part, ast.alias):
                name = part.asname or part.name.partition(".")[0]
                self.names.put(name, unknown, unknown.place)
        return unknown

    def _mentioned(self, node: ast.Name, unknown: Unknown) -> None:
        old = self._base if node.id == BASE else self.names.find(node.id)
        mutable = isinstance(old, (Section, list, tuple))
        if mutable:
            self._forget(old, unknown)
        if node.id != BASE and (mutable or not isinstance(node.ctx, ast.Load)):
            self.names.put(node.id, unknown, unknown.place)

    def _forget(self, value: Value, unknown: Unknown) -> None:
        """Empty a dict or list and all that it holds: other names may lead there, too."""
        stack, seen = [value], set()
        while stack:
            container = stack.pop()
            if id(container) in seen or not isinstance(container, (Section, list, tuple)):
                continue
            seen.add(id(container))
            self._ledger.spend(len(container) + 1, self._where)
            stack += container.values() if isinstance(container, Section) else container
            if isinstance(container, Section):
                container.forget(unknown)
            elif isinstance(container, list):
                container[:] = [unknown]  # of any length: `value` takes it for unknown as a whole

    # Statements.

    def _assignment(self, node: ast.Assign) -> None:
        if is_name(node.targets[0], BASE):
            return
        value = self.value(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names.put(target.id, value, self._place(target))
            elif isinstance(target, ast.Subscript):
                self._store(node, target, value)
            else:
                self._unknown(node, "an unpacking or an assignment to an attribute")

    def _store(self, node: ast.Assign, target: ast.Subscript, value: Value) -> None:
        container, key = self.value(target.value), self.value(target.slice)
        if isinstance(container, Section) and _is_key(key):
            container.put(key, value, self._place(target))
        elif isinstance(container, list) and _is_index(key, container):
            container[key] = value
        else:
            self._unknown(node, "an assignment to an item")

    # Expressions.

    def _constant(self, node: ast.Constant) -> Value:
        value = node.value
        if value is not None and not isinstance(value, (str, bool, int, float)):
            return self._unknown(node, "a constant of another kind")
        replaced = isinstance(value, str) and f"{BASE}." in value  # "{{_base_.name}}"
        return self._unknown(node, "a name of a base file in a string") if replaced else value

    def _template(self, node: ast.Set) -> Value:
        """{{_base_.name}} is Python, too: a set in a set.  mmengine puts the value in its place."""
        inner = node.elts[0]
        return self.value(inner.elts[0]) if isinstance(inner, ast.Set) else self._unknown(node)

    def _name(self, node: ast.Name) -> Value:
        value = self._base if node.id == BASE else self.names.find(node.id)
        return self._unknown(node, f"the name {node.id[:60]!r}") if value is ABSENT else value

    def _attribute(self, node: ast.Attribute) -> Value:
        # Only what is inherited has its items as attributes, too; all else comes from modules.
        found = _item(self.value(node.value), node.attr)
        return self._unknown(node) if found is ABSENT else found

    def _items(self, node: ast.List | ast.Tuple) -> Value:
        items: list[Value] = []
        for part in node.elts:
            if not isinstance(part, ast.Starred):
                items.append(self.value(part))
                continue
            inner = self.value(part.value)
            if isinstance(inner, Unknown):
                return inner
            if not isinstance(inner, (list, tuple)) or not self._affordable(
                len(items) + len(inner)
            ):
                return self._unknown(node, "a star")
            items.extend(inner)
        return tuple(items) if isinstance(node, ast.Tuple) else items

    def _dict(self, node: ast.Dict) -> Value:
        keys = [ABSENT if key is None else self.value(key) for key in node.keys]
        return self._made(node, zip(keys, node.values, strict=True))

    def _call(self, node: ast.Call) -> Value:
        if not is_name(node.func, "dict") or "dict" in self.names or node.args:
            return self._unknown(node, f"a call of {_called(node)[:60]}")
        return self._made(
            node, [(keyword.arg or ABSENT, keyword.value) for keyword in node.keywords]
        )

    def _made(self, node: ast.expr, pairs: Iterable[tuple[Value, ast.expr]]) -> Section:
        """A dict of these; ABSENT for `**value`."""
        made = Section(self._place(node))
        for key, value_node in pairs:
            value = self.value(value_node)
            if key is ABSENT:
                self._update(made, value, value_node)
            elif _is_key(key):
                made.put(key, value, self._place(value_node))
            else:  # any of the keys so far may be overwritten by this one
                made.forget(self._unknown(node, "a key that is not known"))
        return made

    def _update(self, made: Section, value: Value, node: ast.expr) -> None:
        """`**value` into a dict."""
        if not isinstance(value, Section):
            known = not isinstance(value, Unknown)
            made.forget(self._unknown(node, "a double star") if known else value)
            return
        self._ledger.spend(len(value), self._where)
        if value.rest is not None:
            made.forget(value.rest)
        for key, item in value.items():
            made.put(key, item, value.where(key))

    def _subscript(self, node: ast.Subscript) -> Value:
        found = _item(self.value(node.value), self.value(node.slice))
        return self._unknown(node, "an item that is not there") if found is ABSENT else found

    def _unary(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(value, (int, float)) and isinstance(node.op, ast.USub):
            return -value
        return value if isinstance(value, Unknown) else self._unknown(node, "such an operation")

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        for side in (left, right):
            if isinstance(side, Unknown):
                return side
        made = self._computed(type(node.op), left, right)
        return self._unknown(node, "such an operation") if made is ABSENT else made

    def _computed(self, kind: type[ast.operator], left: Value, right: Value) -> Value:
        """`left <op> right` within the limits, else ABSENT."""
        if kind is ast.Add and type(left) is type(right) and isinstance(left, (str, list, tuple)):
            return left + right if self._affordable(len(left) + len(right)) else ABSENT
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers or kind not in _NUMBERS:
            return ABSENT
        try:
            made = _NUMBERS[kind](left, right)
        except ArithmeticError:
            return ABSENT
        return ABSENT if isinstance(made, int) and made.bit_length() > MAX_INT_BITS else made

    def _affordable(self, length: int) -> bool:
        if length <= MAX_RESULT:
            self._ledger.spend(length, self._where)
        return length <= MAX_RESULT
