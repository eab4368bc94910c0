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

"""People as some dozen spheres each: cheap tests of who touches and who hides whom."""

from __future__ import annotations

from mahmr_model.body.joints import JOINT_NAMES_45
import numpy as np
from training.data.annotation import Bools, Floats

# Between which joints a sphere lies, half way, and its radius in metres for a stature of 1.7 m.
_SPANS: tuple[tuple[str, str, float], ...] = (
    ('pelvis', 'pelvis', 0.13), ('spine2', 'spine2', 0.13), ('spine3', 'spine3', 0.14),
    ('neck', 'neck', 0.09), ('head', 'nose', 0.10),
    ('left_hip', 'left_hip', 0.09), ('right_hip', 'right_hip', 0.09),
    ('left_hip', 'left_knee', 0.08), ('right_hip', 'right_knee', 0.08),
    ('left_knee', 'left_knee', 0.06), ('right_knee', 'right_knee', 0.06),
    ('left_knee', 'left_ankle', 0.055), ('right_knee', 'right_ankle', 0.055),
    ('left_ankle', 'left_foot', 0.06), ('right_ankle', 'right_foot', 0.06),
    ('left_shoulder', 'left_shoulder', 0.07), ('right_shoulder', 'right_shoulder', 0.07),
    ('left_shoulder', 'left_elbow', 0.055), ('right_shoulder', 'right_elbow', 0.055),
    ('left_elbow', 'left_elbow', 0.05), ('right_elbow', 'right_elbow', 0.05),
    ('left_elbow', 'left_wrist', 0.045), ('right_elbow', 'right_wrist', 0.045),
    ('left_wrist', 'left_middle', 0.05), ('right_wrist', 'right_middle', 0.05),
)  # fmt: skip
_FIRST = np.array([JOINT_NAMES_45.index(a) for a, _, _ in _SPANS])
_SECOND = np.array([JOINT_NAMES_45.index(b) for _, b, _ in _SPANS])
RADII_M = np.array([r for _, _, r in _SPANS])
"""(S,) of every sphere."""

_COVER = 0.9  # how much of a sphere hides what is behind it
_BEHIND_M = 0.1


def sphere_centres(joints_m: Floats) -> Floats:
    """Return the centres (..., S, 3) of the spheres of joints (..., 45, 3)."""
    centres: Floats = (joints_m[..., _FIRST, :] + joints_m[..., _SECOND, :]) / 2
    return centres


def touching(candidates_m: Floats, others_m: Floats) -> Bools:
    """Say which of the placings (K, S, 3) of somebody touch anybody of (P, S, 3)."""
    if len(others_m) == 0:
        return np.zeros(len(candidates_m), bool)
    flat = others_m.reshape(-1, 3)
    # A product each, all too small for threads, which would wait longer than they work.
    squares = candidates_m @ np.ascontiguousarray(-2 * flat.T)
    squares += (candidates_m**2).sum(-1)[..., None]
    squares += (flat**2).sum(-1)
    reach = RADII_M[:, None] + np.tile(RADII_M, len(others_m))
    hit: Bools = (squares < reach**2).any((1, 2))
    return hit


def hidden_by_people(joints_m: Floats, centres_m: Floats) -> Bools:
    """
    Say which joints (P, J, 3) of the camera frame others hide, whose spheres are (P, S, 3).

    Nobody hides himself here.
    """
    people, count = joints_m.shape[:2]
    distance = np.linalg.norm(joints_m, axis=-1)
    rays = joints_m / np.maximum(distance, 1e-6)[..., None]
    flat = centres_m.reshape(-1, 3)
    along = (rays @ np.ascontiguousarray(flat.T)).reshape(people, count, people, -1)
    squares = (flat**2).sum(-1).reshape(people, -1) - along**2
    covers = squares < (RADII_M * _COVER) ** 2
    covers &= (along > 0) & (along < distance[..., None, None] - _BEHIND_M)
    covers[np.arange(people), :, np.arange(people)] = False
    hidden: Bools = covers.any((2, 3))
    return hidden
