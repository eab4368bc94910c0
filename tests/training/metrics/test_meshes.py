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

"""AGORA and BEDLAM, 3DPW and Hi4D: errors that are known from how the people were moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from metric_cases import CAMERA, H36M, JOINTS_M, people_at, truth_of, VERTICES_M
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from training.metrics.meshes import Agora, H36MJoints
from training.metrics.protocol import Protocol
from training.metrics.types import MeshTruth, PredictedPeople

BODY = np.array([0, 5, 12, 29])
PLACES = [(-1.0, 0.0, 5.0), (1.0, 0.0, 5.0), (0.0, 0.2, 9.0)]
NOBODY: Sequence[Sequence[float]] = []
RecordT = TypeVar('RecordT')


def measure(
    protocol: Protocol[MeshTruth, RecordT], prediction: PredictedPeople, truth: MeshTruth
) -> dict[str, float]:
    protocol.update(0, prediction, truth)
    return protocol.result()


def test_the_truth_has_no_error() -> None:
    people = people_at(PLACES)
    for protocol in (Agora(BODY), H36MJoints(H36M)):
        result = measure(protocol, people, truth_of(people))
        errors = {k: v for k, v in result.items() if k.endswith(('_mm', '_m', '_px', '_deg'))}
        assert errors == pytest.approx(dict.fromkeys(errors, 0), abs=1e-9)
        assert len(errors) == 8
        assert result['recall'] == 1


def test_moving_a_person_changes_the_depth_and_nothing_relative() -> None:
    truth = people_at(PLACES)
    moved = people_at([(x, y, z + 0.2) for x, y, z in PLACES])
    for protocol in (Agora(BODY), H36MJoints(H36M)):
        result = measure(protocol, moved, truth_of(truth))
        assert result['root_depth_error_m'] == pytest.approx(0.2)
        assert result['MPJPE_mm'] == pytest.approx(0, abs=1e-9)
        assert result['MVE_mm'] == pytest.approx(0, abs=1e-9)


def test_agora_aligns_at_the_middle_of_the_hips_and_divides_by_f1() -> None:
    truth = people_at(PLACES)
    joints, vertices = truth.joints_camera_m.copy(), truth.vertices_camera_m.copy()
    joints[:, 1] += (0, 0, 0.02)  # left hip: the middle moves by 10 mm, all others are off by that
    joints[:, 24:] += 5  # beyond SMPL's 24: not looked at
    vertices[:, 1] += 5  # not of the body
    found = replace(truth, joints_camera_m=joints, vertices_camera_m=vertices)
    extra = people_at([(3.0, 0.0, 5.0)])
    found = replace(
        found, **{k: np.concatenate([v, getattr(extra, k)]) for k, v in found.arrays().items()}
    )
    result = measure(Agora(BODY), found, truth_of(truth))
    assert (result['precision'], result['recall'], result['F1']) == (0.75, 1, 0.86)
    assert result['MPJPE_mm'] == pytest.approx(10)
    assert result['MVE_mm'] == pytest.approx(10)
    assert result['NMJE_mm'] == pytest.approx(10 / 0.86)
    assert result['NMVE_mm'] == pytest.approx(10 / 0.86)
    assert not any(name.startswith('kid') for name in result)


def test_agora_counts_children_by_themselves() -> None:
    truth = people_at(PLACES)
    joints = truth.joints_camera_m.copy()
    joints[0, 1:3] += (0, 0.03, 0)  # both hips of the first
    prediction = replace(truth, joints_camera_m=joints).above(0)
    prediction = replace(
        prediction, **{name: values[:2] for name, values in prediction.arrays().items()}
    )
    result = measure(Agora(BODY), prediction, truth_of(truth, kid=[True, False, True]))
    assert result['MPJPE_mm'] == pytest.approx(30 * 22 / 24 / 2)
    assert result['kid_MPJPE_mm'] == pytest.approx(30 * 22 / 24)
    assert result['kid_MVE_mm'] == pytest.approx(30)
    assert (result['kid_people'], result['kid_recall']) == (2, 0.5)


def test_h36m_protocol_aligns_at_its_pelvis() -> None:
    truth = people_at(PLACES[:1])
    vertices = truth.vertices_camera_m.copy()
    vertices[:, 0] += (0.014, 0, 0)  # vertex 0 is the pelvis: all 14 joints are off by that
    vertices[:, 7] += 5  # Human3.6M's joints 0, 7 and 9 are not among the 14
    vertices[:, 9] += 5
    result = measure(H36MJoints(H36M), replace(truth, vertices_camera_m=vertices), truth_of(truth))
    assert result['MPJPE_mm'] == pytest.approx(14)
    assert result['PA-MPJPE_mm'] == pytest.approx(0, abs=1e-9)
    far = [np.linalg.norm(np.array([5, 5, 5]) - (0.014, 0, 0))] * 2
    assert result['MVE_mm'] == pytest.approx(1000 * (sum(far) + 27 * 0.014) / 30)


def test_procrustes_forgives_a_similarity() -> None:
    truth = people_at(PLACES[:1])
    turn = Rotation.from_euler('xyz', [0.4, -0.2, 0.9]).as_matrix()
    turned = 1.2 * VERTICES_M @ turn.T + PLACES[0]
    result = measure(
        H36MJoints(H36M), replace(truth, vertices_camera_m=turned[None]), truth_of(truth)
    )
    assert result['MPJPE_mm'] > 100
    assert result['MVE_mm'] > 100
    assert result['PA-MPJPE_mm'] == pytest.approx(0, abs=1e-9)
    assert result['PA-MVE_mm'] == pytest.approx(0, abs=1e-9)


def test_lens_and_height() -> None:
    people = people_at(PLACES)
    truth = replace(
        truth_of(people),
        focal_px=np.array([1000.0, 1010, 970]),
        height_m=np.array([1.6, 1.8, 1.7]),
    )
    result = measure(H36MJoints(H36M), people, truth)
    assert result['focal_error_px'] == pytest.approx(40 / 3)
    assert result['height_error_m'] == pytest.approx(0.2 / 3)
    fov = 2 * np.degrees(np.arctan(360 / np.array([1000, 1010, 970.0])))
    assert result['fov_error_deg'] == pytest.approx(np.abs(fov - fov[0]).mean())


def test_errors_are_of_the_right_pairs() -> None:
    truth = people_at(PLACES)
    order = [2, 0, 1]
    prediction = replace(truth, **{k: v[order] for k, v in truth.arrays().items()})
    for protocol in (Agora(BODY), H36MJoints(H36M)):
        assert measure(protocol, prediction, truth_of(truth))['root_depth_error_m'] == 0


@pytest.mark.parametrize('protocol', [Agora, H36MJoints])
@pytest.mark.parametrize(
    ('found', 'there', 'recall'), [(NOBODY, PLACES, 0), (PLACES, NOBODY, 0), (NOBODY, NOBODY, 0)]
)
def test_empty_pictures_have_counts_and_no_means(
    protocol: type[Agora] | type[H36MJoints],
    found: Sequence[Sequence[float]],
    there: Sequence[Sequence[float]],
    recall: float,
) -> None:
    measuring = Agora(BODY) if protocol is Agora else H36MJoints(H36M)
    result = measure(measuring, people_at(found), truth_of(people_at(there)))
    assert result['recall'] == recall
    assert result['people'] == result['missed'] == len(there)
    assert not any(name.endswith(('_mm', '_m', '_px', '_deg')) for name in result)
    # a second picture with people is not hidden by the empty one
    people = people_at(PLACES)
    measuring.update(1, people, truth_of(people))
    assert measuring.result()['MPJPE_mm'] == pytest.approx(0, abs=1e-9)


def test_the_template_is_in_view() -> None:
    """The cases above rest on it: nobody is behind the camera, and no two boxes are the same."""
    assert JOINTS_M.min() + min(z for _, _, z in PLACES) > 0
    assert CAMERA.fx == CAMERA.fy
