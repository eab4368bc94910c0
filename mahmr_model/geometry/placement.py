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

"""From a query's weak-perspective camera to metres in the camera frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from mahmr_model.transfer import on_device
import torch
from torch import Tensor

DEPTH_EPS = 1e-6
DEFAULT_FOV_RAD = math.pi / 3
"""Angle over S of the camera that is assumed when there is neither a branch nor a known one."""


@dataclass(frozen=True)
class Lens:
    """The lenses of a batch of resized pictures, in their pixels."""

    focal_xy_px: Tensor
    """(B, 2) fx, fy."""
    centre_xy_px: Tensor
    """(B, 2) the principal point."""
    assumed_centre_xy_px: Tensor
    """(B, 2) the middle of the picture, which the network takes for the principal point."""

    @classmethod
    def assumed(
        cls, sizes_hw: Sequence[tuple[int, int]], input_size: int, fov_rad: Tensor | None
    ) -> Lens:
        """
        Make the lenses that are taken where none is known.

        sizes_hw: (H', W') of each resized picture; fov_rad (B,): the estimated vertical angles,
        or None for 60° over S. The principal point is the middle.
        """
        sizes = torch.tensor(sizes_hw, dtype=torch.float32)
        if fov_rad is not None:
            sizes = on_device(sizes.numpy(), fov_rad.device)
        return cls.of_sizes(sizes, input_size, fov_rad)

    @classmethod
    def of_sizes(cls, sizes: Tensor, input_size: int, fov_rad: Tensor | None) -> Lens:
        """Do the same with sizes (B, 2) that are on the device, (H', W') each."""
        if fov_rad is None:
            focal = torch.full_like(sizes[:, 0], assumed_focal_px(input_size))
        else:
            focal = focal_from_fov_px(fov_rad, sizes[:, 0])
        middle = sizes.flip(1) / 2
        return cls(focal[:, None].expand(-1, 2), middle, middle)

    def with_known(self, known: Tensor) -> Lens:
        """Put in the lenses that are known: (B, 4) fx, fy, cx, cy, not a number where unknown."""
        focal, centre = known[:, :2], known[:, 2:]
        return Lens(
            torch.where(focal.isnan(), self.focal_xy_px, focal),
            torch.where(centre.isnan(), self.centre_xy_px, centre),
            self.assumed_centre_xy_px,
        )

    def to(self, device: torch.device) -> Lens:
        """Return the same on another device."""
        return Lens(*(value.to(device) for value in vars(self).values()))


def assumed_focal_px(input_size: int) -> float:
    """Return f₀ = S / (2·tan(π/6)): 60° over the longer side."""
    return input_size / (2 * math.tan(DEFAULT_FOV_RAD / 2))


def focal_from_fov_px(fov_rad: Tensor, heights_px: Tensor) -> Tensor:
    """Return f = H' / (2·tan(fov/2)) of vertical angles (B,) over heights (B,)."""
    return heights_px / (2 * (fov_rad / 2).tan())


def translation_m(camera_abc: Tensor, lens: Lens, input_size: int) -> Tensor:
    """
    Place people: (a, b, c) of each query (B, Q, 3) → translation in metres (B, Q, 3).

    With s = 2·sigmoid(c) + 1e-6 a person of one metre covers s·S/2 pixels, so the depth is
    t_z = 2·f_y/(s·S), and (a, b)·S/2 is where the body's origin projects, relative to the middle
    of the picture (MA-HMR, arXiv 2511.13282, section 3). Where the lens is known instead, that
    place stays and the depth becomes right for the lens; the network's angle is vertical, so f_y
    gives the depth, also where pixels are not square. This part is ours, not published.
    """
    scale = 2 * camera_abc[..., 2].sigmoid() + 1e-6
    depth = 2 * lens.focal_xy_px[:, 1:] / (scale * input_size)
    # In metres a and b count along y's focal length; pixels that are not square need x's.
    aspect = lens.focal_xy_px[:, 1:] / lens.focal_xy_px
    shift = (lens.assumed_centre_xy_px - lens.centre_xy_px) / lens.focal_xy_px
    xy = camera_abc[..., :2] / scale[..., None] * aspect[:, None]
    xy = xy + shift[:, None] * depth[..., None]
    return torch.cat([xy, depth[..., None]], dim=-1)


def project(points_camera_m: Tensor, focal_xy_px: Tensor, centre_xy_px: Tensor) -> Tensor:
    """
    Project points (N, P, 3) in metres with a lens each (N, 2), (N, 2) to pixels (N, P, 2).

    1e-6 m is added to the depth, as published.
    """
    xy = points_camera_m[..., :2] / (points_camera_m[..., 2:] + DEPTH_EPS)
    return xy * focal_xy_px[:, None] + centre_xy_px[:, None]
