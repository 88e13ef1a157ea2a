"""MS-G3D as PYSKL and the MMAction2 project of that name store it, (N, M, T, V, C).

Stages i = 1, 2, 3: backbone.gcn3di.gcn3d.w.{gcn3d.1.{A, PA, mlp.layers.0, mlp.layers.1}, out_conv,
out_bn}, backbone.sgcni.0.{A, PA, mlp.layers.0, mlp.layers.1}, backbone.sgcni.{1, 2} and backbone.tcni
with .branches.b.{0, 1, 3.conv, 3.bn} (the max pool: {0, 1, 4}, the 1x1: {0, 1}) and .residual.{conv,
bn}; backbone.data_bn, backbone.A; cls_head.fc_cls (PYSKL) or cls_head.fc (MMAction2)
"""

from __future__ import annotations

from dataclasses import dataclass

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, bn_keys, conv_keys
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.errors import KeyMismatchError
from stgcn_deploy.models.msg3d_parts import StageSpec, TemporalSpec, WindowSpec
from stgcn_deploy.models.spec import BranchSpec, NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["MMACTION2", "PYSKL"]


def _branch(tensors: Tensors, at: str, dilation: int) -> BranchSpec:
    channels = tensors[f"{at}.0.weight"].shape[0]
    if f"{at}.3.conv.weight" in tensors:
        kernel = tensors[f"{at}.3.conv.weight"].shape[2]
        return BranchSpec("conv", channels, kernel, dilation, after_bn=True)
    if f"{at}.4.weight" in tensors:
        return BranchSpec("max", channels, kernel=3, after_bn=True)
    return BranchSpec("1x1", channels, kernel=1, after_bn=True)


def _temporal(tensors: Tensors, here: str, *, relu: bool = True) -> TemporalSpec:
    count = tensors.indices(rf"{here}\.branches\.(\d+)\.")
    branches = tuple(_branch(tensors, f"{here}.branches.{i}", i + 1) for i in range(count))
    return TemporalSpec(
        in_channels=tensors[f"{here}.branches.0.0.weight"].shape[1],
        out_channels=sum(branch.channels for branch in branches),
        residual="conv" if f"{here}.residual.conv.weight" in tensors else "identity",
        branches=branches,
        relu=relu,
    )


def _window(tensors: Tensors, here: str) -> WindowSpec:
    return WindowSpec(
        window=tensors[f"{here}.out_conv.weight"].shape[3],
        hidden=tensors[f"{here}.gcn3d.1.mlp.layers.0.weight"].shape[0],
        scales=tensors[f"{here}.gcn3d.1.A"].shape[0],
    )


def _stage(tensors: Tensors, number: int) -> StageSpec:
    paths, factorised = f"backbone.gcn3d{number}.gcn3d", f"backbone.sgcn{number}"
    scales = tensors[f"{factorised}.0.A"].shape[0]
    hidden, wide = tensors[f"{factorised}.0.mlp.layers.0.weight"].shape[:2]
    after = _temporal(tensors, f"backbone.tcn{number}")
    return StageSpec(
        in_channels=wide // scales,
        out_channels=after.out_channels,
        stride=1 if number == 1 else 2,
        hidden=hidden,
        scales=scales,
        windows=tuple(
            _window(tensors, f"{paths}.{index}")
            for index in range(tensors.indices(rf"{paths}\.(\d+)\."))
        ),
        temporal=(
            _temporal(tensors, f"{factorised}.1"),
            _temporal(tensors, f"{factorised}.2", relu=False),
        ),
        after=after,
    )


def _graph_keys(to: str, of: str) -> dict[str, str]:
    keys = {f"{to}.A": f"{of}.A", f"{to}.PA": f"{of}.PA"}
    return (
        keys
        | conv_keys(f"{to}.conv", f"{of}.mlp.layers.0")
        | bn_keys(f"{to}.bn", f"{of}.mlp.layers.1")
    )


def _temporal_keys(spec: TemporalSpec, to: str, of: str) -> dict[str, str]:
    keys: dict[str, str] = {}
    for index, branch in enumerate(spec.branches):
        ours, theirs = f"{to}.branches.{index}", f"{of}.branches.{index}"
        keys |= conv_keys(f"{ours}.entry", f"{theirs}.0")
        if branch.kind == "1x1":
            keys |= bn_keys(f"{ours}.after", f"{theirs}.1")
            continue
        keys |= bn_keys(f"{ours}.bn", f"{theirs}.1")
        if branch.kind == "conv":
            keys |= conv_keys(f"{ours}.conv", f"{theirs}.3.conv")
            keys |= bn_keys(f"{ours}.after", f"{theirs}.3.bn")
        else:
            keys |= bn_keys(f"{ours}.after", f"{theirs}.4")
    if spec.residual == "conv":
        keys |= conv_keys(f"{to}.residual.conv", f"{of}.residual.conv")
        keys |= bn_keys(f"{to}.residual.bn", f"{of}.residual.bn")
    return keys


def _stage_keys(stage: StageSpec, to: str, number: int) -> dict[str, str]:
    keys = _graph_keys(f"{to}.graph", f"backbone.sgcn{number}.0")
    for index, temporal in enumerate(stage.temporal):
        ours, theirs = f"{to}.temporal.{index}", f"backbone.sgcn{number}.{index + 1}"
        keys |= _temporal_keys(temporal, ours, theirs)
    for index in range(len(stage.windows)):
        ours, theirs = f"{to}.windows.{index}", f"backbone.gcn3d{number}.gcn3d.{index}"
        keys |= _graph_keys(f"{ours}.graph", f"{theirs}.gcn3d.1")
        keys |= conv_keys(f"{ours}.collapse", f"{theirs}.out_conv")
        keys |= bn_keys(f"{ours}.bn", f"{theirs}.out_bn")
    return keys | _temporal_keys(stage.after, f"{to}.after", f"backbone.tcn{number}")


def _persons(tensors: Tensors, per_person: int) -> int:
    features = tensors["backbone.data_bn.weight"].numel()
    if features % per_person:
        raise KeyMismatchError(
            f"{tensors.where}: data_bn has {features} features, expected a multiple of V*C = "
            f"{per_person}."
        )
    return features // per_person


@dataclass(frozen=True)
class Msg3dRecognizer:
    """The two codebases differ in the name of the classifier."""

    name: str
    title: str
    head: str
    preprocessing: str

    def matches(self, tensors: Tensors) -> bool:
        """A factorised path and windows, and this codebase's head."""
        return (
            "backbone.sgcn1.0.mlp.layers.0.weight" in tensors
            and tensors.any(r"^backbone\.gcn3d1\.gcn3d\.0\.")
            and f"{self.head}.weight" in tensors
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        count = 0
        while f"backbone.sgcn{count + 1}.0.A" in tensors:
            count += 1
        stages = tuple(_stage(tensors, number + 1) for number in range(count))
        graphs = tensors["backbone.sgcn1.0.A"]
        joints, channels = graphs.shape[1], stages[0].in_channels
        plain = NetworkSpec(
            family="msg3d",
            axes="NMTVC",
            in_channels=channels,
            num_joints=joints,
            num_subsets=len(graphs),
            num_classes=tensors[f"{self.head}.weight"].shape[0],
            blocks=stages,
            input_norm="person",
            num_persons=_persons(tensors, joints * channels),
        )
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(
            hints,
            (100, "clip_len of the usual settings"),
            (plain.num_persons or 1, "fixed by data_bn"),
        )
        dilations = tuple(b.dilation for b in stages[0].after.branches if b.kind == "conv")
        notes = (
            strides,
            Fact("dilations", dilations, "assumed", "1, 2, 3, ... by branch"),
            Fact("windows", tuple(w.window for w in stages[0].windows), "file"),
            *facts,
        )
        # Scale 1 is the graph itself: neighbours and self-loops, each column divided by its sum.
        return Described(spec, notes, frames, persons, graphs[1:2].float().numpy())

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys = conv_keys("head", self.head) | bn_keys("data_bn.bn", "backbone.data_bn")
        for index, stage in enumerate(spec.blocks):
            keys |= _stage_keys(stage, f"blocks.{index}", index + 1)
        # The graph that the scales were made from is stored once more at the top.
        return KeyMap(keys, unused=(r"^backbone\.A$",))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.sampled(self.name, spec, setting)


_PREPROCESSING = (
    "2-D: (x-W/2)/(W/2), (y-H/2)/(H/2), score{mask}; 3-D: centred on the first frame and rotated; "
    "clip_len frames sampled uniformly; zero persons for empty slots"
)

PYSKL = Msg3dRecognizer(
    name="pyskl-msg3d",
    title="PYSKL MS-G3D",
    head="cls_head.fc_cls",
    preprocessing=_PREPROCESSING.format(mask=", x=y=0 where score <= 0.01"),
)
MMACTION2 = Msg3dRecognizer(
    name="mmaction2-msg3d",
    title="MMAction2's project MS-G3D",
    head="cls_head.fc",
    preprocessing=_PREPROCESSING.format(mask=""),
)
