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

"""What a way of running the network gives to the predictor: pictures in, people's numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.types import Camera, FloatArray, ImageArray
import numpy as np


@dataclass(frozen=True)
class InputPicture:
    """A picture on its way into the network."""

    image_rgb: ImageArray
    """(H, W, 3) as it came."""
    resized_hw: tuple[int, int]
    """(H', W') that the network sees, without padding."""
    camera: Camera | None
    """The lens that was given, in the picture's own pixels."""

    @property
    def resized_camera(self) -> Camera | None:
        """Return the same lens in pixels of the resized picture."""
        height, width = self.resized_hw
        return None if self.camera is None else self.camera.resized(width, height)

    def known_lens(self) -> tuple[float, float, float, float]:
        """Return fx, fy, cx, cy in pixels of the resized picture; not numbers where unknown."""
        camera = self.resized_camera
        if camera is None:
            return (np.nan, np.nan, np.nan, np.nan)
        return (camera.fx, camera.fy, camera.cx, camera.cy)


@dataclass(frozen=True)
class Found:
    """The N people of one picture, the most confident first; resized picture, camera frame."""

    confidence: FloatArray
    """(N,)."""
    boxes_cxcywh_norm: FloatArray
    """(N, 4) relative to S."""
    pose_axis_angle: FloatArray
    """(N, 24, 3)."""
    betas: FloatArray
    """(N, S)."""
    translation_m: FloatArray
    """(N, 3)."""
    joints_camera_m: FloatArray
    """(N, 45, 3)."""
    vertices_camera_m: FloatArray
    """(N, V, 3)."""
    height_m: FloatArray
    """(N,)."""
    focal_xy_px: FloatArray
    """(2,) of the lens that placed them."""

    def without_duplicates(self, overlap: float) -> Found:
        """Leave out who overlaps with somebody more confident (`overlap_threshold`)."""
        if overlap >= 1 or len(self.confidence) < 2:
            return self
        joints = self.joints_camera_m[:, : len(SMPL_JOINT_NAMES)]
        pixels = joints[..., :2] / joints[..., 2:] * self.focal_xy_px
        rows = without_overlap(pixels, self.confidence, overlap)
        of_people = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name != 'focal_xy_px'
        }
        return replace(self, **of_people)

    def not_finite(self) -> list[str]:
        """Name the fields in which something is not a finite number."""
        names = [field.name for field in fields(self)]
        return [name for name in names if not np.isfinite(getattr(self, name)).all()]


def without_overlap(joints_px: FloatArray, confidence: FloatArray, overlap: float) -> list[int]:
    """
    Return which of N people are left, ascending, where nobody overlaps with somebody before.

    The most confident come first; the boxes around joints (N, J, 2) overlap by their IoU.
    """
    low, high = joints_px.min(1), joints_px.max(1)
    inner = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = inner.clip(min=0).prod(-1)
    area = (high - low).prod(-1)
    iou = shared / (area[:, None] + area - shared)
    kept: list[int] = []
    for number in np.argsort(-confidence, kind='stable'):
        if not (iou[number, kept] > overlap).any():
            kept.append(int(number))
    return sorted(kept)


class Backend(Protocol):
    """A way of running the network."""

    def __call__(self, pictures: Sequence[InputPicture], threshold: float) -> list[Found]:
        """
        Find everybody above a confidence in each picture.

        Raises NotFiniteError where confidences or the scale map are no numbers.
        """


class NotFiniteError(ArithmeticError):
    """The network gave something that is no number."""
