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

"""The dataclasses at the boundary of the model: a camera, and the people in a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math
from typing import Literal

from mahmr_model.errors import UserError
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
ImageArray = npt.NDArray[np.uint8]

CameraSource = Literal['given', 'estimated', 'assumed']


@dataclass(frozen=True)
class Camera:
    """
    A pinhole camera without skew or distortion.

    Lengths are pixels of a picture of `width` × `height`. The camera frame is x right, y down,
    z forward (ROS: the optical frame, REP-103): u = fx·x/z + cx, v = fy·y/z + cy. Pixel
    coordinates are continuous and begin at the picture's corner; OpenCV's calibration counts from
    the middle of the first pixel, half a pixel less, which is left as it is.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse numbers that are those of no lens."""
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(n) for n in numbers) or self.fx <= 0 or self.fy <= 0:
            raise UserError(
                'A camera needs finite numbers and focal lengths above 0, but fx, fy, cx, cy are '
                f'{", ".join(f"{n:g}" for n in numbers)}; give the calibrated matrix, or no '
                'camera at all to have the lens estimated.'
            )
        longer = max(self.width, self.height)
        if not all(longer / 1e6 <= focal <= longer * 1e6 for focal in (self.fx, self.fy)):
            raise UserError(
                f'A focal length of {self.fx:g}, {self.fy:g} pixels is none of a lens for '
                f'{self.width}×{self.height} pixels; give it in pixels of that picture.'
            )

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike, width: int, height: int) -> Camera:
        """Make a camera from the 3×3 matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels."""
        k = np.asarray(matrix, dtype=np.float64)
        if k.shape != (3, 3):
            raise UserError(f'A camera matrix is 3×3, but this one has the shape {k.shape}.')
        return cls(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height)

    @classmethod
    def from_horizontal_fov(cls, fov_rad: float, width: int, height: int) -> Camera:
        """Make a camera of square pixels, its centre in the middle, from its horizontal angle."""
        if not 0 < fov_rad < math.pi:
            raise UserError(
                'A horizontal field of view lies between 0° and 180°, but this one is '
                f'{math.degrees(fov_rad):g}°.'
            )
        focal = width / (2 * math.tan(fov_rad / 2))
        return cls(focal, focal, width / 2, height / 2, width, height)

    @property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Return the 3×3 matrix in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]])

    @property
    def horizontal_fov_rad(self) -> float:
        """Return the angle over the width in radians, the centre taken in the middle."""
        return 2 * math.atan(self.width / (2 * self.fx))

    @property
    def vertical_fov_rad(self) -> float:
        """Return the angle over the height in radians, the centre taken in the middle."""
        return 2 * math.atan(self.height / (2 * self.fy))

    def resized(self, width: int, height: int) -> Camera:
        """Return the camera of the same picture resized to `width` × `height`."""
        x, y = width / self.width, height / self.height
        return Camera(self.fx * x, self.fy * y, self.cx * x, self.cy * y, width, height)

    def project(self, points_camera_m: npt.NDArray[np.floating]) -> FloatArray:
        """Project points (..., 3) in metres to pixels (..., 2)."""
        z = points_camera_m[..., 2:] + 1e-6
        pixels = points_camera_m[..., :2] / z * (self.fx, self.fy) + (self.cx, self.cy)
        return pixels.astype(np.float32)


@dataclass(frozen=True)
class People:
    """
    The N people of one picture, metric, in the camera frame (x right, y down, z forward).

    Arrays are float32 unless said otherwise; N may be 0. V is the number of vertices of the body,
    S its number of shape parameters (10, or 11 with the kid axis). Pixels are those of the
    picture that was given.
    """

    confidence: FloatArray
    """(N,) in 0…1, all above the threshold; the most confident person is first."""
    boxes_xyxy_px: FloatArray
    """(N, 4) left, top, right, bottom in pixels; may reach beyond the picture."""
    pose_axis_angle: FloatArray
    """(N, 24, 3) radians; joint 0 relative to the camera frame, the others to their parent."""
    betas: FloatArray
    """(N, S) shape parameters."""
    translation_m: FloatArray
    """(N, 3) added to the posed body's points to bring them into the camera frame."""
    joints_camera_m: FloatArray
    """(N, 45, 3) SMPL's 24 joints, then 21 points of face, feet and finger tips."""
    joints_px: FloatArray
    """(N, 45, 2) the same, projected with `camera`."""
    vertices_camera_m: FloatArray
    """(N, V, 3) the mesh."""
    height_m: FloatArray
    """(N,) stature: extent of the unposed body along its y axis."""
    faces: IntArray
    """(F, 3) triangles of every mesh, as indices of vertices."""
    camera: Camera
    """The lens that placed these people, in pixels of the picture that was given."""
    camera_source: CameraSource
    """'given', 'estimated' by the network, or 'assumed' (60° over the longer side)."""
    untrained: bool = False
    """True where the weights are random: everything that shows the result must say so."""
    inference_s: float = 0.0
    """Seconds from picture to people, shared equally between the pictures of a batch."""
    ids: IntArray | None = None
    """(N,) which person each is over time, or None where nobody has tracked them."""

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.confidence)

    @property
    def root_m(self) -> FloatArray:
        """(N, 3) position of each pelvis (joint 0) in the camera frame."""
        return self.joints_camera_m[:, 0]

    def with_ids(self, ids: IntArray) -> People:
        """Return the same people with identities (N,)."""
        if ids.shape != (len(self),):
            raise ValueError(f'expected {len(self)} identities, got the shape {ids.shape}')
        return replace(self, ids=ids)
