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

"""Small scenes whose truth is easy to know."""

from __future__ import annotations

import numpy as np
from training.synthetic.scenes.scene import Scene, Thing


def turned(axis: int, angle: float) -> np.ndarray:
    """Return the rotation by an angle around a coordinate axis."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    rotation[a, a] = rotation[b, b] = cosine
    rotation[a, b], rotation[b, a] = -sine, sine
    return rotation


def sample_scene(
    seed: int,
    people: int = 3,
    size_hw: tuple[int, int] = (96, 128),
    things: tuple[Thing, ...] | None = None,
) -> Scene:
    """Return people in random poses before a camera that looks down a little, and a box."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    focal = width * rng.uniform(0.7, 1.3)
    down = turned(0, rng.uniform(0, 0.3))
    camera_height = 1.6
    pose = rng.normal(0, 0.15, (people, 72))
    pose[:, 16 * 3 + 2], pose[:, 17 * 3 + 2] = -1.0, 1.0
    pose[:, :3] = 0
    pose[:, 0] = np.pi  # upright, facing the camera
    betas = rng.normal(0, 1, (people, 11)) * ([1] * 10 + [0])
    at = np.stack(
        [
            rng.uniform(-0.8, 0.8, people),
            np.full(people, camera_height - 0.96),
            rng.uniform(2, 5, people),
        ],
        1,
    )
    if things is None:
        box = Thing(
            'box', down @ [0.5, 1.2, 2.2], np.array([0.3, 0.4, 0.2]), down @ turned(1, 0.4)
        )
        things = (box,)
    light = down @ np.array([0.4, -0.8, -0.45])
    return Scene(
        size_hw,
        np.array([[focal, 0, width / 2 + 3], [0, focal * 1.05, height / 2 - 2], [0, 0, 1]]),
        pose,
        betas,
        at @ down.T,
        things,
        down @ np.array([0.0, -1.0, 0.0]),
        camera_height,
        light / np.linalg.norm(light),
        seed,
    )
