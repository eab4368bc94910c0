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

"""Step 4 of the recipe: what resizing, turning, scaling and mirroring do to cameras."""

from __future__ import annotations

import math

import numpy as np
from training.data.annotation import Floats
from training.data.augmentation import Draw


def turn(rotation_deg: float) -> Floats:
    """Return R_a (3, 3): the turn by −angle about the optical axis."""
    cosine, sine = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def augmented_intrinsics(
    intrinsics: Floats, rate: float, size_hw: tuple[int, int], draw: Draw
) -> Floats:
    """
    Return cameras (C, 3, 3) of a picture of `size_hw` that was resized by `rate` and then warped.

    Focal lengths × rate·scale; the principal point is scaled and turned about the middle of the
    picture; mirroring sends cx to W − cx (step 4).
    """
    size = np.array([size_hw[1], size_hw[0]], np.float64)
    result = np.array(intrinsics, np.float64)
    result[:, :2] *= rate * draw.scale
    result[:, :2, 2] += (1 - draw.scale) * size / 2
    offset = result[:, :2, 2] - size / 2
    result[:, :2, 2] = offset @ turn(draw.rotation_deg)[:2, :2].T + size / 2
    if draw.flip:
        result[:, 0, 2] = size[0] - result[:, 0, 2]
    return result


def augmented_extrinsics(
    rotation: Floats, translation_m: Floats, draw: Draw
) -> tuple[Floats, Floats]:
    """Return world to camera (P, 3, 3) and (P, 3), turned: R ← R_a R, t ← R_a t (step 4)."""
    turned = turn(draw.rotation_deg)
    return turned @ rotation, translation_m @ turned.T


def cropped_intrinsics(intrinsics: Floats, rate: float) -> Floats:
    """Return cameras after the resize that follows a crop (step 6)."""
    result = intrinsics.copy()
    result[:, :2] *= rate
    result[:, :2, 2] += 0.5 * (rate - 1)
    return result


def projected(points: Floats, intrinsics: Floats) -> Floats:
    """Project points (P, K, 3) with cameras (1 or P, 3, 3) to pixels (P, K, 2)."""
    pixels = points @ intrinsics.transpose(0, 2, 1)
    result: Floats = pixels[..., :2] / pixels[..., 2:]
    return result
