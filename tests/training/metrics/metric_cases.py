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

"""People in known places for the tests of the protocols."""

from __future__ import annotations

from collections.abc import Sequence

from mahmr_model.types import Camera
import numpy as np
from training.metrics.types import Floats, MeshTruth, PredictedPeople

CAMERA = Camera(1000.0, 1000.0, 640.0, 360.0, 1280, 720)
VERTICES = 30
H36M = np.eye(17, VERTICES)
"""The first 17 vertices are Human3.6M's joints."""
EXTRA = np.eye(9, VERTICES, 20)
"""Vertices 20 to 28 are the extra joints."""

_RANDOM = np.random.default_rng(7)
JOINTS_M = _RANDOM.uniform(-0.5, 0.5, (45, 3))
VERTICES_M = _RANDOM.uniform(-0.5, 0.5, (VERTICES, 3))


def people_at(
    places_m: Sequence[Sequence[float]],
    confidence: Sequence[float] | None = None,
    camera: Camera = CAMERA,
) -> PredictedPeople:
    """Return people of one shape and pose in places (x, y, z) in metres."""
    places = np.array(places_m, dtype=float).reshape(-1, 1, 3)
    joints = JOINTS_M + places
    count = len(places)
    return PredictedPeople(
        confidence=np.full(count, 0.9) if confidence is None else np.array(confidence, float),
        joints_camera_m=joints,
        joints_px=camera.project(joints),
        vertices_camera_m=VERTICES_M + places,
        translation_m=places[:, 0],
        pose_axis_angle=np.arange(count * 72.0).reshape(count, 24, 3),
        betas=np.arange(count * 10.0).reshape(count, 10),
        height_m=np.full(count, 1.7),
        camera=camera,
    )


def truth_of(people: PredictedPeople, kid: Sequence[bool] | None = None) -> MeshTruth:
    """Return the truth that these people would be exactly right for."""
    return MeshTruth(
        joints_camera_m=people.joints_camera_m,
        joints_px=people.joints_px,
        vertices_camera_m=people.vertices_camera_m,
        height_m=people.height_m,
        focal_px=np.full(len(people), people.camera.fx),
        kid=np.zeros(len(people), bool) if kid is None else np.array(kid, bool),
    )


def square(left: float, top: float, side: float) -> Floats:
    """Return four joints (4, 2): the corners of a square, in pixels."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
    return corners * side + (left, top)


def squares(*corners: tuple[float, float, float]) -> Floats:
    """Return the joints (N, 4, 2) of squares, given as left, top, side."""
    return np.array([square(*corner) for corner in corners]).reshape(-1, 4, 2)
