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

"""Alignment by a similarity, against transformations that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from training.metrics.joints import mean_distance, mean_distance_procrustes
from training.metrics.procrustes import align_by_similarity


def test_undoes_scale_rotation_and_translation_of_a_batch() -> None:
    random = np.random.default_rng(0)
    target = random.normal(size=(5, 14, 3))
    turn = Rotation.random(5, random_state=1).as_matrix()
    moved = 0.3 * target @ turn.transpose(0, 2, 1) + random.normal(size=(5, 1, 3))
    assert np.abs(align_by_similarity(moved, target) - target).max() < 1e-12
    one = align_by_similarity(moved[2], target[2])
    assert np.abs(one - target[2]).max() < 1e-12


def test_does_not_mirror() -> None:
    target = np.random.default_rng(0).normal(size=(14, 3))
    mirrored = target * (-1, 1, 1)
    assert mean_distance_procrustes(mirrored, target) > 0.1


def test_no_similarity_is_better() -> None:
    random = np.random.default_rng(3)
    points, target = random.normal(size=(2, 14, 3))
    aligned = align_by_similarity(points, target)
    best = ((aligned - target) ** 2).sum()
    for _ in range(200):
        turn = Rotation.from_rotvec(random.normal(size=3) * 1e-2).as_matrix()
        other = (1 + random.normal() * 1e-2) * aligned @ turn + random.normal(size=3) * 1e-2
        assert ((other - target) ** 2).sum() >= best


@pytest.mark.parametrize(
    ('points', 'target'),
    [
        (np.zeros((4, 3)), np.eye(4, 3)),  # points in one place: only moved
        (np.eye(4, 3), np.full((4, 3), 2.0)),  # target in one place: shrunk onto it
    ],
)
def test_points_in_one_place(points: np.ndarray, target: np.ndarray) -> None:
    aligned = align_by_similarity(points, target)
    assert aligned == pytest.approx(np.broadcast_to(target.mean(0), (4, 3)), abs=1e-12)


def test_nobody() -> None:
    nobody = np.empty((0, 14, 3))
    assert align_by_similarity(nobody, nobody).shape == (0, 14, 3)
    assert mean_distance(nobody, nobody).shape == (0,)


def test_mean_distance() -> None:
    predicted = np.array([[[3.0, 4, 0], [0, 0, 0]]])
    assert mean_distance(predicted, np.zeros((1, 2, 3))).tolist() == [2.5]
