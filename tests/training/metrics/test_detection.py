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

"""Precision, recall, F1: their rounding and their empty cases."""

from __future__ import annotations

import pytest
from training.metrics.detection import Detections


@pytest.mark.parametrize(
    ('people', 'missed', 'wrong', 'expected'),
    [
        (0, 0, 0, (0.0, 0.0, 0.0)),  # nothing at all
        (4, 4, 0, (0.0, 0.0, 0.0)),  # nobody found, nobody wrong
        (0, 0, 3, (0.0, 0.0, 0.0)),  # all wrong
        (4, 0, 0, (1.0, 1.0, 1.0)),
        (5, 2, 3, (0.5, 0.6, 0.55)),  # 3/5.5 = 0.5454…
        # F1 comes from the counts: of the rounded two it would be 0.45 and 0.94
        (2, 0, 5, (0.29, 1.0, 0.44)),
        (8, 1, 0, (1.0, 0.88, 0.93)),
        # Relative Human's way of counting: 198 predictions stand for the people
        (198, 121, 81, (0.49, 0.39, 0.43)),
    ],
)
def test_precision_recall_f1(
    people: int, missed: int, wrong: int, expected: tuple[float, float, float]
) -> None:
    assert Detections(people, missed, wrong).precision_recall_f1() == expected


def test_pictures_add_up() -> None:
    assert Detections.sum([]) == Detections(0, 0, 0)
    assert Detections.sum([Detections(3, 1, 2), Detections(4, 0, 1)]) == Detections(7, 1, 3)
