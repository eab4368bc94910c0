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

"""Rotations of joints: six numbers, matrices and axis-angle vectors, all differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as functional

_SMALL_SQUARED = 1e-6
"""Squared sines and angles below this use a series, exact to 1e-12 there."""


def rotation_from_6d(numbers: Tensor) -> Tensor:
    """
    Turn six numbers (..., 6) into rotation matrices (..., 3, 3).

    The numbers are a 3×2 matrix, row by row; its two columns are made orthonormal (Gram-Schmidt)
    and their cross product is the third column (the 6-D representation of Zhou et al., arXiv
    1812.07035).
    """
    first, second = numbers.reshape(*numbers.shape[:-1], 3, 2).unbind(-1)
    x = functional.normalize(first, dim=-1)
    y = functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), dim=-1)


def rotation_from_axis_angle(axis_angle: Tensor) -> Tensor:
    """
    Turn axis-angle vectors (..., 3) in radians into rotation matrices (..., 3, 3).

    Rodrigues' formula, I + sin θ/θ·K + (1 − cos θ)/θ²·K², whose two factors go over into their
    series near 0: value and gradient are finite everywhere.
    """
    squared = axis_angle.square().sum(-1)
    small = squared < _SMALL_SQUARED
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    half_sine = torch.sin(angle / 2)
    first = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    second = torch.where(small, 0.5 - squared / 24, 2 * (half_sine / angle).square())
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), -1).reshape(*x.shape, 3, 3)
    identity = torch.eye(3, dtype=cross.dtype, device=cross.device)
    return identity + first[..., None, None] * cross + second[..., None, None] * (cross @ cross)


def _quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """
    Turn rotation matrices (..., 3, 3) into unit quaternions (..., 4), (w, x, y, z) with w ≥ 0.

    The 4×4 matrix q·qᵀ follows from the rotation linearly (Shepperd 1978); its row with the
    largest diagonal is a multiple of q that is nowhere near 0, so the gradient is finite.
    """
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = rotation.flatten(-2).unbind(-1)
    rows = (
        (1 + m00 + m11 + m22, m21 - m12, m02 - m20, m10 - m01),
        (m21 - m12, 1 + m00 - m11 - m22, m01 + m10, m02 + m20),
        (m02 - m20, m01 + m10, 1 - m00 + m11 - m22, m12 + m21),
        (m10 - m01, m02 + m20, m12 + m21, 1 - m00 - m11 + m22),
    )
    outer = torch.stack([torch.stack(row, -1) for row in rows], -2)
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = outer.gather(-2, best.expand(*best.shape[:-1], 4)).squeeze(-2)
    quaternion = functional.normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def axis_angle_from_rotation(rotation: Tensor) -> Tensor:
    """
    Turn rotation matrices (..., 3, 3) into axis-angle vectors (..., 3), angles in 0…π radians.

    The identity gives exactly 0 with a finite gradient; near π, where the sine says nothing about
    the axis, the quaternion still does.
    """
    quaternion = _quaternion_from_rotation(rotation)
    cosine, vector = quaternion[..., :1], quaternion[..., 1:]
    squared = vector.square().sum(-1, keepdim=True)
    small = squared < _SMALL_SQUARED
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # Near 0 the cosine is near 1; elsewhere the series is not used and must only stay finite.
    near_one = torch.where(small, cosine, torch.ones_like(cosine))
    series = 2 / near_one - (2 / 3) * squared / near_one**3
    return vector * torch.where(small, series, 2 * torch.atan2(sine, cosine) / sine)


def read_rotations(pose_6d: Tensor) -> tuple[Tensor, Tensor]:
    """Turn (..., 6·J) numbers into rotation matrices (..., J, 3, 3) and vectors (..., J, 3)."""
    rotations = rotation_from_6d(pose_6d.unflatten(-1, (-1, 6)))
    return rotations, axis_angle_from_rotation(rotations)
