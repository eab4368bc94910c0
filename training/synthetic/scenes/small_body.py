# Copyright 2026 MAHMR maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A body of few points, posed by numpy alone: for placing people, hundreds of times a second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.joints import SMPL_PARENTS
from mahmr_model.body.layer import BodyLayer
import numpy as np
import torch
from training.data.annotation import Floats, Ints

JOINTS = len(SMPL_PARENTS)
_DIRECTIONS_A_PART = 40


@dataclass(frozen=True)
class PosedPoints:
    """P posed bodies in metres, in the frame of joint 0's rotation, not yet translated."""

    joints: Floats
    """(P, 45, 3) as `JOINT_NAMES_45`."""
    skin: Floats
    """(P, K, 3) extremal points of the skin."""
    root: Floats
    """(P, 3) joint 0, which its rotation leaves where it is."""


@dataclass(frozen=True)
class SmallBody:
    """
    Linear blend skinning of a few points of a body: 24 joints, 21 picked and K extremal vertices.

    The extremal vertices are, of what each joint moves, the foremost in 14 directions: the lowest
    point of a posed body is one of them or a few millimetres lower.
    """

    template: Floats
    """(24 + M, 3) the joints first, then the vertices."""
    shape_axes: Floats
    """(24 + M, 3, 11)."""
    pose_axes: Floats
    """(207, 3 M)."""
    weights: Floats
    """(M, 24)."""
    part: Ints
    """(K,) the joint that moves each extremal vertex most."""
    picked: int
    """How many of the M vertices are picked ones; they come first."""

    def pose(self, rotations: Floats, betas: Floats) -> PosedPoints:
        """Pose `rotations` (P, 24, 3, 3) relative to the parents, with `betas` (P, 11)."""
        count = len(betas)
        flat = self.shape_axes.reshape(-1, betas.shape[1])
        shaped = self.template + (betas @ flat.T).reshape(count, -1, 3)
        rest, points = shaped[:, :JOINTS], shaped[:, JOINTS:]
        feature = (rotations[:, 1:] - np.eye(3)).reshape(count, -1)
        # By torch, because a loader's worker keeps it to one thread: numpy would start as many
        # as there are cores for this product, and wait for them longer than they work.
        corrected = torch.from_numpy(feature) @ torch.from_numpy(self.pose_axes)
        points = points + corrected.numpy().reshape(count, -1, 3)
        turns, joints = chain(rotations, rest)
        # x' = Σ w (R x + (j' − R j)), the rotations and the shifts blended together.
        shifts = joints - np.einsum('pjab,pjb->pja', turns, rest)
        affine = np.concatenate([turns, shifts[..., None]], axis=3).reshape(count, JOINTS, 12)
        blend = (self.weights @ affine).reshape(count, -1, 3, 4)
        skin = np.einsum('pvab,pvb->pva', blend[..., :3], points) + blend[..., 3]
        joints = np.concatenate([joints, skin[:, : self.picked]], axis=1)
        return PosedPoints(joints, skin[:, slice(self.picked, None)], rest[:, 0])


def chain(rotations: Floats, rest: Floats) -> tuple[Floats, Floats]:
    """Return the turns (P, 24, 3, 3) of all joints in the root's frame, and where they are."""
    turns, joints = np.empty_like(rotations), np.empty_like(rest)
    turns[:, 0], joints[:, 0] = rotations[:, 0], rest[:, 0]
    for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
        turns[:, joint] = turns[:, parent] @ rotations[:, joint]
        bone = rest[:, joint] - rest[:, parent]
        joints[:, joint] = joints[:, parent] + (turns[:, parent] @ bone[..., None])[..., 0]
    return turns, joints


@lru_cache(maxsize=1)
def small_body() -> SmallBody:
    """Return the open body in few points."""
    layer = BodyLayer(load_body(OPEN_BODY), kid=True)
    template, axes = layer.v_template.double().numpy(), layer.shapedirs.double().numpy()
    regressor = layer.joint_regressor.double().numpy()
    weights = layer.skin_weights.double().numpy()
    extremal, part = _extremal(template, weights)
    vertices = np.concatenate([layer.extra_vertex_ids.numpy(), extremal])
    return SmallBody(
        template=np.concatenate([regressor @ template, template[vertices]]),
        shape_axes=np.concatenate([np.einsum('jv,vcs->jcs', regressor, axes), axes[vertices]]),
        pose_axes=layer.posedirs.double().unflatten(1, (-1, 3))[:, vertices].flatten(1).numpy(),
        weights=weights[vertices],
        part=part,
        picked=len(layer.extra_vertex_ids),
    )


def _extremal(template: Floats, weights: Floats) -> tuple[Ints, Ints]:
    """Return vertices (K,), of each joint's the foremost in every direction, and their joints."""
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((_DIRECTIONS_A_PART, 3))
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    directions = np.concatenate([axes, directions / np.linalg.norm(directions, axis=1)[:, None]])
    owner = weights.argmax(1)
    vertices, parts = [], []
    for joint in range(JOINTS):
        own = np.flatnonzero(owner == joint)
        best = np.unique(own[(template[own] @ directions.T).argmax(0)])
        vertices.append(best)
        parts.append(np.full(len(best), joint))
    return np.concatenate(vertices), np.concatenate(parts)
