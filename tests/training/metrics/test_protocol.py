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

"""What all protocols share: processes, padded pictures, thresholds, text, broken predictions."""

from __future__ import annotations

from dataclasses import replace
import pickle

from mahmr_model.errors import UserError
from metric_cases import H36M, people_at, truth_of
import numpy as np
import pytest
from training.metrics.meshes import H36MJoints
from training.metrics.types import MeshTruth, PredictedPeople

PICTURES = 7


def picture(index: int) -> tuple[PredictedPeople, MeshTruth]:
    """Return people and truth that differ from picture to picture."""
    random = np.random.default_rng(index)
    places = random.uniform((-2, -1, 4), (2, 1, 8), (index % 4, 3))
    truth = people_at(places.tolist())
    noise = random.normal(0, 0.03, truth.vertices_camera_m.shape)
    return replace(truth, vertices_camera_m=truth.vertices_camera_m + noise), truth_of(truth)


def measured(*indices: int) -> H36MJoints:
    protocol = H36MJoints(H36M)
    for index in indices:
        protocol.update(index, *picture(index))
    return protocol


def test_processes_and_padding_change_nothing() -> None:
    one = measured(*range(PICTURES))
    # three processes take every third picture; the last batches are padded with the first ones
    processes = [measured(0, 3, 6), measured(1, 4, 0), measured(2, 5, 1)]
    processes[0].update(3, *picture(5))  # what is known stays as it is
    for other in processes[1:]:
        processes[0].merge(pickle.loads(pickle.dumps(other.records)))
    assert processes[0].result() == one.result()  # to the last bit
    assert processes[0].table() == one.table()
    assert one.result()['pictures'] == PICTURES
    assert one.result()['people'] == sum(index % 4 for index in range(PICTURES))


def test_order_of_merging_changes_nothing() -> None:
    a, b = measured(0, 1, 2), measured(3, 4, 5)
    a.merge(b.records)
    b.merge(measured(0, 1, 2).records)
    assert a.result() == b.result()


def test_a_list_of_thresholds_gives_each_its_numbers() -> None:
    people = people_at([(-1, 0, 5), (1, 0, 5)], confidence=[0.9, 0.4])
    protocol = H36MJoints(H36M, thresholds=(0.3, 0.5))
    protocol.update(0, people, truth_of(people))
    result = protocol.result()
    assert (result['recall@0.3'], result['recall@0.5']) == (1.0, 0.5)
    assert protocol.needed_above == 0.3
    heading, *lines = protocol.table().splitlines()
    assert heading.split()[-4:] == ['>', '0.3', '>', '0.5']
    assert ['recall', '1', '0.5'] in [line.split() for line in lines]


def test_a_confidence_at_the_threshold_is_not_above() -> None:
    people = people_at([(-1, 0, 5), (1, 0, 5)], confidence=[0.3, np.nextafter(0.3, 1)])
    protocol = H36MJoints(H36M)
    protocol.update(0, people, truth_of(people))
    assert protocol.result()['missed'] == 1


def test_nothing_measured_has_no_means() -> None:
    result = H36MJoints(H36M).result()
    assert result == {'pictures': 0, 'people': 0, 'missed': 0, 'recall': 0}
    assert H36MJoints(H36M, thresholds=(0.1, 0.2)).table().count('\n') == 5


@pytest.mark.parametrize('value', [np.nan, np.inf])
@pytest.mark.parametrize('name', ['vertices_camera_m', 'joints_px', 'confidence'])
def test_predictions_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    people = people_at([(0, 0, 5)])
    broken = getattr(people, name).copy()
    broken.flat[0] = value
    protocol = H36MJoints(H36M)
    with pytest.raises(UserError, match=f'{name} holds NaN or infinity'):
        protocol.update(0, replace(people, **{name: broken}), truth_of(people))
    assert not protocol.records


@pytest.mark.parametrize('thresholds', [(), (1.0,), (-0.1, 0.3), (float('nan'),)])
def test_thresholds_are_confidences(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match='thresholds on the confidence'):
        H36MJoints(H36M, thresholds)
