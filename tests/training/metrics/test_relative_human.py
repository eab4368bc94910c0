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

"""Relative Human: pairs, ages, missed people, the report; golden text is tested elsewhere."""

from __future__ import annotations

from metric_cases import EXTRA, people_at
import numpy as np
import pytest
from training.metrics.matching import Matching
from training.metrics.relative_human import (
    count_pairs,
    measure_picture,
    near_joint_shares,
    published_report,
    RelativeHuman,
)
from training.metrics.types import Floats, PredictedPeople, RelativeHumanTruth

ADULT, TEEN, KID, BABY = range(4)


def truth(
    joints_px: Floats, layers: list[int], ages: list[int], visible: Floats | None = None
) -> RelativeHumanTruth:
    return RelativeHumanTruth(
        joints_px=joints_px,
        visible=np.ones(joints_px.shape[:2], bool) if visible is None else visible.astype(bool),
        depth_layer=np.array(layers, np.int64),
        age=np.array(ages, np.int64),
    )


def bodies(*places: float) -> Floats:
    """Return people (N, 14, 2) 100 px wide and high at these x."""
    one = np.random.default_rng(0).uniform(0, 100, (14, 2))
    one[:2] = ((0, 0), (100, 100))
    return one + np.array([(x, 0) for x in places]).reshape(-1, 1, 2)


def crowdpose_px(people: PredictedPeople) -> Floats:
    """Take the head from extra joint 3 and the neck from extra joint 2: vertices 23 and 22."""
    limbs = people.joints_camera_m[:, [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]]
    head_and_neck = people.vertices_camera_m[:, [23, 22]]
    return people.camera.project(np.concatenate([limbs, head_and_neck], axis=1))


@pytest.mark.parametrize(
    ('name', 'layers', 'depths', 'correct'),
    [
        ('nearer by more than 0.2 m', (0, 1), (5.0, 5.25), 1),
        ('by exactly 0.2 m is too little', (0, 1), (0.0, 0.2), 0),
        ('in the wrong order', (0, 1), (5.3, 5.0), 0),
        ('right, the nearer one named last', (3, 1), (5.3, 5.0), 1),
        ('layers differ, depths do not', (0, 1), (5.0, 5.0), 0),
        ('same layer, nearer together than 0.2 m', (2, 2), (5.1, 5.0), 1),
        ('same layer, exactly 0.2 m', (2, 2), (0.0, 0.2), 0),
        ('same layer, apart', (2, 2), (5.3, 5.0), 0),
    ],
)
def test_order_of_a_pair(
    name: str, layers: tuple[int, int], depths: tuple[float, float], correct: float
) -> None:
    people = truth(bodies(0, 300), list(layers), [ADULT, ADULT])
    both = Matching(np.array([0, 1]), 2)
    right, weight = count_pairs(np.array(depths), people, both)
    assert (right[0], weight[0]) == (correct, 1), name


@pytest.mark.parametrize(
    ('name', 'ages', 'layers', 'of_truth', 'weight'),
    [
        ('nobody', [], [], [], [0, 0, 0, 0, 0]),
        ('one person makes no pair', [KID], [0], [0], [0, 0, 0, 0, 0]),
        ('of one age: once', [TEEN, TEEN], [0, 1], [0, 1], [1, 0, 1, 0, 0]),
        ('of two ages: once for each', [ADULT, BABY], [0, 1], [0, 1], [1, 1, 0, 0, 1]),
        ('three people', [ADULT, BABY, BABY], [0, 1, 1], [0, 1, 2], [3, 2, 0, 0, 3]),
        ('no layer: no pair', [ADULT, KID], [0, -1], [0, 1], [0, 0, 0, 0, 0]),
        ('missed: 0.3', [ADULT, KID], [0, 1], [0, -1], [0.3, 0, 0, 0.3, 0]),
        ('missed without a layer: 0.3 too', [KID, KID], [0, -1], [0, -1], [0.3, 0, 0, 0.3, 0]),
        ('all missed', [ADULT, KID], [0, 1], [-1, -1], [0.6, 0.3, 0, 0.3, 0]),
    ],
)
def test_what_counts(
    name: str, ages: list[int], layers: list[int], of_truth: list[int], weight: list[float]
) -> None:
    people = truth(bodies(*range(len(ages))), layers, ages)
    matching = Matching(np.array(of_truth, np.int64), len(ages))
    right, got = count_pairs(np.arange(len(ages), dtype=float), people, matching)
    assert got == pytest.approx(weight), name
    assert (right <= got).all()


def test_near_joints_are_within_a_share_of_the_visible_diagonal() -> None:
    joints = bodies(0)
    visible = np.ones((1, 14))
    predicted = joints.copy()
    limit = 0.143 * np.hypot(100, 100)
    predicted[0, 3] += (limit + 0.01, 0)  # too far
    predicted[0, 4] += (0, limit - 0.01)  # near
    predicted[0, 5] += 1000  # not visible
    visible[0, 5] = 0
    people = truth(joints, [0], [ADULT], visible)
    shares = near_joint_shares(predicted, people, Matching(np.array([0]), 1))
    assert shares == pytest.approx([12 / 13])
    visible[0, :2] = 0  # without the corners the diagonal is shorter
    people = truth(joints, [0], [ADULT], visible)
    assert near_joint_shares(predicted, people, Matching(np.array([0]), 1))[0] <= 10 / 11


def test_joints_that_are_not_annotated_widen_the_box_of_the_truth() -> None:
    # With a joint at (-2, -2) the box of someone at x is (x + 103) × 103 px, of which the
    # prediction's 101 × 101 are 0.05 at x = 1877.8.
    for x, found in ((1877, True), (1878, False)):
        visible = np.ones((1, 14))
        visible[0, 7] = 0
        picture = measure_picture(
            bodies(x), np.array([5.0]), truth(bodies(x), [0], [ADULT], visible)
        )
        assert (picture.detections.missed == 0) is found
    # the same people with all joints annotated are found
    assert not measure_picture(
        bodies(1878), np.array([5.0]), truth(bodies(1878), [0], [ADULT])
    ).detections.missed


def test_what_stands_where_a_joint_is_not_annotated_does_not_matter() -> None:
    visible = np.ones((2, 14))
    visible[:, 7] = 0
    joints = bodies(10, 200)
    other = joints.copy()
    other[:, 7] = 1e6
    records = [
        measure_picture(
            bodies(11, 205), np.array([5.0, 6.0]), truth(j, [0, 1], [ADULT, KID], visible)
        )
        for j in (joints, other)
    ]
    assert published_report(records[:1]) == published_report(records[1:])


def test_predictions_stand_for_people_in_precision_and_recall() -> None:
    # 3 predictions, 4 people, 2 found: tp = 3 − 2 = 1, fp = 1, missed = 2
    people = truth(bodies(0, 200, 5000, 6000), [0, 1, 2, 3], [ADULT] * 4)
    record = measure_picture(bodies(0, 200, 9000), np.array([1.0, 2, 3]), people)
    assert record.detections.precision_recall_f1() == (0.5, 0.33, 0.4)


def test_report_of_known_people_to_the_letter() -> None:
    people = people_at([(-1, 0, 4), (0, 0, 5), (1, 0, 6)])
    protocol = RelativeHuman(EXTRA)
    # right for 0-1, wrong for 0-2 and 1-2 (2 is said to be nearest)
    protocol.update(0, people, truth(crowdpose_px(people), [1, 2, 0], [ADULT, TEEN, KID]))
    protocol.update(1, people_at([]), truth(bodies(0), [-1], [TEEN]))  # 0.3 for a teen
    expected = (
        'mPCKh_0.6: 100.00\n'
        'PCRD_0.2: 30.30\n'  # 1 / 3.3
        'PCRD_0.2_adult: 50.00\n'  # 1 / 2
        'PCRD_0.2_teen: 43.48\n'  # 1 / 2.3
        'PCRD_0.2_kid: 0.00\n'
        'PCRD_0.2_baby: nan\n'
    )
    assert protocol.report(0.3) == expected
    result = protocol.result()
    assert 'PCRD_0.2_baby' not in result
    assert result['PCRD_0.2'] == pytest.approx(100 / 3.3)


def test_empty_pictures() -> None:
    nothing = RelativeHuman(EXTRA)
    nothing.update(0, people_at([]), truth(bodies(), [], []))
    assert nothing.report(0.3).count('nan') == 6
    nothing.update(1, people_at([(0, 0, 5)]), truth(bodies(), [], []))
    assert nothing.records_of(0.3)[1].detections.false_positives == 1
