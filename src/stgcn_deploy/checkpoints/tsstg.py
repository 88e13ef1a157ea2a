"""TSSTG of Human-Falling-Detect-Tracks, and one stream of it alone; one person, (N, C, T, V).

pts_stream. and mot_stream.: the st-gcn tree without its head; fcn (classes, 512): one joint layer.
Alone: the st-gcn tree at top level, its head called cls (classes, 256, 1, 1).
"""

from __future__ import annotations

from dataclasses import replace

from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors, conv_keys
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.stgcn import describe_network, network_keys, trunk_keys
from stgcn_deploy.errors import KeyMismatchError, UsageError
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.models.tsstg import motion_stream
from stgcn_deploy.skeleton.contract import Step
from stgcn_deploy.skeleton.inputs import InputSpec

__all__ = ["CODEBASE"]

STREAMS = {"points": "pts_stream.", "motion": "mot_stream."}
ALONE = "cls"
FRAMES = (30, "the window that this codebase trains with")


def _two_streams(tensors: Tensors) -> NetworkSpec:
    for name, prefix in STREAMS.items():
        if not tensors.any(rf"^{prefix}"):
            other = next(other for other in STREAMS if other != name)
            raise KeyMismatchError(
                f"{tensors.where}: a TSSTG file with the {other} stream only; every key under "
                f"{prefix!r} is missing. Save the whole network's state dict."
            )
    points, motion = (describe_network(tensors, prefix, head="fcn") for prefix in STREAMS.values())
    found = replace(
        points,
        family="tsstg",
        input_name="points",
        extra_inputs=(InputSpec("motion", "NCTV", motion.in_channels, "forward_step", 1),),
    )
    if replace(motion_stream(found), input_name="input", family="stgcn") != motion:
        raise KeyMismatchError(
            f"{tensors.where}: the points and motion streams have different shapes; expected the "
            "same network twice, but for the input channels."
        )
    return found


class TsstgCodebase:
    """Fall detection on tracks of one person."""

    name = "tsstg"
    title = "TSSTG (Human-Falling-Detect-Tracks)"
    preprocessing = (
        "13 AlphaPose joints, x and y of each frame scaled to -1..1 over the joints, score; the "
        "middle of the shoulders appended as joint 13; motion = x, y of the next frame minus this one"
    )

    def matches(self, tensors: Tensors) -> bool:
        """Either stream's block convolution, or one stream with its own head."""
        alone = "st_gcn_networks.0.gcn.conv.weight" in tensors and f"{ALONE}.weight" in tensors
        return alone or tensors.any(r"^(pts|mot)_stream\.st_gcn_networks\.0\.gcn\.")

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            KeyMismatchError: one stream is missing, or the two differ.
            UsageError: more than one person asked for.
        """
        if hints.persons not in (None, 1):
            raise UsageError(
                f"{tensors.where}: TSSTG looks at one person; run it once for each of the "
                f"{hints.persons}, and leave --persons out."
            )
        alone = f"{ALONE}.weight" in tensors
        found = describe_network(tensors, "", head=ALONE) if alone else _two_streams(tensors)
        plain = replace(found, axes="NCTV", num_persons=1, activation="sigmoid")
        spec, strides = with_strides(plain, hints)
        frames, persons, facts = clip_size(hints, FRAMES, (1, "the network has no person axis"))
        notes = [
            strides,
            Fact("block 0 residual", "none", "assumed", "as the codebase has it"),
            Fact("activation", "sigmoid", "assumed", "classes are independent in this codebase"),
            *facts,
        ]
        graph = tensors["A" if alone else f"{STREAMS['points']}A"].float().numpy()
        return Described(spec, tuple(notes), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        if not spec.extra_inputs:
            return KeyMap(network_keys(spec, "", "", head=ALONE))
        keys = conv_keys("head", "fcn")
        for name, prefix in STREAMS.items():
            keys |= trunk_keys(spec, f"{name}.", prefix)
        return KeyMap(keys)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        known = setting.layout is not None and setting.layout.name == "cococut14"
        if not known or spec.in_channels != 3 or setting.stream != "joint":
            return ()
        return (
            Step("coordinates", {"dimensions": 2}),
            Step("square_frames"),
            Step("middle_joint", {"joints": spec.num_joints - 1, "first": 1, "second": 2}),
            Step("merge_score"),
        )


CODEBASE = TsstgCodebase()
