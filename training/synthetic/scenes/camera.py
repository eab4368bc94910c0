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

"""The lens and where it is held: 25° to 120°, from a robot's height to a street lamp's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from training.data.annotation import Floats

Generator = np.random.Generator

ASPECTS: tuple[tuple[float, float], ...] = (
    (4 / 3, 0.28), (16 / 9, 0.28), (3 / 2, 0.14), (1.0, 0.1), (3 / 4, 0.12), (9 / 16, 0.08),
)  # fmt: skip
"""Width over height, and how often."""
FOV_DEG = (25.0, 120.0)
"""Of the longer side and of the vertical."""
_FOV_BETA = (2.0, 2.5)

# Least and most height in metres, and how often: robots, chest, eyes, raised hands and ceilings,
# street lamps.
_HEIGHTS: tuple[tuple[float, float, float], ...] = (
    (0.3, 0.9, 0.2), (0.9, 1.35, 0.15), (1.35, 1.85, 0.35), (1.85, 3.2, 0.18), (3.2, 8.0, 0.12),
)  # fmt: skip
# What of somebody is looked at, metres above the ground: the whole of him far off, more often
# chest and face near by.
_AIM_FAR_M, _AIM_NEAR_M, _NEAR_SIZE = (0.65, 1.05), (0.75, 1.5), 0.75
_BODY_M = 1.6
_SIZES = (0.16, 1.6)  # of somebody at the focus, relative to the picture's height
_NEAREST_M, _FURTHEST_M = 0.7, 40.0
_LOWEST_PITCH_DEG, _HIGHEST_PITCH_DEG = -30.0, 86.0


@dataclass(frozen=True)
class View:
    """
    A lens over the ground.

    The world: metres, y up, the ground y = 0, the camera over the origin, its heading −z.
    """

    size_hw: tuple[int, int]
    focal_px: float
    centre_px: Floats
    """(2,) the principal point."""
    height_m: float
    rotation: Floats
    """(3, 3) from the world to the camera (x right, y down, z forward)."""
    pitch: float
    """Radians that it looks down."""
    focus_m: float
    """How far ahead on the ground people are looked at."""

    @property
    def intrinsics(self) -> Floats:
        """(3, 3)."""
        f, (cx, cy) = self.focal_px, self.centre_px
        return np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])

    @property
    def eye_m(self) -> Floats:
        """(3,) where the lens is in the world."""
        return np.array([0, self.height_m, 0])

    def to_camera(self, points_m: Floats) -> Floats:
        """Return points (..., 3) of the world in the camera frame."""
        seen: Floats = (points_m - self.eye_m) @ self.rotation.T
        return seen

    def project(self, camera_m: Floats) -> Floats:
        """Return pixels (..., 2) of points (..., 3) in the camera frame."""
        pixels: Floats = (
            self.focal_px * camera_m[..., :2] / np.maximum(camera_m[..., 2:], 1e-3)
            + self.centre_px
        )
        return pixels


def draw_view(input_size: int, generator: Generator) -> View:
    """Draw a picture's size, its lens, and where the camera is."""
    size_hw = _size(input_size, generator)
    focal = _focal(size_hw, generator)
    height_px, width_px = size_hw
    centre = np.array([width_px / 2, height_px / 2])
    height = _height(generator)
    size = np.exp(generator.uniform(*np.log(_SIZES)))
    slant = np.clip(focal * _BODY_M / (size * height_px), _NEAREST_M, _FURTHEST_M)
    above = height - generator.uniform(*(_AIM_NEAR_M if size > _NEAR_SIZE else _AIM_FAR_M))
    if slant < abs(above) * 1.1:  # a high camera sees nobody nearer
        slant = abs(above) * generator.uniform(1.1, 2.0)
    focus = float(np.sqrt(slant**2 - above**2))
    # The middle of who is looked at stands somewhere about the middle of the picture.
    down = np.arctan2(above, focus)
    aside = np.arctan(generator.normal(0, 0.13) * height_px / focal)
    low, high = np.deg2rad(_LOWEST_PITCH_DEG), np.deg2rad(_HIGHEST_PITCH_DEG)
    pitch = float(np.clip(down - aside, low, high))
    spread = 3.0 if generator.random() < 0.8 else 14.0
    roll = np.deg2rad(generator.normal(0, spread))
    rotation = _roll(roll) @ _pitch(pitch) @ np.diag([1.0, -1, -1])
    return View(size_hw, focal, centre, height, rotation, pitch, focus)


def _size(input_size: int, generator: Generator) -> tuple[int, int]:
    chances = np.array([c for _, c in ASPECTS])
    aspect = ASPECTS[generator.choice(len(ASPECTS), p=chances / chances.sum())][0]
    shorter = round(input_size * min(aspect, 1 / aspect))
    return (shorter, input_size) if aspect >= 1 else (input_size, shorter)


def _focal(size_hw: tuple[int, int], generator: Generator) -> float:
    """Return a focal length whose angles, longer side and vertical, are both in range."""
    least, most = np.deg2rad(FOV_DEG)
    # The vertical angle of the narrowest lens bounds it where the picture is wide.
    longest = size_hw[0] / 2 / np.tan(least / 2)
    shortest = max(size_hw) / 2 / np.tan(most / 2)
    widest = 2 * np.arctan(max(size_hw) / 2 / shortest)
    narrowest = 2 * np.arctan(max(size_hw) / 2 / longest)
    fov = narrowest + (widest - narrowest) * generator.beta(*_FOV_BETA)
    return float(max(size_hw) / 2 / np.tan(fov / 2))


def _height(generator: Generator) -> float:
    chances = np.array([c for _, _, c in _HEIGHTS])
    low, high, _ = _HEIGHTS[generator.choice(len(_HEIGHTS), p=chances / chances.sum())]
    return float(generator.uniform(low, high))


def _pitch(down: float) -> Floats:
    """Return the turn (3, 3) in the camera's axes that makes it look down."""
    c, s = np.cos(down), np.sin(down)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _roll(radians: float) -> Floats:
    c, s = np.cos(radians), np.sin(radians)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
