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
What a camera_info means for a picture: which lens places the people, and how sure that is.

Fallbacks, each with its flag in HumanArray.calibration:

- used: the calibration fits the picture; its region of interest and binning are accounted for.
- adapted: made for another size of the same shape, or for no named size: scaled to the picture.
- missing, zero (K[0] = 0), other size, invalid, ignored: the network's own estimate is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import Camera, ImageArray
import numpy as np
import numpy.typing as npt

# Sizes whose shapes differ by less are taken as the same picture resized (rounding included).
SAME_SHAPE = 0.01

PINHOLE_MODELS = ('plumb_bob', 'rational_polynomial', '')
FISHEYE_MODELS = ('equidistant', 'fisheye')


class CameraInfo(Protocol):
    """What is read of a sensor_msgs/CameraInfo, whichever library made it."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: Any


class Calibration(IntEnum):
    """What became of the camera_info: the numbers of mahmr_msgs/HumanArray.calibration."""

    USED = 0
    ADAPTED = 1
    MISSING = 2
    ZERO = 3
    OTHER_SIZE = 4
    INVALID = 5
    IGNORED = 6


@dataclass(frozen=True)
class Distortion:
    """How a lens bends the picture of `camera`: OpenCV's coefficients, without unit."""

    coefficients: tuple[float, ...]
    fisheye: bool


@dataclass(frozen=True)
class Lens:
    """The lens of one picture; `camera` in that picture's pixels, None to have it estimated."""

    calibration: Calibration
    camera: Camera | None = None
    distortion: Distortion | None = None
    note: str = ''
    """One sentence for the log, where the calibration could not be used as it is."""


def lens_of(info: CameraInfo | None, width: int, height: int, *, rectified: bool) -> Lens:
    """
    Return the lens of a picture of `width` x `height` pixels by its camera_info.

    A raw picture has the matrix K and the distortion D; a rectified one has the left part of P
    and no distortion (REP-104). P[3], the second camera of a stereo pair, moves no person: the
    results are in the frame of the camera that took the picture.
    """
    if info is None:
        return Lens(Calibration.MISSING, note='no camera_info has arrived yet')
    matrix = np.array(info.k, dtype=np.float64).reshape(3, 3)
    if rectified and info.p[0] != 0:
        matrix = np.array(info.p, dtype=np.float64).reshape(3, 4)[:, :3]
    if matrix[0, 0] == 0:
        return Lens(Calibration.ZERO, note='camera_info says that the camera is not calibrated')
    fitted = _fit(matrix, info, width, height)
    if fitted is None:
        sizes = f'{info.width}x{info.height} while the picture is {width}x{height}'
        return Lens(Calibration.OTHER_SIZE, note=f'camera_info is for {sizes}')
    calibration, matrix = fitted
    try:
        camera = Camera.from_matrix(matrix, width, height)
        distortion = None if rectified else _distortion(info)
    except UserError as error:
        return Lens(Calibration.INVALID, note=f'camera_info is no lens: {error}')
    note = ''
    if calibration is Calibration.ADAPTED:
        sizes = f'{info.width}x{info.height}, scaled to {width}x{height}'
        note = f'camera_info is for {sizes}'
    return Lens(calibration, camera, distortion, note)


def _fit(
    matrix: npt.NDArray[np.float64], info: CameraInfo, width: int, height: int
) -> tuple[Calibration, npt.NDArray[np.float64]] | None:
    """Bring a matrix of the whole sensor to the picture: region, binning, another size."""
    if info.width == 0 or info.height == 0:
        return Calibration.ADAPTED, matrix
    if (width, height) == (info.width, info.height):
        return Calibration.USED, matrix
    roi = info.roi
    has_roi = roi.width > 0 and roi.height > 0
    region_w, region_h = (roi.width, roi.height) if has_roi else (info.width, info.height)
    matrix = matrix.copy()
    if has_roi:
        matrix[0, 2] -= roi.x_offset
        matrix[1, 2] -= roi.y_offset
    binned = (region_w // max(info.binning_x, 1), region_h // max(info.binning_y, 1))
    if (width, height) == binned:
        matrix[0] /= max(info.binning_x, 1)
        matrix[1] /= max(info.binning_y, 1)
        return Calibration.USED, matrix
    across, down = width / region_w, height / region_h
    if abs(across / down - 1) > SAME_SHAPE:
        return None
    matrix[0] *= across
    matrix[1] *= down
    return Calibration.ADAPTED, matrix


def _distortion(info: CameraInfo) -> Distortion | None:
    """Return what bends a raw picture, None where nothing does."""
    coefficients = tuple(float(d) for d in info.d)
    if not any(coefficients):
        return None
    model = info.distortion_model
    fisheye = model in FISHEYE_MODELS
    lengths = (4,) if fisheye else (4, 5, 8, 12, 14)
    if not fisheye and model not in PINHOLE_MODELS:
        raise UserError(
            f'the distortion model "{model}" is none of '
            f'{", ".join((*PINHOLE_MODELS[:-1], *FISHEYE_MODELS))}.'
        )
    if len(coefficients) not in lengths or not np.isfinite(coefficients).all():
        raise UserError(
            f'the model "{model}" has {" or ".join(map(str, lengths))} finite coefficients, but '
            f'D is {list(coefficients)}.'
        )
    return Distortion(coefficients, fisheye)


class Undistorter:
    """Straightens the pictures of one camera, keeping size and matrix; its maps are kept."""

    def __init__(self) -> None:
        self._lens: tuple[Camera, Distortion] | None = None
        self._maps: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]] | None = None

    def __call__(self, image_rgb: ImageArray, lens: Lens) -> ImageArray:
        """
        Return the picture as a lens without distortion would show it (same if it has none).

        :raises UserError: for a picture that is too large for OpenCV.
        """
        if lens.distortion is None or lens.camera is None:
            return image_rgb
        try:
            if self._lens != (lens.camera, lens.distortion) or self._maps is None:
                self._maps = _undistortion_maps(lens.camera, lens.distortion)
                self._lens = (lens.camera, lens.distortion)
            straight = cv2.remap(image_rgb, *self._maps, cv2.INTER_LINEAR)
        except cv2.error as error:
            raise UserError(
                f'A picture of {lens.camera.width}x{lens.camera.height} cannot be straightened '
                f'({error.err}); have the camera driver send smaller ones.'
            ) from error
        return np.asarray(straight, dtype=np.uint8)


def _undistortion_maps(
    camera: Camera, distortion: Distortion
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]:
    """Return OpenCV's fixed-point maps from the straight picture to the bent one."""
    k, d = camera.matrix, np.array(distortion.coefficients)
    size = (camera.width, camera.height)
    module = cv2.fisheye if distortion.fisheye else cv2
    maps = module.initUndistortRectifyMap(k, d, np.eye(3), k, size, cv2.CV_16SC2)
    return maps[0], maps[1]
