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

"""CMU Panoptic: the order of joints, the nearest person, the falling threshold."""

from __future__ import annotations

from dataclasses import replace

from metric_cases import H36M, people_at, VERTICES_M
import numpy as np
import pytest
from training.metrics.panoptic import (
    ACTIVITIES,
    H36M_FROM_PANOPTIC,
    halved_until_found,
    nearest_joint_errors,
    Panoptic,
)
from training.metrics.types import PanopticTruth, PredictedPeople


def truth_of(people: PredictedPeople, activity: str = 'pizza') -> PanopticTruth:
    """Return the data set's 19 joints for people whose first 17 vertices are Human3.6M's."""
    joints = np.full((len(people), 19, 3), 77.0)  # joints 13 and 15 are not used
    joints[:, H36M_FROM_PANOPTIC] = people.vertices_camera_m[:, :17]
    joints[:, 14] += (0, 0.06, 0)  # the data set's pelvis is lower
    return PanopticTruth(activity, joints, np.ones((len(people), 19), bool))


def test_exact_people_have_no_error_wherever_they_stand() -> None:
    protocol = Panoptic(H36M)
    protocol.update(0, people_at([(3, 1, 9)]), truth_of(people_at([(0, 0, 5)])))
    assert protocol.result()['MPJPE_pizza_mm'] == pytest.approx(0, abs=1e-9)


def test_mean_is_of_the_activities_and_each_is_of_its_people() -> None:
    protocol = Panoptic(H36M)
    off = {'haggling': [0.017, 0.034], 'mafia': [0.17], 'ultimatum': [0.0], 'pizza': [0.051]}
    index = 0
    for activity, errors in off.items():
        for error in errors:
            people = people_at([(0, 0, 5)])
            vertices = people.vertices_camera_m.copy()
            vertices[:, 3] += (0, 0, error)  # one joint of 17
            found = replace(people, vertices_camera_m=vertices)
            protocol.update(index, found, truth_of(people, activity))
            index += 1
    result = protocol.result()
    means = [result[f'MPJPE_{activity}_mm'] for activity in ACTIVITIES]
    assert means == pytest.approx([1.5, 10, 0, 3], abs=1e-9)
    assert result['MPJPE_mm'] == pytest.approx(14.5 / 4)


def test_invisible_joints_do_not_count() -> None:
    people = people_at([(0, 0, 5)])
    vertices = people.vertices_camera_m.copy()
    vertices[:, 3] += 1.0
    vertices[:, 5] += (0.016, 0, 0)
    truth = truth_of(people)
    truth.visible[0, H36M_FROM_PANOPTIC[3]] = False
    protocol = Panoptic(H36M)
    protocol.update(0, replace(people, vertices_camera_m=vertices), truth)
    assert protocol.result()['MPJPE_mm'] == pytest.approx(1)  # 16 mm over 16 joints


def test_someone_without_a_visible_joint_is_nobody() -> None:
    people = people_at([(0, 0, 5), (1, 0, 5)])
    truth = truth_of(people)
    truth.visible[1] = False
    truth.visible[1, 13] = True  # a joint that is not among the 17
    protocol = Panoptic(H36M)
    protocol.update(0, people, truth)
    assert protocol.result()['people'] == 1


X, Y = np.zeros((3, 3)), np.array([[0, 0, 0], [1.0, 0, 0], [0, 0, 4]])
ALL, FIRST, SECOND = [True] * 3, [True, False, False], [False, True, False]


@pytest.mark.parametrize(
    ('predicted', 'truth', 'visible', 'errors'),
    [
        ([X, Y], [Y, X], [ALL, ALL], [0, 0]),  # each the nearest
        ([X], [Y, X], [ALL, ALL], [5 / 3, 0]),  # one prediction serves two
        ([Y, Y], [X], [ALL], [5 / 3]),  # a tie: the same either way
        # Only joint 0 is common, where both are equally near: the first is taken.
        ([X, Y], [Y, Y], [ALL, FIRST], [5 / 3, 0]),
        # Nothing is common: the nearest over the person's own.
        ([X, Y], [Y, Y], [SECOND, FIRST], [0, 0]),
        ([X], [], np.empty((0, 3), bool), []),  # no truth
    ],
)
def test_nearest(
    predicted: list[np.ndarray],
    truth: list[np.ndarray],
    visible: list[list[bool]],
    errors: list[float],
) -> None:
    people = np.array(truth).reshape(-1, 3, 3)
    got = nearest_joint_errors(np.array(predicted), people, np.array(visible))
    assert got == pytest.approx(errors)


@pytest.mark.parametrize(
    ('confidence', 'expected'),
    [
        ([0.9, 0.31], 0.3),
        ([0.3], 0.15),  # at the threshold is not above it
        ([0.2, 0.16, 0.1], 0.15),
        ([0.01], 0.3 / 32),
        ([0.0], 0.0),  # nothing is above 0: it ends
        ([], 0.0),
    ],
)
def test_threshold_is_halved_until_somebody_is_found(
    confidence: list[float], expected: float
) -> None:
    assert halved_until_found(np.array(confidence), 0.3) == pytest.approx(expected)


def test_the_halved_threshold_is_forgotten_after_the_picture() -> None:
    truth = truth_of(people_at([(0, 0, 5)]))
    place = np.array([0, 0, 5])
    near, far = VERTICES_M + place, 3 * VERTICES_M + place
    protocol = Panoptic(H36M)
    assert protocol.needed_above == 0  # or nobody would show the faint one to it
    faint = replace(people_at([(0, 0, 5)], [0.02]), vertices_camera_m=near[None])
    protocol.update(0, faint, truth)
    # the exact one is below 0.3: it may not be taken here
    both = replace(people_at([(0, 0, 5)] * 2, [0.9, 0.2]), vertices_camera_m=np.stack([far, near]))
    protocol.update(1, both, truth)
    first, second = protocol.records_of(0.3)
    assert first.errors_mm == pytest.approx([0], abs=1e-9)
    assert second.errors_mm[0] > 100


def test_a_picture_without_any_prediction_is_missed() -> None:
    protocol = Panoptic(H36M)
    protocol.update(0, people_at([]), truth_of(people_at([(0, 0, 5)] * 2)))
    assert protocol.result() == {'pictures': 1, 'people': 2, 'missed': 2}


def test_an_unknown_activity_is_refused() -> None:
    with pytest.raises(ValueError, match='dance'):
        Panoptic(H36M).update(0, people_at([]), truth_of(people_at([]), 'dance'))
