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

"""Rotations: round trips over all angles, an independent reference, and gradients."""

from __future__ import annotations

import math

from mahmr_model.geometry.rotations import (
    axis_angle_from_rotation,
    rotation_from_6d,
    rotation_from_axis_angle,
)
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

ANGLES = [0.0, 1e-12, 1e-7, 1e-4, 9.9e-4, 1e-3, 2e-3, 0.1, 1.0, 2.5, 3.0, 3.14, 3.1415, 3.14159]


def vectors(angle: float, count: int = 200) -> Tensor:
    """Give axes times angles, (count, 3) float64, of one length, the first along the axes."""
    axes = torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axes[:3], axes[3:6] = torch.eye(3), -torch.eye(3)
    return angle * axes / axes.norm(dim=1, keepdim=True)


@pytest.mark.parametrize('angle', ANGLES)
@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 3e-6), (torch.float64, 1e-11)])
def test_round_trip(angle: float, dtype: torch.dtype, tolerance: float) -> None:
    # Nearer to π than float32 can tell, either of the two opposite vectors is right.
    given = vectors(angle).to(dtype)
    back = axis_angle_from_rotation(rotation_from_axis_angle(given))
    torch.testing.assert_close(back, given, atol=tolerance, rtol=0)


@pytest.mark.parametrize('angle', [*ANGLES, math.pi, 4.0, 6.0])
def test_matrix_is_scipys(angle: float) -> None:
    given = vectors(angle)
    expected = Rotation.from_rotvec(given.numpy()).as_matrix()
    rotation = rotation_from_axis_angle(given).numpy()
    np.testing.assert_allclose(rotation, expected, atol=1e-12)


@pytest.mark.parametrize('angle', [math.pi, 3.5, 6.0])
def test_angles_come_back_within_pi(angle: float) -> None:
    rotation = rotation_from_axis_angle(vectors(angle))
    back = axis_angle_from_rotation(rotation)
    assert back.norm(dim=1).max() <= math.pi + 1e-12
    torch.testing.assert_close(rotation_from_axis_angle(back), rotation, atol=1e-12, rtol=0)


def test_half_turns_are_exact() -> None:
    turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    torch.testing.assert_close(axis_angle_from_rotation(turns), math.pi * torch.eye(3))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_identity_is_exactly_zero_with_a_finite_gradient(dtype: torch.dtype) -> None:
    identity = torch.eye(3, dtype=dtype).repeat(2, 24, 1, 1).requires_grad_()
    vector = axis_angle_from_rotation(identity)
    assert torch.equal(vector, torch.zeros(2, 24, 3, dtype=dtype))
    vector.sum().backward()
    assert identity.grad is not None
    assert identity.grad.isfinite().all()
    assert identity.grad.abs().max() > 0


def test_six_numbers_are_three_rows_of_two_columns() -> None:
    numbers = torch.tensor([2.0, 1, 0, 5, 0, 0])  # columns (2, 0, 0) and (1, 5, 0)
    torch.testing.assert_close(rotation_from_6d(numbers), torch.eye(3))
    numbers = torch.tensor([0.0, 0, 3, 0, 0, 7])  # columns y and z, so the third is x
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    torch.testing.assert_close(rotation_from_6d(numbers), expected)


def test_six_numbers_give_rotations_and_rotations_come_back() -> None:
    numbers = torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(1)).double()
    rotation = rotation_from_6d(numbers)
    identity = torch.eye(3).double().expand_as(rotation)
    torch.testing.assert_close(rotation.mT @ rotation, identity, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(2, 50).double())
    again = rotation_from_6d(rotation[..., :2].flatten(-2))
    torch.testing.assert_close(again, rotation, atol=1e-12, rtol=0)


@pytest.mark.parametrize('angle', [0.0, 5e-4, 1e-3, 0.5, 2.0, 3.13])
def test_gradients_of_axis_angle(angle: float) -> None:
    given = vectors(angle, 7).requires_grad_()
    assert torch.autograd.gradcheck(rotation_from_axis_angle, given)
    matrix = rotation_from_axis_angle(given).detach().requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_from_rotation, matrix)


def test_gradients_of_six_numbers() -> None:
    numbers = torch.randn(5, 6, generator=torch.Generator().manual_seed(2)).double()
    assert torch.autograd.gradcheck(rotation_from_6d, numbers.requires_grad_())


def test_nothing_in_nothing_out() -> None:
    assert rotation_from_6d(torch.zeros(0, 24, 6)).shape == (0, 24, 3, 3)
    assert rotation_from_axis_angle(torch.zeros(0, 24, 3)).shape == (0, 24, 3, 3)
    assert axis_angle_from_rotation(torch.zeros(0, 24, 3, 3)).shape == (0, 24, 3)
