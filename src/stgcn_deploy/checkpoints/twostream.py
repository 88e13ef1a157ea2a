"""Two-stream ST-GCN: the st-gcn tree twice, under origin_stream. and motion_stream."""

from __future__ import annotations

from dataclasses import replace

from stgcn_deploy.checkpoints import recipes
from stgcn_deploy.checkpoints.accounting import KeyMap, Tensors
from stgcn_deploy.checkpoints.base import Described, Fact, Hints, Setting, clip_size, with_strides
from stgcn_deploy.checkpoints.stgcn import describe_network, network_keys
from stgcn_deploy.errors import KeyMismatchError
from stgcn_deploy.models.spec import NetworkSpec
from stgcn_deploy.skeleton.contract import Step

__all__ = ["CODEBASE"]

STREAMS = {"origin": "origin_stream.", "motion": "motion_stream."}


class TwoStreamCodebase:
    """2s_st-gcn, yysijie's st_gcn_twostream and the Jetson guides."""

    name = "st-gcn-twostream"
    title = "two-stream ST-GCN (2s_st-gcn, st_gcn_twostream, the Jetson guides)"
    preprocessing = (
        "MediaPipe: x, y normalised to 0..1 and visibility; OpenPose: x/W-0.5, y/H-0.5, score; "
        "the motion stream is made inside the network"
    )

    def matches(self, tensors: Tensors) -> bool:
        """Either stream's block convolution: half a file is still one of these."""
        return tensors.any(r"^(origin|motion)_stream\.st_gcn_networks\.0\.gcn\.")

    def describe(self, tensors: Tensors, hints: Hints) -> Described:
        """See Codebase.describe.

        Raises:
            KeyMismatchError: one stream is missing, or the two differ.
        """
        for name, prefix in STREAMS.items():
            if not tensors.any(rf"^{prefix}"):
                other = next(other for other in STREAMS if other != name)
                raise KeyMismatchError(
                    f"{tensors.where}: a two-stream file with the {other} stream only; every key "
                    f"under {prefix!r} is missing. Save the whole network's state dict."
                )
        origin, motion = (describe_network(tensors, prefix) for prefix in STREAMS.values())
        if origin != motion:
            raise KeyMismatchError(
                f"{tensors.where}: the origin and motion streams have different shapes; expected "
                "the same network twice."
            )
        said = hints.motion
        spec, strides = with_strides(
            replace(origin, family="twostream", motion=said or "first_difference"), hints
        )
        mediapipe = spec.num_joints == 33
        frames, persons, facts = clip_size(
            hints,
            (150, "the window that two-stream codebases train with"),
            (1 if mediapipe else 2, "usual for this layout; fewer or more with --persons"),
        )
        motion_fact = Fact(
            "motion",
            spec.motion,
            hints.origin("motion") if said else "assumed",
            ""
            if said
            else "m[t] = x[t] - x[t-1]; files do not say. yysijie's own code has the "
            "second difference: --motion second_difference",
        )
        block0 = Fact("block 0 residual", "none", "assumed", "as the codebase has it")
        graph = tensors["origin_stream.A"].float().numpy()
        return Described(spec, (strides, block0, motion_fact, *facts), frames, persons, graph)

    def key_map(self, spec: NetworkSpec) -> KeyMap:
        """See Codebase.key_map."""
        keys: dict[str, str] = {}
        for name, prefix in STREAMS.items():
            keys |= network_keys(spec, f"{name}.", prefix)
        return KeyMap(keys)

    def steps(self, spec: NetworkSpec, setting: Setting) -> tuple[Step, ...]:
        """See Codebase.steps."""
        return recipes.fractions(spec, setting)


CODEBASE = TwoStreamCodebase()
