"""Streams inside a graph: bones and motion derived from the joints of (N * M, C, T, V).

    bone[v] = joint[v] - joint[parent of v]        motion[t] = x[t+1] - x[t], the last frame zero

PYSKL and MMAction2 treat the score channel of 2-D key points apart: a bone's score is the mean of its
two joints', a motion's the mean of its two frames'.  2s-AGCN and CTR-GCN difference every channel.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stgcn_deploy.skeleton.bones import bone_matrix, bone_parents

__all__ = ["STREAM_NAMES", "StreamMaker"]

# Name -> (bones first, then motion).
STREAM_NAMES: dict[str, tuple[bool, bool]] = {
    "joint": (False, False),
    "bone": (True, False),
    "joint_motion": (False, True),
    "bone_motion": (True, True),
}
SCORE = 2


class StreamMaker(nn.Module):
    """One stream of a clip.

    Args:
        name: one of STREAM_NAMES.
        layout: says which joint each bone hangs on; needed for bones only.
        mean_bone_score, mean_motion_score: whether channel 2 is a score that bones (motion) average
            instead of differencing it.
    """

    bones: Tensor
    score_bones: Tensor

    def __init__(
        self, name: str, layout: str, *, mean_bone_score: bool, mean_motion_score: bool
    ) -> None:
        super().__init__()
        self.use_bones, self.use_motion = STREAM_NAMES[name]
        self.mean_bone_score = mean_bone_score
        self.mean_motion_score = mean_motion_score
        if self.use_bones:
            matrix = bone_matrix(layout)
            self.register_buffer("bones", torch.from_numpy(matrix).float())
            mean = np.eye(len(matrix)) / 2
            for joint, parent in enumerate(bone_parents(layout)):
                mean[parent, joint] += 0.5
            self.register_buffer("score_bones", torch.from_numpy(mean).float())

    def _bones(self, x: Tensor) -> Tensor:
        if not self.mean_bone_score:
            return torch.matmul(x, self.bones)
        points = torch.matmul(x[:, :SCORE], self.bones)
        return torch.cat([points, torch.matmul(x[:, SCORE:], self.score_bones)], dim=1)

    def _motion(self, x: Tensor) -> Tensor:
        after = torch.cat([x[:, :, 1:], x[:, :, -1:]], dim=2)
        if not self.mean_motion_score:
            return after - x
        points = after[:, :SCORE] - x[:, :SCORE]
        scores = 0.5 * (x[:, SCORE:, :-1] + x[:, SCORE:, 1:])
        # The last frame has no successor: its motion is zero, its score too.
        last = x[:, SCORE:, -1:] * 0
        return torch.cat([points, torch.cat([scores, last], dim=2)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N * M, C, T, V) -> the same shape."""
        if self.use_bones:
            x = self._bones(x)
        if self.use_motion:
            x = self._motion(x)
        return x
