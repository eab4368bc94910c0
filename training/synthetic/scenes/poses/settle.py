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

"""Poses laid so that they rest: tilted a little until the body's own hull stands firmly."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation
from training.data.annotation import Floats
from training.synthetic.scenes.small_body import small_body

MOST_TILT_DEG: dict[str, float] = {
    'stand': 6.0,
    'walk': 4.0,
    'bend': 8.0,
    'crouch': 12.0,
    'kneel': 18.0,
    'floor': 25.0,
    'lie': 40.0,
    'crawl': 30.0,
    'getup': 20.0,
}
"""How far a category's poses may be tilted; those that would need more stay as they are."""

# Parts of the mass, about those of Winter, Biomechanics and Motor Control of Human Movement:
# trunk 0.5, head and neck 0.08, thighs 0.1, shins 0.046, feet 0.015, arms 0.05 each.
_MASSES: dict[int, float] = {
    0: 0.14, 3: 0.12, 6: 0.12, 9: 0.12, 15: 0.08, 1: 0.05, 2: 0.05, 4: 0.073, 5: 0.073,
    7: 0.03, 8: 0.03, 10: 0.01, 11: 0.01, 18: 0.04, 19: 0.04, 20: 0.01, 21: 0.01,
}  # fmt: skip
_INSIDE = 0.02


def settled(rotvecs: Floats, most_tilt_deg: float) -> Floats:
    """Return poses (N, 24, 3) with their roots tilted to the nearest face they could rest on."""
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    posed = small_body().pose(matrices, np.zeros((len(rotvecs), 11)))
    numbers, masses = np.array(list(_MASSES)), np.array(list(_MASSES.values()))
    centres = (posed.joints[:, numbers] * masses[:, None]).sum(1) / masses.sum()
    result = rotvecs.copy()
    for i, (skin, centre) in enumerate(zip(posed.skin, centres, strict=True)):
        tilt = _tilt(skin, centre)
        if tilt is not None and np.rad2deg(tilt.magnitude()) <= most_tilt_deg:
            result[i, 0] = (tilt * Rotation.from_rotvec(rotvecs[i, 0])).as_rotvec()
    return result


def _tilt(points: Floats, centre: Floats) -> Rotation | None:
    """Return the least turn that lays a stable face of the points' hull on the ground."""
    hull = ConvexHull(points)
    normals = hull.equations[:, :3]
    down = np.array([0.0, -1.0, 0.0])
    for face in np.argsort(-normals @ down)[:40]:
        normal, corners = normals[face], points[hull.simplices[face]]
        if normal @ down < 0.5:
            return None
        foot = centre - normal * (normal @ (centre - corners[0]))
        if _within(foot, corners):
            axis = np.cross(normal, down)
            sine = float(np.linalg.norm(axis))
            if sine < 1e-9:
                return Rotation.identity()
            return Rotation.from_rotvec(axis / sine * np.arctan2(sine, normal @ down))
    return None


def _within(point: Floats, corners: Floats) -> bool:
    """Say whether a point of the plane of a triangle (3, 3) lies in it, or nearly so."""
    a, b = corners[1] - corners[0], corners[2] - corners[0]
    weights = np.linalg.lstsq(np.stack([a, b], 1), point - corners[0], rcond=None)[0]
    return bool(weights.min() > -_INSIDE and weights.sum() < 1 + _INSIDE)
