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

"""Rotations are compared as rotations: it does not matter how their vectors are written."""

from __future__ import annotations

from dataclasses import replace
import math

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.placement import Lens
from mahmr_model.geometry.rotations import rotation_from_axis_angle
from mahmr_model.network import LayerPrediction
import pytest
from scipy.spatial.transform import Rotation
from tiny import random_target
import torch
from torch import Tensor
from training.batch_truth import packed
from training.losses.losses import PERSON_LOSSES, poses, rotations
from training.people import Pairs, query_people, truth_pairs


def pairs_of(roots: Tensor) -> Pairs:
    """Give people with these root rotations (P, 3), who are found as they are."""
    target = random_target(len(roots), (112, 80), 0, valid_3d=True, everybody=True)
    target.pose_axis_angle[:, :3] = roots
    return truth_pairs(packed([target]))


def turned(pairs: Pairs, by: Rotation) -> Pairs:
    """Turn the roots of those predicted."""
    matrices = pairs.predicted.rotations.clone()
    matrices[:, 0] = torch.from_numpy(by.as_matrix()).float() @ matrices[:, 0]
    return replace(pairs, predicted=replace(pairs.predicted, rotations=matrices))


@pytest.mark.parametrize('degrees', [0.0, 1.0, 90.0, 180.0])
def test_an_angle_costs_its_chord(degrees: float) -> None:
    pairs = pairs_of(torch.tensor([[0.3, -0.2, 0.1], [3.0, 0.0, 0.0]]))
    by = Rotation.from_rotvec([0, math.radians(degrees), 0])
    chord = math.sqrt(8) * math.sin(math.radians(degrees) / 2)
    assert rotations(turned(pairs, by), 112).tolist() == pytest.approx([chord / 24] * 2, abs=1e-5)


def test_who_stands_upright_costs_nothing_for_the_sign_of_a_trifle() -> None:
    upright = torch.tensor([[math.pi - 0.01, 0.0, 0.0]])
    pairs = pairs_of(upright)
    other = torch.tensor([[0.01 - math.pi, 0.0, 0.0]])
    pose = pairs.predicted.pose_axis_angle.clone()
    pose[:, :3] = other
    matrices = pairs.predicted.rotations.clone()
    matrices[:, 0] = rotation_from_axis_angle(other)
    predicted = replace(pairs.predicted, pose_axis_angle=pose, rotations=matrices)
    pairs = replace(pairs, predicted=predicted)
    assert poses(pairs, 112).item() * 72 > 6
    assert rotations(pairs, 112).item() * 24 == pytest.approx(math.sqrt(8) * 0.01, abs=1e-3)


def test_the_right_rotation_teaches_nothing_and_a_wrong_one_something_finite() -> None:
    pairs = pairs_of(torch.tensor([[0.3, -0.2, 0.1]]))
    matrices = pairs.predicted.rotations.clone()
    matrices[:, 1] = rotation_from_axis_angle(torch.tensor([[3.0, 0.0, 0.0]]))
    matrices.requires_grad_()
    loss = rotations(replace(pairs, predicted=replace(pairs.predicted, rotations=matrices)), 112)
    (gradient,) = torch.autograd.grad(loss.sum(), matrices)
    assert gradient.isfinite().all()
    assert gradient.abs().sum((0, 2, 3)).nonzero()[:, 0].tolist() == [1]


def test_it_is_of_what_queries_say() -> None:
    pose_6d = torch.randn(2, 144, generator=torch.Generator().manual_seed(0)).requires_grad_()
    said = LayerPrediction(
        pose_6d, torch.zeros(2, 10), torch.zeros(2, 4), torch.zeros(2), torch.ones(2, 3)
    )
    lens = Lens.of_sizes(torch.full((2, 2), 112.0), 112, torch.ones(2))
    people = query_people(said, lens, BodyLayer(load_body(OPEN_BODY), kid=False), 112)
    right = pairs_of(torch.zeros(2, 3))
    right = replace(right, pose_axis_angle=people.pose_axis_angle.detach(), predicted=people)
    assert rotations(right, 112).tolist() == pytest.approx([0, 0], abs=1e-5)
    wrong = replace(right, pose_axis_angle=torch.zeros(2, 72))
    (gradient,) = torch.autograd.grad(rotations(wrong, 112).sum(), pose_6d)
    assert (gradient.unflatten(1, (24, 6)).abs().sum(2) > 1e-3).all()
    assert PERSON_LOSSES['rotations'].needs_3d
