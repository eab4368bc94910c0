"""What a way of running the network gives to the predictor: pictures in, people's numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from mahmr_model.types import Camera, FloatArray, ImageArray


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

    def not_finite(self) -> list[str]:
        """Name the fields in which something is not a finite number."""
        names = [field.name for field in fields(self)]
        return [name for name in names if not np.isfinite(getattr(self, name)).all()]


class Backend(Protocol):
    """A way of running the network."""

    def __call__(self, pictures: Sequence[InputPicture], threshold: float) -> list[Found]:
        """
        Find everybody above a confidence in each picture.

        Raises NotFiniteError where the network's confidences are no numbers.
        """


class NotFiniteError(ArithmeticError):
    """The network gave something that is no number."""
