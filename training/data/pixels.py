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

"""Steps 3, 6 and 7 of the recipe as far as pixels go: mirror, warp, crop, and who is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
from mahmr_model.preprocess import resize, resized_size
from mahmr_model.types import ImageArray
import numpy as np
import torch
import torch.nn.functional as functional
from training.data.annotation import Bools, Floats
from training.data.augmentation import Draw


@dataclass(frozen=True)
class PixelMap:
    """How the pixels of a resized picture are moved: mirrored, warped, cropped and resized."""

    resized_hw: tuple[int, int]
    """Size before any of it."""
    matrix: Floats
    """(2, 3) the affine map after mirroring."""
    flip: bool
    moved: bool
    """Whether `matrix` is more than the identity."""
    rows: int | None = None
    """How many rows from the top are kept, or None for all."""

    @classmethod
    def of(cls, resized_hw: tuple[int, int], draw: Draw) -> PixelMap:
        """Make the map of a draw, without its crop (step 3)."""
        height, width = resized_hw
        angle = -draw.rotation_deg if draw.flip else draw.rotation_deg
        matrix = cv2.getRotationMatrix2D((width // 2, height // 2), angle, draw.scale)
        moved = draw.rotation_deg != 0 or draw.scale != 1
        return cls(resized_hw, np.asarray(matrix, np.float64), draw.flip, moved)

    def cropped(self, rows: int) -> PixelMap:
        """Return the map that keeps `rows` rows and resizes to the longer side again (step 6)."""
        return replace(self, rows=rows)

    @property
    def input_size(self) -> int:
        """Return the longer side, before and after."""
        return max(self.resized_hw)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Size after all of it."""
        if self.rows is None:
            return self.resized_hw
        return resized_size(self.rows, self.resized_hw[1], self.input_size)

    @property
    def crop_rate(self) -> float:
        """By how much the crop is enlarged; 1 without one."""
        if self.rows is None:
            return 1.0
        return self.input_size / max(self.rows, self.resized_hw[1])

    def moved_points(self, points_px: Floats) -> Floats:
        """Return where points (..., 2) of the resized picture end up, but for any crop."""
        points = np.array(points_px, np.float64)
        if self.flip:
            points[..., 0] = self.resized_hw[1] - 1 - points[..., 0]
        moved: Floats = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved

    def visible(self, points_px: Floats) -> Bools:
        """
        Return which points (..., 2) of the result are inside it and on pixels of the picture.

        Equal to warping a white mask like the picture and looking at the pixel of each point, but
        only those pixels are computed.
        """
        height, width = self.size_hw
        with np.errstate(invalid='ignore'):
            inside: Bools = np.all((points_px >= 0) & (points_px < (width, height)), axis=-1)
        pixels = np.where(inside[..., None], points_px, 0).astype(np.int64)
        if self.rows is None:
            return inside & self._white(pixels)
        # The resized mask is white where any of the (up to) four pixels that it mixes is.
        rate = np.array([width / self.resized_hw[1], height / self.rows])
        source = np.maximum((pixels + 0.5) / rate - 0.5, 0)
        first = np.floor(source).astype(np.int64)
        last = np.minimum(
            np.ceil(source).astype(np.int64), (self.resized_hw[1] - 1, self.rows - 1)
        )
        white = np.zeros(inside.shape, bool)
        for x in (first[..., 0], last[..., 0]):
            for y in (first[..., 1], last[..., 1]):
                white |= self._white(np.stack([x, y], -1))
        return inside & white

    def _white(self, pixels: np.ndarray) -> Bools:
        """Return whether the warped white mask is above black at whole pixels (..., 2)."""
        inverse = cv2.invertAffineTransform(self.matrix)
        source = pixels @ inverse[:, :2].T + inverse[:, 2]
        size = np.array([self.resized_hw[1], self.resized_hw[0]])
        # Bilinear interpolation of 1 inside and 0 outside is a product of two ramps.
        ramps = np.clip(np.minimum(source + 1, size - source), 0, 1)
        result: Bools = np.rint(255 * ramps.prod(-1)) > 0
        return result


def moved_picture(resized_rgb: ImageArray, pixel_map: PixelMap) -> ImageArray:
    """Return the picture mirrored, warped and cropped (steps 3 and 6)."""
    picture = np.ascontiguousarray(resized_rgb[:, ::-1]) if pixel_map.flip else resized_rgb
    if pixel_map.moved:
        picture = warp(picture, pixel_map.matrix, pixel_map.rows)
    if pixel_map.rows is not None:
        picture = resize(picture[: pixel_map.rows], pixel_map.input_size)
    return picture


def warp(picture: ImageArray, matrix: Floats, rows: int | None = None) -> ImageArray:
    """
    Return a picture (H, W, 3) under an affine map (2, 3) of its pixels, bilinear, black outside.

    Of the result only the upper `rows` are made, if given.

    OpenCV's sign and matrix, but exact: OpenCV itself rounds positions to 1/32 of a pixel in some
    versions and not in others, which shows as several grey levels along edges.
    """
    height, width = picture.shape[:2]
    inverse = torch.from_numpy(cv2.invertAffineTransform(matrix)).float()
    kept = height if rows is None else rows
    x, y = torch.arange(width, dtype=torch.float32), torch.arange(kept, dtype=torch.float32)
    grid = torch.empty(1, kept, width, 2)
    for axis, size in ((0, width), (1, height)):
        # grid_sample wants the first pixel's centre at -1 and the last one's at 1.
        step = inverse[axis] * (2 / max(size - 1, 1))
        torch.add((y * step[1] + step[2] - 1)[:, None], x * step[0], out=grid[0, :, :, axis])
    planes = torch.from_numpy(np.stack(cv2.split(picture))[None]).float()
    warped = functional.grid_sample(planes, grid, 'bilinear', 'zeros', align_corners=True)
    merged = cv2.merge([plane.numpy() for plane in warped[0].round_().byte()])
    return np.asarray(merged, np.uint8)
