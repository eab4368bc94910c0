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

"""Greedy matching by joints; the golden pairs are in test_golden_metrics.py."""

from __future__ import annotations

from metric_cases import squares
import numpy as np
import pytest
from training.metrics.matching import iou_plus_one, match_by_joints

A, B, C = (0.0, 0.0, 20.0), (100.0, 0.0, 20.0), (300.0, 0.0, 20.0)

CASES = [
    # what it shows, predictions, truth, expected of_truth, false positives, missed
    ('nobody on either side', [], [], [], 0, 0),
    ('no predictions: all missed', [], [A, B], [-1, -1], 0, 2),
    ('no truth: all false positives', [A, B], [], [], 2, 0),
    ('in another order', [B, A], [A, B], [1, 0], 0, 0),
    ('a second prediction of one person', [A, (1, 0, 20)], [A], [0], 1, 0),
    ('two equally far: the first prediction', [(1, 0, 20), (-1, 0, 20)], [A], [0], 1, 0),
    ('one prediction between two equally far: the first person', [A], [A, A], [0, -1], 0, 1),
    ('far away: false positive, and missed', [C], [A], [-1], 1, 1),
    # Pairs by distance: the first prediction and B (no overlap: a false positive), the second and
    # A (a match). That makes two for two predictions; B is missed.
    (
        'a pair without overlap uses up a prediction',
        [(122, 0, 20), (15, 0, 20)],
        [A, B],
        [1, -1],
        1,
        1,
    ),
    # The small square beside it is nearer than the large one around it, which would have matched.
    (
        'the only prediction is used up by a nearer person that it does not overlap',
        [(0, 0, 9)],
        [(10, 0, 9), (-8, -8, 25)],
        [-1, -1],
        1,
        2,
    ),
    # The second person would take the first prediction, too, were it still free.
    ('a prediction serves one person', [A, C], [A, (2, 0, 20)], [0, -1], 1, 1),
    # The pair of the second prediction and A comes second, does not overlap and counts, though A
    # has been matched: 1 + 1 = 2 predictions, so that the second never meets the larger square,
    # which it overlaps by 0.14.
    (
        'a pair without overlap counts even where the person is taken',
        [A, (21, 0, 20)],
        [A, (4, -17, 55)],
        [0, -1],
        1,
        1,
    ),
]


@pytest.mark.parametrize(('name', 'predicted', 'truth', 'of_truth', 'wrong', 'missed'), CASES)
def test_matches(
    name: str,
    predicted: list[tuple[float, float, float]],
    truth: list[tuple[float, float, float]],
    of_truth: list[int],
    wrong: int,
    missed: int,
) -> None:
    matching = match_by_joints(squares(*predicted), squares(*truth))
    assert matching.of_truth.tolist() == of_truth, name
    assert matching.detections.false_positives == wrong
    assert matching.detections.missed == missed
    assert matching.detections.people == len(truth)


@pytest.mark.parametrize(
    ('shift', 'iou'),
    [
        (0, 1.0),  # the same box
        (9, 1 / 19),  # the last column of one is the first of the other: it counts
        (10, 0.0),  # side by side
        (11, 0.0),  # apart: a negative width is none
    ],
)
def test_boxes_include_their_last_pixel(shift: float, iou: float) -> None:
    a, b = np.array([[0.0, 0, 9, 9]]), np.array([[shift, 0.0, shift + 9, 9]])
    assert iou_plus_one(a, b) == pytest.approx(np.array([[iou]]), abs=1e-12)


@pytest.mark.parametrize(('minimum', 'found'), [(1 / 3, 0), (1 / 3 + 1e-9, -1)])
def test_an_overlap_exactly_at_the_border_matches(minimum: float, found: int) -> None:
    # boxes of 10 × 10 pixels, half of each common: 50 / 150
    matching = match_by_joints(squares((0, 0, 9)), squares((5, 0, 9)), minimum_iou=minimum)
    assert matching.of_truth.tolist() == [found]


def test_invisible_joints_count_in_the_box_but_not_in_the_distance() -> None:
    truth = squares((0, 0, 20))
    visible = np.array([[True, True, True, False]])
    far_corner, near = squares((0, 0, 20), (1, 0, 20))
    far_corner[3] = (90, 90)
    # The first is exact where it counts; by its box it overlaps 21²/91² = 0.053.
    predicted = np.stack([far_corner, near])
    assert match_by_joints(predicted, truth, visible, 0.05).of_truth.tolist() == [0]
    assert match_by_joints(predicted, truth, None, 0.05).of_truth.tolist() == [1]
    # At 0.1 the exact one is a false positive that leaves room for the other.
    assert match_by_joints(predicted, truth, visible, 0.1).of_truth.tolist() == [1]
