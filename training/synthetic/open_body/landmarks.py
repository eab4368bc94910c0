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

"""Points picked from the mesh: face, feet, finger tips, the crown; and which skin is body."""

from __future__ import annotations

from mahmr_model.body.joints import EXTRA_JOINT_VERTICES, SMPL_JOINT_NAMES
import numpy as np
from training.synthetic.open_body.anny_source import Array, Indices, Rig

_FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')
_NOT_BODY = ('head', 'left_wrist', 'right_wrist', 'left_hand', 'right_hand')


def extra_vertices(vertices_m: Array, heads_m: Array, rig: Rig, coco: dict[str, Array]) -> Indices:
    """
    Return the 21 vertices (21,) in the order of `EXTRA_JOINT_VERTICES`.

    Face and feet are the vertices nearest to the points (3,) of `coco`; a finger's tip is the one
    farthest from the head of its last bone, among those that bone moves most.
    """
    found = []
    for name in EXTRA_JOINT_VERTICES:
        side, _, part = name.partition('_')
        if part in _FINGERS:
            bone = rig.index(f'finger{_FINGERS.index(part) + 1}-3.{side[0].upper()}')
            moved = np.flatnonzero(rig.weights.argmax(1) == bone)
            gaps = np.linalg.norm(vertices_m[moved] - heads_m[bone], axis=1)
            found.append(moved[gaps.argmax()])
        else:
            gaps = np.linalg.norm(vertices_m - coco[name], axis=1)
            if not part:  # the nose is on the middle line
                gaps = gaps + np.where(np.abs(vertices_m[:, 0]) < 1e-6, 0, 1)
            found.append(gaps.argmin())
    return np.array(found)


def crown_vertex(vertices_m: Array) -> int:
    """Return the highest vertex of the T-pose."""
    return int(vertices_m[:, 1].argmax())


def body_vertices(weights: Array) -> Indices:
    """Return the vertices that neither head, wrists nor hands move most; `weights` (V, 24)."""
    others = [SMPL_JOINT_NAMES.index(name) for name in _NOT_BODY]
    return np.flatnonzero(~np.isin(weights.argmax(1), others))
