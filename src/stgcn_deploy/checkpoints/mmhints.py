"""What the values of a training config say about its checkpoint, and what the file denies.

The names of settings and their defaults are those of PYSKL's and MMAction2's STGCN.  Any value may
be Unknown: then nothing is concluded from it, and a note says on what it depends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from stgcn_deploy.checkpoints.base import Hints, Origin
from stgcn_deploy.checkpoints.pyliteral import ABSENT, Section, Unknown, Value
from stgcn_deploy.errors import CheckpointError, UnsupportedCheckpointError
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.layouts import LAYOUTS

__all__ = ["ConfigHints", "contradictions", "hints_from_values", "to_hints"]

Branch = tuple[int, int] | tuple[Literal["max"], int] | Literal["1x1"]
_Compared = Iterator[
    tuple[str, object, object]
]  # a name, what the config says, what the file shows

RECOGNISER = "RecognizerGCN"
MAX_STAGES = 100
MAX_DATASET_WRAPS = 4
_ADAPTIVE = ("init", "offset", "importance")
# Steps that fix the number of frames, with the argument that says it; a sampler before a padding.
_SAMPLERS = {
    "UniformSample": "clip_len",
    "UniformSampleFrames": "clip_len",
    "UniformSampleDecode": "clip_len",
    "PadTo": "length",
}


@dataclass(frozen=True)
class ConfigHints:
    """What a config says about its checkpoint; None means that it does not say.

    Attributes:
        where: the config.
        frames: T; persons: M; layout: our name of it.
        gcn_adaptive: "none" where the config says that the graph is fixed.
        tcn_ms_cfg: branches (kernel, dilation), ("max", kernel) or "1x1".
        strides: one for each block; channels: the output channels of each block.
        notes: what was taken from where.
    """

    where: str
    frames: int | None = None
    persons: int | None = None
    layout: str | None = None
    in_channels: int | None = None
    num_classes: int | None = None
    gcn_adaptive: Literal["init", "offset", "importance", "none"] | None = None
    gcn_with_res: bool | None = None
    tcn_type: str | None = None
    tcn_ms_cfg: tuple[Branch, ...] | None = None
    data_bn_type: str | None = None
    strides: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    fps: float | None = None
    notes: tuple[str, ...] = ()


def hints_from_values(where: str, values: Section) -> ConfigHints:
    """Read what a checkpoint lacks out of a config's values; see mmconfig.hints_from_config."""
    model = _section(where, values, "model")
    if not _is_type(model, RECOGNISER):
        raise CheckpointError(
            f"{model.place}: model type {_shown(model.find('type'))} is not the skeleton recogniser "
            f"{RECOGNISER}; give the config that this checkpoint was trained with."
        )
    backbone = _section(where, model, "backbone")
    if not _is_type(backbone, "STGCN"):
        raise UnsupportedCheckpointError(
            f"{backbone.where('type')}: backbone {_shown(backbone.find('type'))} is not supported; "
            "configs are read for STGCN (ST-GCN and ST-GCN++)."
        )
    taken = _Taken()
    found = _network(taken, backbone) | _clip(taken, values)
    found["layout"] = _graph_layout(taken, backbone, values)
    found["num_classes"] = taken.take(_inner(model, "cls_head"), "num_classes", _count)
    found["fps"] = taken.take(values, "fps", _positive)
    if taken.defaults:
        listed = ", ".join(taken.defaults)
        taken.notes.append(f"not in the config, so the codebase's defaults: {listed}")
    return ConfigHints(where=where, notes=tuple(taken.notes), **found)


def _section(where: str, parent: Section, key: str) -> Section:
    """The dict of a key; empty where a base file that was not read may have it."""
    value = parent.find(key)
    if isinstance(value, Section):
        return value
    if isinstance(value, Unknown) and key == "backbone":
        return Section(parent.place, value)
    if isinstance(value, Unknown):
        raise CheckpointError(
            f"{where}: {key!r} depends on {value}, and configs are read without being run. Give a "
            "merged config (`Config.fromfile(...).dump('merged.py')`), or leave --config out and "
            "give --frames, --persons and --layout."
        )
    raise CheckpointError(
        f"{where} has {'no' if value is ABSENT else _shown(value) + ' as'} {key!r}; expected an "
        "MMAction2 or PYSKL training config with `model = dict(type='RecognizerGCN', "
        "backbone=dict(type='STGCN', ...), ...)`."
    )


def _inner(parent: Section, key: str) -> Section:
    """The dict of a key, else an empty one that knows what it may be hiding."""
    value = parent.find(key)
    if isinstance(value, Section):
        return value
    return Section(parent.place, value if isinstance(value, Unknown) else None)


def _type_of(section: Section) -> Value:
    """`type` without the registry's scope ("mmaction.STGCN")."""
    name = section.find("type")
    return name.rpartition(".")[2] if isinstance(name, str) else name


def _is_type(section: Section, name: str) -> bool:
    """Whether it is of this type, or may be by a base file that was not read."""
    found = _type_of(section)
    return bool(found == name) or (isinstance(found, Unknown) and "type" not in section)


def _shown(value: Value) -> str:
    if value is ABSENT or isinstance(value, Unknown):
        return "(none)" if value is ABSENT else f"<{value}>"
    scalar = value is None or isinstance(value, (str, int, float))
    return repr(value)[:60] if scalar else f"a {type(value).__name__}"


# Each of these turns a config's value into ours, or into ABSENT where it is of the wrong kind.


def _count(value: Value, highest: int = 1 << 31) -> Value:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= highest
    return value if good else ABSENT


def _stage_count(value: Value) -> Value:
    return _count(value, MAX_STAGES)


def _positive(value: Value) -> Value:
    # Frames per second or a ratio of channels: its MAX_STAGES-th power is a float, too.
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 500
    return value if good else ABSENT


def _flag(value: Value) -> Value:
    return value if isinstance(value, bool) else ABSENT


def _bn_type(value: Value) -> Value:
    # Anything but these two means no data_bn at all, None and False included.
    return value if value in ("VC", "MVC") else "none"


def _tcn_type(value: Value) -> Value:
    return value if value in ("unit_tcn", "mstcn") else ABSENT


def _adaptive(value: Value) -> Value:
    return "none" if value is None else value if value in _ADAPTIVE else ABSENT


def _layout(value: Value) -> Value:
    return LAYOUTS[value].name if isinstance(value, str) and value in LAYOUTS else ABSENT


def _each(value: Value, accept: Callable[[Value], Value] = _count) -> Value:
    if not isinstance(value, (list, tuple)) or len(value) > MAX_STAGES:
        return ABSENT
    ours = [accept(item) for item in value]
    return ABSENT if any(item is ABSENT for item in ours) else tuple(ours)


def _branch(entry: Value) -> Value:
    if entry == "1x1":
        return entry
    if not isinstance(entry, (list, tuple)) or len(entry) != 2 or _count(entry[1]) is ABSENT:
        return ABSENT
    return tuple(entry) if entry[0] == "max" or _count(entry[0]) is not ABSENT else ABSENT


def _branches(value: Value) -> Value:
    return _each(value, _branch)


# What the STGCN class can be told, with what it takes where it is not told.
_BACKBONE: dict[str, tuple[Callable[[Value], Value], Value]] = {
    "in_channels": (_count, 3),
    "base_channels": (_count, 64),
    "ch_ratio": (_positive, 2),
    "num_stages": (_stage_count, 10),
    "inflate_stages": (_each, (5, 8)),
    "down_stages": (_each, (5, 8)),
    "gcn_adaptive": (_adaptive, "importance"),
    "gcn_with_res": (_flag, False),
    "tcn_type": (_tcn_type, "unit_tcn"),
    "tcn_ms_cfg": (_branches, ((3, 1), (3, 2), (3, 3), (3, 4), ("max", 3), "1x1")),
    "data_bn_type": (_bn_type, "VC"),
}
_PLAN = tuple(_BACKBONE)[:6]  # strides and channels follow from these


class _Taken:
    """Takes values out of a config and notes each one."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.defaults: list[str] = []

    def take(
        self,
        section: Section,
        key: str,
        accept: Callable[[Value], Value],
        default: Value = ABSENT,
        name: str = "",
    ) -> Any:
        """The value of a key in our form, None where it is not known.

        `accept` gives our form; `default` is what the codebase takes where the key is certainly
        absent; `name` is ours, where it differs from the key.
        """
        name = name or key
        value = section.find(key)
        if isinstance(value, Unknown):
            self.notes.append(f"{name}: not known, because it depends on {value}")
            return None
        if value is ABSENT:
            if default is not ABSENT:
                self.defaults.append(f"{name} {default!r}")
            return None if default is ABSENT else default
        accepted = accept(value)
        if accepted is ABSENT:
            self.notes.append(f"{name}: {_shown(value)} is not understood ({section.where(key)})")
            return None
        alias = "" if name == key else f"{key}, "
        self.notes.append(f"{name} {accepted!r}: {alias}{section.where(key)}")
        return accepted


def _network(taken: _Taken, backbone: Section) -> dict[str, Any]:
    """What the config says of the network, strides and channels of its blocks included."""
    said = {key: taken.take(backbone, key, *ours) for key, ours in _BACKBONE.items()}
    inputs, base, ratio, stages, inflate, down = (said.pop(key) for key in _PLAN)
    said["in_channels"] = inputs
    if said["tcn_type"] != "mstcn":
        del said["tcn_ms_cfg"]
    if None in (inputs, base, stages, down):
        return said
    # The special first block exists only where it has channels to change.
    order = range(2 if inputs == base else 1, stages + 1)
    said["strides"] = tuple(2 if stage > 1 and stage in down else 1 for stage in order)
    if inflate is not None and ratio is not None:
        times = [sum(2 <= step <= stage for step in set(inflate)) for stage in order]
        said["channels"] = tuple(int(base * ratio**count + 1e-4) for count in times)
    return said


def _graph_layout(taken: _Taken, backbone: Section, values: Section) -> str | None:
    """The layout of the graph, else the one that the pipeline computes bones for."""
    graph = _inner(backbone, "graph_cfg")
    features = _step(values, "GenSkeFeat")
    stated = "layout" in graph or features is None
    section, key = (graph, "layout") if stated else (features or graph, "dataset")
    found: str | None = taken.take(section, key, _layout, name="layout")
    return found


# ---- pipelines -------------------------------------------------------------------------------


def _dataset(values: Section, stage: str) -> Section:
    """The innermost dataset of a stage, out of RepeatDataset and its like."""
    found = _inner(_inner(values, "data"), stage)
    if not found:
        found = _inner(_inner(values, f"{stage}_dataloader"), "dataset")
    for _ in range(MAX_DATASET_WRAPS):
        if "pipeline" not in found and "dataset" in found:
            found = _inner(found, "dataset")
    return found


def _steps(values: Section, stage: str) -> list[Section]:
    """A stage's pipeline, as its dataset has it, else as the variable of that name."""
    dataset = _dataset(values, stage)
    found = dataset.get("pipeline", values.get(f"{stage}_pipeline", values.get("pipeline")))
    steps = found if isinstance(found, (list, tuple)) else []
    return [step for step in steps if isinstance(step, Section)]


def _step(values: Section, *names: str) -> Section | None:
    """The first step of one of these types, in the pipeline nearest to testing."""
    for stage in ("test", "val", "train"):
        steps = _steps(values, stage)
        for name in names:
            for step in steps:
                if _type_of(step) == name:
                    return step
    return None


def _clip(taken: _Taken, values: Section) -> dict[str, Any]:
    """Frames and persons."""
    sampler = _step(values, *_SAMPLERS)
    key = _SAMPLERS[_type_of(sampler)] if sampler else "clip_len"
    formatter = _step(values, "FormatGCNInput")
    return {
        "frames": taken.take(sampler or values, key, _count, name="frames"),
        "persons": formatter and taken.take(formatter, "num_person", _count, 2, "persons"),
    }


# ---- use -------------------------------------------------------------------------------------


def to_hints(config_hints: ConfigHints, given: Hints) -> Hints:
    """What the user said, completed by what the config says; `origins` tells which is which."""
    adaptive = config_hints.gcn_adaptive
    said = {name: getattr(config_hints, name) for name in ("frames", "persons", "strides", "fps")}
    said["layout"] = LAYOUTS[config_hints.layout] if config_hints.layout else None
    said["adjacency"] = adaptive if adaptive in ("importance", "offset") else None
    new = {
        name: value
        for name, value in said.items()
        if value is not None and getattr(given, name) is None
    }
    origins: dict[str, Origin] = {**given.origins, **dict.fromkeys(new, "config")}
    return replace(given, **new, origins=origins)


def contradictions(config_hints: ConfigHints, spec: NetworkSpec) -> list[str]:
    """What the config says and the file's shapes deny, in words; empty when they agree."""
    said = config_hints
    layout = LAYOUTS[said.layout] if said.layout else None
    pairs = (
        ("num_classes", said.num_classes, spec.num_classes),
        ("in_channels", said.in_channels, spec.in_channels),
        (f"layout {said.layout}, V", layout and layout.num_joints, spec.num_joints),
        ("persons of data_bn (M)", said.persons if spec.num_persons else None, spec.num_persons),
        *_units_compared(said, spec),
        *_blocks_compared(said, spec),
    )
    return [
        f"{name}: {ours} by the config, {real} in the file"
        for name, ours, real in pairs
        if ours is not None and ours != real
    ]


def _units_compared(said: ConfigHints, spec: NetworkSpec) -> _Compared:
    first, kind = spec.blocks[0], said.tcn_type
    family = {"mstcn": "stgcnpp", "unit_tcn": "stgcn"}.get(kind or "")
    yield f"tcn_type {kind}, family", family, spec.family
    if first.branches and family == "stgcnpp":
        name = "tcn_ms_cfg (a file shows no dilations, the usual ones are assumed)"
        yield name, said.tcn_ms_cfg, tuple(map(_branch_entry, first.branches))
    if said.gcn_adaptive is not None:
        # Which of the two a PA is, the file only suggests: there the config is believed.
        masked = said.gcn_adaptive in ("importance", "offset")
        yield f"gcn_adaptive {said.gcn_adaptive}, a PA", masked, first.adjacency != "plain"
    if any(block.in_channels != block.out_channels for block in spec.blocks):  # else unseen
        graph_residual = any(block.graph_residual != "none" for block in spec.blocks)
        yield "gcn_with_res", said.gcn_with_res, graph_residual
    norm = {"VC": "joint", "MVC": "person", "none": "none"}.get(said.data_bn_type or "")
    if not (norm == "person" and spec.input_norm == "joint"):  # the same where there is one person
        yield f"data_bn_type {said.data_bn_type}, per", norm, spec.input_norm


def _blocks_compared(said: ConfigHints, spec: NetworkSpec) -> _Compared:
    strides = said.strides or ()
    if strides and len(strides) != len(spec.blocks):
        yield "number of blocks", len(strides), len(spec.blocks)
        return
    real = tuple(block.out_channels for block in spec.blocks)
    yield "channels of the blocks", said.channels, real
    for index, (stride, block) in enumerate(zip(strides, spec.blocks, strict=False), 1):
        changes = stride != 1 or block.in_channels != block.out_channels
        if block.residual != "none":
            needed = "conv" if changes else "identity"
            yield f"block {index}, stride {stride}, residual", needed, block.residual


def _branch_entry(branch: BranchSpec) -> Branch:
    if branch.kind == "1x1":
        return "1x1"
    return ("max", branch.kernel) if branch.kind == "max" else (branch.kernel, branch.dilation)
