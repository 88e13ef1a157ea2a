"""NVIDIA TAO pose_classification: st-gcn's keys, saved by PyTorch Lightning under the prefix model.

The container code removes the prefix; the file is told apart from st-gcn's own by its 34 joints or by
what Lightning writes beside the weights.  Encrypted files never get here.
"""

from __future__ import annotations

from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.stgcn import describe_network, network_keys, saved_by_tao
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.adjacency import identify
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

# Its settings for Human3.6M keep whole recordings; all others keep 300 frames.
LONG = ("human36m17", 3163)
# What its 3-D points are divided by, where the settings do not say otherwise.
FOCAL_LENGTH = 1200.0


class TaoCodebase:
    """One stream, as st-gcn has it."""

    name = "tao"
    title = "NVIDIA TAO pose_classification"
    preprocessing = (
        "3-D: (joint - pelvis) / focal length (1200 by default); 2-D: x/W-0.5, y/H-0.5; joints of "
        "confidence 0 are zeros; zero frames at the end up to the sequence length"
    )

    def matches(self, tensors: Tensors) -> bool:
        """st-gcn's keys, and a sign of TAO."""
        return (
            "st_gcn_networks.0.gcn.conv.weight" in tensors
            and tensors.any(r"^fcn\.")
            and saved_by_tao(tensors)
        )

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe."""
        spec, strides = with_strides(describe_network(tensors, ""), hints)
        graph = tensors["A"].float().numpy()
        match = identify(graph)
        long = match is not None and match.exact and match.layout.name == LONG[0]
        two = spec.num_joints in (24, 25)
        frames, persons, facts = clip_size(
            hints,
            (LONG[1] if long else 300, "sequence length of TAO's settings"),
            (
                spec.num_persons or (2 if two else 1),
                "fixed by data_bn" if spec.num_persons else "usual for this layout",
            ),
        )
        block0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
        return Described(spec, (strides, block0, *facts), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        return KeyMap(network_keys(spec, "", ""))

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        end = (
            Step("drop_unsure", {"threshold": 0.0}),
            Step("pad_frames", {"frames": setting.frames}),
            Step("persons", {"count": setting.persons}),
        )
        if setting.stream != "joint" or setting.layout is None:
            return ()
        if spec.in_channels == 2:
            fractions = Step("image_fractions", {"offset": 0.5})
            return (Step("coordinates", {"dimensions": 2}), fractions, *end)
        if setting.layout.name != "nvidia34":
            return ()
        from_pelvis = Step("minus_joint", {"joint": 0, "divisor": FOCAL_LENGTH})
        return (Step("coordinates", {"dimensions": 3}), from_pelvis, *end)


CODEBASE = TaoCodebase()
