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

"""
People of known place in a known lens: drawn as two coloured boards, and measured again.

`draw` is the truth: a ray through each point of the sensor, bent as OpenCV's models bend it, hits
a board or not. `measure` is a predictor that knows nothing but the picture and the lens that it
is given: how large a board looks tells how far it is. What it finds is as right as the lens is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
from mahmr_model.types import Camera
import numpy as np

# Centres in metres in the optical frame, and the size of the boards, which face the camera.
CENTRES_M = np.array([[-0.8, 0.1, 4.0], [0.9, -0.1, 5.5]])
WIDTH_M, HEIGHT_M = 0.6, 0.9

# Points across a pixel at which a ray is followed.
FINE = 4


@dataclass(frozen=True)
class Sensor:
    """A camera as it truly is, in pixels of the whole sensor, and which part of it is read out."""

    matrix: np.ndarray
    size: tuple[int, int] = (640, 480)
    coefficients: tuple[float, ...] = ()
    fisheye: bool = False
    offset: tuple[int, int] = (0, 0)
    binning: int = 1


def draw(sensor: Sensor) -> np.ndarray:
    """Return the picture (height, width, 3) uint8: board i is all there is in channel i."""
    width, height = sensor.size
    steps = (np.arange(FINE) + 0.5) / FINE
    # Pixel i of the picture covers binning pixels of the sensor; OpenCV's are whole at their
    # middle.
    u, v = (
        start + sensor.binning * (np.arange(count)[:, None] + steps).reshape(-1) - 0.5
        for start, count in zip(sensor.offset, (width, height), strict=True)
    )
    rays = directions(sensor, np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 1, 2))
    image = np.zeros((height, width, 3), np.uint8)
    for channel, (x, y, z) in enumerate(CENTRES_M):
        inside = (abs(rays[:, 0] * z - x) < WIDTH_M / 2) & (abs(rays[:, 1] * z - y) < HEIGHT_M / 2)
        covered = inside.reshape(height, FINE, width, FINE).mean(axis=(1, 3))
        image[..., channel] = np.round(255 * covered)
    return image


def directions(sensor: Sensor, pixels: np.ndarray) -> np.ndarray:
    """Return x/z and y/z (N, 2) of the rays through points (N, 1, 2) of the sensor."""
    if sensor.fisheye:
        rays = cv2.fisheye.undistortPoints(pixels, sensor.matrix, np.array(sensor.coefficients))
    else:
        enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
        bent = np.array(sensor.coefficients or (0.0,) * 5)
        rays = cv2.undistortPointsIter(pixels, sensor.matrix, bent, None, None, enough)
    return rays.reshape(-1, 2)


def measure(image_rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the centres (2, 3) of the boards in metres, as far as this lens is the true one."""
    centres = []
    for channel in range(len(CENTRES_M)):
        covered = image_rgb[..., channel] / 255
        rows, columns = np.indices(covered.shape)
        area_px = covered.sum()
        u, v = (covered * columns).sum() / area_px, (covered * rows).sum() / area_px
        z = np.sqrt(camera.fx * camera.fy * WIDTH_M * HEIGHT_M / area_px)
        centres.append(((u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z))
    return np.array(centres)
