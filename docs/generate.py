"""Regenerates the generated parts of the pages, in place.

    python docs/generate.py            # rewrite
    python docs/generate.py --check    # exit 1, with a diff, when a page is stale

A generated part stands between <!-- generated:NAME --> and <!-- end -->; NAME is a key of PARTS.
Nothing here states a fact of its own but MEANINGS and FAMILIES_OF, which tests/docs compares with the
package and its tests: the rest is read from the tables of the package.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RAW = ROOT / "bench" / "raw.json"
PART = re.compile(r"(?s)<!-- generated:([\w-]+) -->\n.*?<!-- end -->")
OPENING = re.compile(r"<!-- generated:")
HELP_WIDTH = 92

# The manifest's fields in words; `stale_meanings` refuses a field without one, and one too many.
MEANINGS = {
    "schema_version": "version of this table; another one is refused",
    "name": "name of the bundle's directory when it was made",
    "family": "network family",
    "motion": "how a two-stream network makes its motion stream; null for one stream",
    "sources": "where the weights come from: one file, or one for each stream of an ensemble",
    "sources.file": "name of the checkpoint file, without its folder",
    "sources.sha256": "of the checkpoint file",
    "sources.codebase": "the training codebase it was recognised as",
    "sources.stream": "what it was trained on: `joint`, `bone`, `joint_motion`, `bone_motion`",
    "sources.weight": "of its scores in an ensemble; 1 for one file",
    "sources.facts": "what was read, given and assumed: the second table of `stgcn inspect`",
    "fusion": "where an ensemble adds scores: `logits` or `probabilities`; null for one file",
    "layout": "the skeleton",
    "layout.name": "layout that the stored graph was recognised as; null when none fits",
    "layout.exact": "false: only the nearest known graph (a learned adjacency has moved)",
    "layout.edge_set": "whose edges: the codebases draw the same joints differently",
    "layout.strategy": "partition strategy of the stored graph",
    "layout.joints": "joint names in the order of the V axis",
    "layout.edges": "(child, parent), 0-based",
    "layout.adjacency_sha256": "of the stored graph, float32 (K, V, V)",
    "inputs": "the graph's inputs, in order",
    "inputs.name": "in the ONNX file",
    "inputs.axes": "order of its axes; without M for networks of one person",
    "inputs.channels": "C of it: the clip's first channels",
    "inputs.stream": "what is fed to it of a clip: `joint`, `forward_step` (next frame minus this one)",
    "inputs.trim": "by how many frames it is shorter than the clip",
    "clip": "sizes of one input",
    "clip.batch": "N; of an open axis, the size used for tracing",
    "clip.persons": "M",
    "clip.frames": "T",
    "clip.joints": "V",
    "clip.channels": "C",
    "clip.dynamic": "open axes, each with the range that was verified",
    "clip.fps": "frames per second in training, where `--fps` or the config said so",
    "clip.skips_absent": "whether only occupied person slots run (`--skip-absent`)",
    "contract": "what the numbers of a clip must be",
    "contract.preprocessing": "how the training codebase makes them, in words",
    "contract.steps": "the same as steps that `--raw` takes; empty where they are not known",
    "contract.steps.name": "a name of `TRANSFORMS` (`skeleton/contract.py`)",
    "contract.steps.params": "all its parameters, defaults too",
    "contract.pad_frames": "what fills missing frames",
    "contract.pad_persons": "what fills empty person slots",
    "num_classes": "classes",
    "output": "what the graph's output is",
    "activation": "what makes probabilities of logits; sigmoid where classes are independent",
    "graph_form": "form of the graph convolution that was written",
    "graph_form_ms": "median of each form where `auto` measured them; else empty",
    "opset": "ONNX opset, read back from the file",
    "ir_version": "ONNX IR version",
    "exporter": "exporter that wrote the graph",
    "precision": "number format of the graph",
    "precision.requested": "asked for",
    "precision.actual": "got",
    "precision.compute": "what the layers that are not quantised are computed in",
    "precision.target": "backend that the graph was made for; null for any",
    "precision.base": "sha256 of the manifest that it was made from; null for an export",
    "precision.calibration": "what ranges were taken from; null where nothing is quantised",
    "precision.calibration.data": "name of the file",
    "precision.calibration.sha256": "of the samples, as the network saw them",
    "precision.calibration.split": "split of the data",
    "precision.calibration.samples": "how many",
    "precision.calibration.method": "how a range was chosen",
    "precision.calibration.scheme": "types and granularity",
    "precision.float_layers": "what was kept in float for the sake of accuracy",
    "precision.accuracy": "what lower precision cost on held-out recordings",
    "precision.accuracy.data": "name of the file",
    "precision.accuracy.split": "split of the data",
    "precision.accuracy.records": "how many",
    "precision.accuracy.backend": "where both ran",
    "precision.accuracy.before": "top-1 of the bundle that it was made from",
    "precision.accuracy.after": "top-1 of this one",
    "precision.accuracy.points": "percentage points lost",
    "precision.accuracy.margin": "half width of their 95 % interval",
    "precision.accuracy.agreement": "share of records with the same best class",
    "precision.accuracy.budget": "points that were allowed; null where none was set",
    "macs": "multiply-accumulates of one clip, counted on the reference form",
    "parameters": "tensor elements of the reference form, buffers included",
    "parity": "the verification that the bundle passed when it was made; null with `--no-verify`",
    "parity.backend": "where the graph ran",
    "parity.cases": "inputs compared",
    "parity.max_error": "largest error of a logit, over max(1, max\\|logits\\|)",
    "parity.p99_error": "99th percentile of the worst case",
    "parity.mean_error": "mean",
    "parity.top1_agreement": "share of inputs with the same first class",
    "parity.tolerance": "what was allowed",
    "parity.inert": "parts of the input that change nothing, in the reference either",
    "builds": "files for devices that were made of the graph, see `stgcn build`",
    "builds.target": "the backend that runs it",
    "builds.file": "its name in the bundle",
    "builds.requested": "precision asked for",
    "builds.actual": "precision found in the built file",
    "builds.attempts": "all precisions that were tried, in order",
    "builds.attempts.precision": "one of them",
    "builds.attempts.outcome": "`built`, or why it was not, or what is not known of it",
    "builds.shapes": "by input, the smallest, the usual and the largest shape; one where it is fixed",
    "builds.device": "what it runs on, as the vendor names it: `Ascend310P3`",
    "builds.layers": "layers by precision, where the vendor's tool lists them; else empty",
    "builds.tools": "versions of what built it",
    "builds.command": "argv of the vendor's tool, without the folders of the machine",
    "versions": "library versions at export",
    "command": "the command line that made it",
    "files": "every file of the bundle",
    "files.*.sha256": "of the file; checked whenever the bundle is opened",
    "files.*.bytes": "its size",
}


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """A Markdown table; the columns in `right` are set flush right."""
    rules = ["---:" if index in right else "---" for index in range(len(header))]
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join(rules)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def code(text: object) -> str:
    """Inline code that survives inside a table; nothing for an empty text."""
    return f"`{str(text).replace('|', chr(92) + '|')}`" if str(text) else ""


def codes(names: Iterable[object]) -> str:
    """Several of them."""
    return ", ".join(code(name) for name in names)


def fenced(text: str) -> str:
    """A block of plain text."""
    return f"```text\n{text.rstrip()}\n```"


# ---- what is supported -----------------------------------------------------------------------


# Codebase -> families of its files, and the axes of their first input.
FAMILIES_OF: dict[str, tuple[tuple[str, ...], str]] = {
    "st-gcn": (("stgcn",), "NCTVM"),
    "st-gcn-twostream": (("twostream",), "NCTVM"),
    "st-gcn-legacy": (("stgcn-legacy",), "NCTVM"),
    "tsstg": (("tsstg", "stgcn"), "NCTV"),
    "tao": (("stgcn",), "NCTVM"),
    "mmaction2-0.x": (("stgcn",), "NCTVM"),
    "pyskl": (("stgcn", "stgcnpp"), "NMTVC"),
    "mmaction2": (("stgcn", "stgcnpp"), "NMTVC"),
    "2s-agcn": (("agcn", "aagcn"), "NCTVM"),
    "pyskl-aagcn": (("aagcn",), "NMTVC"),
    "mmaction2-aagcn": (("aagcn",), "NMTVC"),
    "mmaction2-0.x-agcn": (("agcn",), "NCTVM"),
    "ctr-gcn": (("ctrgcn",), "NCTVM"),
    "ctr-gcn-baseline": (("ctrgcn-baseline",), "NCTVM"),
    "pyskl-ctrgcn": (("ctrgcn",), "NMTVC"),
    "mmaction2-ctrgcn": (("ctrgcn",), "NMTVC"),
    "pyskl-dgstgcn": (("dgstgcn",), "NMTVC"),
    "pyskl-msg3d": (("msg3d",), "NMTVC"),
    "mmaction2-msg3d": (("msg3d",), "NMTVC"),
    "paddle-stgcn": (("stgcn",), "NCTVM"),
    "paddle-agcn": (("paddle-agcn",), "NCTVM"),
    "paddle-agcn2s": (("agcn",), "NCTVM"),
    "paddle-ctrgcn": (("ctrgcn",), "NCTVM"),
}
# Families of no file of its own: made of several.
COMPOSED = ("ensemble",)


def part_codebases() -> str:
    """Codebase -> families, graph forms, axes and backends."""
    from stgcn_deploy.backends.registry import BACKENDS
    from stgcn_deploy.checkpoints.codebases import CODEBASES
    from stgcn_deploy.models.families import FAMILIES

    rows = [
        (
            f"{code(name)}: {CODEBASES[name].title}",
            code(family),
            codes(FAMILIES[family].graph_forms),
            code(FAMILIES_OF[name][1]),
            codes(BACKENDS),
        )
        for name in CODEBASES
        for family in FAMILIES_OF[name][0]
    ]
    return table(("codebase", "family", "graph forms", "axes", "backends"), rows)


def part_families() -> str:
    """The table of families."""
    from stgcn_deploy.models.families import FAMILIES

    rows = [
        (code(name), family.title, codes(family.graph_forms)) for name, family in FAMILIES.items()
    ]
    return table(("family", "is", "graph forms"), rows)


def part_unsupported() -> str:
    """What is recognised by its keys and refused, with the reason."""
    from stgcn_deploy.checkpoints.codebases import KNOWN_FOREIGN, UNSUPPORTED

    rows = [(title, code(pattern), reason) for pattern, title, reason in UNSUPPORTED]
    rows += [(title, code(pattern), "not one of the codebases") for pattern, title in KNOWN_FOREIGN]
    return table(("file of", "known by a key like", "why it is refused"), rows)


def part_backends() -> str:
    """The table of runtimes."""
    from stgcn_deploy.backends.registry import BACKENDS

    rows = [
        (code(name), code(backend.install), codes(_aliases(BACKENDS.aliases, name)))
        for name, backend in BACKENDS.items()
    ]
    return table(("backend", "installed with", "also called"), rows)


def part_matrix() -> str:
    """What can be exported, and what runs it."""
    return f"{part_codebases()}\n\n{part_backends()}"


def part_preprocessing() -> str:
    """Codebase -> its preprocessing in words."""
    from stgcn_deploy.checkpoints.codebases import CODEBASES

    rows = [(code(name), codebase.preprocessing) for name, codebase in CODEBASES.items()]
    return table(("codebase", "numbers of a clip"), rows)


def part_steps() -> str:
    """The steps that a manifest may name."""
    from stgcn_deploy.skeleton.contract import TRANSFORMS

    rows = []
    for name, function in TRANSFORMS.items():
        parameters = list(inspect.signature(function).parameters)[1:]
        first = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        rows.append((code(name), codes(parameters), first.replace("|", "\\|")))
    return table(("step", "parameters", "does"), rows)


def part_weights() -> str:
    """How ensembles are fused where nothing is said."""
    from stgcn_deploy.checkpoints.codebases import CODEBASES
    from stgcn_deploy.checkpoints.ensemble import FUSION, USUAL

    def row(name: str, fusion: Any) -> tuple[str, str, str]:
        space, weights = fusion
        return name, space, ", ".join(f"{code(s)} {w:g}" for s, w in weights.items())

    rows = [row(code(name), fusion) for name, fusion in FUSION.items() if name in CODEBASES]
    return table(("codebase", "added as", "weights"), [*rows, row("all others", USUAL)])


def _aliases(aliases: dict[str, str], name: str) -> list[str]:
    return [alias for alias, target in aliases.items() if target == name]


def part_layouts() -> str:
    """The table of layouts."""
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    rows = [
        (
            code(name),
            str(layout.num_joints),
            codes(edge_set.name for edge_set in layout.edge_sets),
            codes(_aliases(LAYOUTS.aliases, name)),
        )
        for name, layout in LAYOUTS.items()
    ]
    return table(("layout", "V", "edge sets", "also called"), rows, right=[1])


def part_edge_sets() -> str:
    """Layout and edge set -> who calls it what."""
    from stgcn_deploy.skeleton.catalogue import describe
    from stgcn_deploy.skeleton.layouts import LAYOUTS

    rows = []
    for name, layout in LAYOUTS.items():
        for one in describe(layout)["edge_sets"]:
            spelt = "; ".join(
                f"{code(w)} in {', '.join(who)}" for w, who in one["spellings"].items()
            )
            center = (
                "" if one["center"] is None else f"{one['center']} {layout.joints[one['center']]}"
            )
            rows.append((code(name), code(one["name"]), str(len(one["edges"])), center, spelt))
    return table(("layout", "edge set", "edges", "centre", "called"), rows, right=[2])


def part_presets() -> str:
    """The table of presets."""
    from stgcn_deploy.exporter.presets import PRESETS

    rows = [
        (
            code(name),
            str(preset.batch),
            ", ".join(preset.dynamic) or "none",
            "yes" if preset.optimise else "no",
            preset.meaning,
        )
        for name, preset in PRESETS.items()
    ]
    return table(("preset", "batch", "open axes", "optimised", "meant for"), rows, right=[1])


def part_axes() -> str:
    """The axes that can be left open, and what they are verified for."""
    from stgcn_deploy.exporter.presets import AXIS_NAMES, DYNAMIC_RANGES

    rows = [
        (code(f"--dynamic {name}"), letter, "{} to {}".format(*DYNAMIC_RANGES[letter]))
        for name, letter in AXIS_NAMES.items()
    ]
    return table(("option", "axis", "verified at both ends of"), rows)


def part_tolerances() -> str:
    """The table of tolerances."""
    from stgcn_deploy.measure.tolerances import TOLERANCES

    rows = [
        (code(backend), code(precision), f"{row.error:.0e}", f"{row.top1:.0%}", row.evidence)
        for (backend, precision), row in TOLERANCES.items()
    ]
    header = ("backend", "precision", "largest error", "same first class", "measured to set it")
    return table(header, rows)


# ---- speed -----------------------------------------------------------------------------------


def part_speed() -> str:
    """The published benchmark, where there is one."""
    if not RAW.is_file():
        return "No benchmark is recorded in this checkout: run `make bench`."
    sys.path.insert(0, str(ROOT / "bench"))
    from cases import CASES

    titles = {case.name: case.title for case in CASES}
    raw = json.loads(RAW.read_text(encoding="utf-8"))
    first, *others = raw
    parts = [_speed_case(titles.get(first, first), raw[first])]
    facts = next(iter(raw.values()))
    threads = facts["rows"][0]["threads"]
    versions = ", ".join(
        f"{library} {facts['environment']['versions'][library]}"
        for library in ("torch", "onnxruntime")
        if library in facts["environment"]["versions"]
    )
    note = (
        f"{facts['environment']['cpu']}, {threads} threads, {versions}. Every contender ran alone in "
        f"its process; {facts['rounds']} rounds, interleaved. Medians of one call."
    )
    report = RAW.with_name("report.md")
    more = f" [{len(others)} more networks](/bench/report.md)." if report.is_file() else ""
    return "\n\n".join([*parts, note + more])


def _speed_case(title: str, report: dict[str, Any]) -> str:
    rows = [row for row in report["rows"] if not row["error"]]
    plain = next((row for row in rows if row["name"].startswith("plain export")), rows[0])
    body = [
        (row["name"], f"{row['p50_ms']:.1f}", f"{plain['p50_ms'] / row['p50_ms']:.2f}x")
        for row in rows
    ]
    body += [(row["name"], "failed", "") for row in report["rows"] if row["error"]]
    header = (title, "median ms", f"speed, {plain['name'].partition(' on ')[0]} = 1")
    return table(header, body, right=[1, 2])


# ---- live runs -------------------------------------------------------------------------------


def part_live_settings() -> str:
    """Everything that a configuration file may say, a table for each part of it."""
    sys.path.insert(0, str(DOCS))
    from live_parts import groups

    parts = []
    for group in groups():
        rows = [
            (
                code(row.name),
                row.kind,
                "*needed*" if row.usual is None else code(row.usual),
                row.meaning,
            )
            for row in group.rows
        ]
        head = f"### {group.title}\n\n{group.about}" if group.title else group.about
        shown = table(("setting", "is", "default", "meaning"), [_escaped(row) for row in rows])
        parts.append(f"{head}\n\n{shown}")
    return "\n\n".join(parts)


def _escaped(row: Sequence[str]) -> list[str]:
    return [re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row]


def part_live_ladder() -> str:
    """The steps down under load."""
    from stgcn_deploy.live.ladder import STEPS

    rows = [
        (str(level), code(step.name), ", ".join(step.priorities), step.meaning)
        for level, step in enumerate(STEPS, 1)
    ]
    return table(("level", "called", "cameras of priority", "what is left out"), rows, right=[0])


# ---- manifest --------------------------------------------------------------------------------


def _records(annotation: Any) -> Any:
    """(record class, "*" for a dict of them or "") where a field holds records, else None."""
    from pydantic import BaseModel

    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, "*." if typing.get_origin(annotation) is dict else ""
    return None


def _type_text(annotation: Any) -> str:
    """A type as one would write it."""
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin in (types.UnionType, typing.Union):
        return " | ".join(map(_type_text, arguments))
    if arguments:
        return f"{origin.__name__}[{', '.join(map(_type_text, arguments))}]"
    return getattr(annotation, "__name__", str(annotation))


def _fields(model: Any, prefix: str = "") -> Iterator[tuple[str, str, str | None]]:
    """(dotted name, type, description) of every field, records opened."""
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", _type_text(field.annotation), field.description
        inner = _records(field.annotation)
        if inner is not None:
            yield from _fields(inner[0], f"{prefix}{name}.{inner[1]}")


def stale_meanings() -> list[str]:
    """Fields of the manifest without a meaning, and meanings without a field."""
    from stgcn_deploy.manifest import Manifest

    known = {name: description for name, _, description in _fields(Manifest)}
    bare = {name for name, description in known.items() if description is None}
    return sorted(bare ^ (set(MEANINGS) - (set(known) - bare)))


def part_manifest() -> str:
    """manifest.json, field by field."""
    from stgcn_deploy.manifest import Manifest

    stale = stale_meanings()
    if stale:
        raise SystemExit(f"MEANINGS of docs/generate.py and the manifest disagree about {stale}")
    rows = [
        (code(name), code(kind), description or MEANINGS[name])
        for name, kind, description in _fields(Manifest)
    ]
    return table(("field", "type", "meaning"), rows)


# ---- errors ----------------------------------------------------------------------------------


def part_errors() -> str:
    """The exception tree, as errors.py draws it."""
    from stgcn_deploy import errors

    drawn = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    return fenced("\n".join(line[4:] for line in drawn))


# ---- Python API ------------------------------------------------------------------------------

SECTIONS = ("Args", "Raises", "Returns", "Attributes", "Example")


def _value(value: object) -> str:
    """A default as one would write it."""
    if isinstance(value, str):
        return json.dumps(value)
    return value.__name__.lstrip("_") if callable(value) else repr(value)


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {parameter.annotation}"
    if parameter.default is not inspect.Parameter.empty:
        text += f" = {_value(parameter.default)}"
    return text


def signature_text(name: str, function: Callable[..., Any], *, method: bool = False) -> str:
    """A call, one argument a line where it would be long."""
    signature = inspect.signature(function)
    parts: list[str] = []
    for parameter in list(signature.parameters.values())[1 if method else 0 :]:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts.append(_parameter(parameter))
    result = signature.return_annotation
    tail = "" if result is inspect.Signature.empty else f" -> {result}"
    short = f"{name}({', '.join(parts)}){tail}"
    if len(short) <= HELP_WIDTH:
        return short
    lines = "".join(f"    {part},\n" for part in parts)
    return f"{name}(\n{lines}){tail}"


def _sections(doc: str) -> dict[str, list[str]]:
    """The paragraphs of a docstring by section; "" is what stands before the first."""
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in inspect.cleandoc(doc).splitlines():
        title = line.rstrip(":")
        if line.endswith(":") and title in SECTIONS:
            current = title
            found[current] = []
        else:
            found[current].append(line)
    return found


def _items(lines: Sequence[str]) -> Iterator[str]:
    """List items "name: text" out of an indented section; continuation lines joined."""
    items: list[str] = []
    for line in filter(str.strip, lines):
        if line.startswith("        ") and items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    for item in re.split(r"(?m); (?=[A-Z]\w+Error: )|\n", "\n".join(items)):
        names, colon, text = item.partition(": ")
        yield f"- {codes(names.split(', '))}: {text}" if colon else f"- {item}"


def doc_text(thing: Any) -> str:
    """A docstring as Markdown."""
    sections = _sections(inspect.getdoc(thing) or "")
    lists = [
        f"{title}:\n\n" + "\n".join(_items(sections[title]))
        for title in ("Args", "Attributes", "Raises")
        if sections.get(title)
    ]
    return "\n\n".join(filter(None, ["\n".join(sections[""]).strip(), *lists]))


def _function(name: str, function: Callable[..., Any]) -> str:
    text = fenced(signature_text(f"stgcn_deploy.{name}", function))
    return f"## {name}\n\n{text}\n\n{doc_text(function)}"


def _members(kind: type) -> Iterator[str]:
    """Public attributes, properties and methods of a class, as one line each."""
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            if not field.name.startswith("_"):
                yield f"{field.name}: {field.type}"
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            result = inspect.signature(member.fget).return_annotation  # type: ignore[arg-type]
            yield f"{name}: {result}"
        elif inspect.isfunction(member):
            yield signature_text(name, member, method=True)


def _class(kind: type) -> str:
    return f"## {kind.__name__}\n\n{doc_text(kind)}\n\n{fenced(chr(10).join(_members(kind)))}"


def part_api() -> str:
    """The public functions, then what they return."""
    import stgcn_deploy
    from stgcn_deploy.api import common
    from stgcn_deploy.api.recordings import Amount
    from stgcn_deploy.ascend.report import AscendRun
    from stgcn_deploy.ascend.summary import Phase, Timing
    from stgcn_deploy.builders.base import BuildPlan
    from stgcn_deploy.builders.target import BuildResult
    from stgcn_deploy.data.dataset import ReadOptions
    from stgcn_deploy.exporter.build import Exported
    from stgcn_deploy.measure.accuracy import AccuracyReport
    from stgcn_deploy.measure.bench import BenchReport
    from stgcn_deploy.measure.comparison import Comparison
    from stgcn_deploy.measure.evaluation import Evaluation
    from stgcn_deploy.measure.evaluation import Row as Judged
    from stgcn_deploy.measure.parity import ParityReport
    from stgcn_deploy.measure.sweep import Sweep
    from stgcn_deploy.measure.verify import VerifyReport
    from stgcn_deploy.runtime import Action, Model, Prediction
    from stgcn_deploy.skeleton.windows import Fit

    aliases = {
        "Motion": common.Motion,
        "Adjacency": common.Adjacency,
        "Fit": Fit,
        "Amount": Amount,
    }
    named = "\n".join(f"{name} = {_type_text(alias)}" for name, alias in aliases.items())
    named += "\nProgress = Callable[[str], None]"
    named += "\nBuildProgress = Callable[[str, float | None], None]"
    public = {name: getattr(stgcn_deploy, name) for name in stgcn_deploy.__all__}
    functions = [_function(n, f) for n, f in public.items() if inspect.isfunction(f)]
    results = (
        Model, Prediction, Action, Exported, VerifyReport, ParityReport, BenchReport, Evaluation,
        Judged, Comparison, Sweep, AccuracyReport, BuildResult, BuildPlan, AscendRun, Timing, Phase,
        ReadOptions,
    )  # fmt: skip
    parts = [*functions, "## Names in the signatures\n\n" + fenced(named), *map(_class, results)]
    return "\n\n".join(parts)


# ---- command line ----------------------------------------------------------------------------


def help_text(command: Any, name: str) -> str:
    """`--help` without colours and boxes, always as wide."""
    command.rich_markup_mode = None
    context = command.make_context(
        name, [], resilient_parsing=True, help_option_names=["-h", "--help"]
    )
    context.terminal_width = context.max_content_width = HELP_WIDTH
    text: str = command.get_help(context)
    return text


def part_cli() -> str:
    """`--help` of every command."""
    from typer.main import get_command

    from stgcn_deploy.cli.main import COMMANDS, build_app

    app = get_command(build_app())
    parts = [f"## stgcn\n\n{fenced(help_text(app, 'stgcn'))}"]
    for name in COMMANDS:
        command: Any = app
        for word in name.split():
            command = command.commands[word]
        text = help_text(command, f"stgcn {name}")
        parts.append(f"## stgcn {name}\n\n{fenced(text)}")
    return "\n\n".join(parts)


PARTS: dict[str, Callable[[], str]] = {
    "matrix": part_matrix,
    "codebases": part_codebases,
    "families": part_families,
    "unsupported": part_unsupported,
    "preprocessing": part_preprocessing,
    "steps": part_steps,
    "weights": part_weights,
    "backends": part_backends,
    "layouts": part_layouts,
    "edge-sets": part_edge_sets,
    "presets": part_presets,
    "axes": part_axes,
    "tolerances": part_tolerances,
    "speed": part_speed,
    "manifest": part_manifest,
    "live-settings": part_live_settings,
    "live-ladder": part_live_ladder,
    "errors": part_errors,
    "api": part_api,
    "cli": part_cli,
}


# ---- pages -----------------------------------------------------------------------------------


def pages() -> list[Path]:
    """Every page that may hold generated parts."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def regenerated(text: str, where: str) -> str:
    """A page with its generated parts made anew; links that begin with / become relative to it.

    Raises:
        SystemExit: a part that no function makes, or one without its end.
    """

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in PARTS:
            raise SystemExit(f"{where}: no part is called {name!r}; known: {', '.join(PARTS)}")
        made = PARTS[name]().replace("](/", f"]({'../' * where.count('/')}")
        return f"<!-- generated:{name} -->\n\n{made}\n\n<!-- end -->"

    if len(OPENING.findall(text)) != len(PART.findall(text)):
        raise SystemExit(f"{where}: a generated part has no <!-- end -->")
    return PART.sub(fill, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite or check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when stale")
    check = parser.parse_args(arguments).check
    stale = []
    for page in pages():
        name = page.relative_to(ROOT).as_posix()
        old = page.read_text(encoding="utf-8")
        new = regenerated(old, name)
        if new == old:
            continue
        stale.append(name)
        if check:
            lines = (old.splitlines(), new.splitlines())
            print("\n".join(difflib.unified_diff(*lines, name, f"{name} (made anew)", lineterm="")))
        else:
            page.write_text(new, encoding="utf-8")
            print(f"rewrote {name}")
    if check and stale:
        print(f"stale: {', '.join(stale)}; run: python docs/generate.py", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
