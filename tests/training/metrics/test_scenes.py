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

"""The protocol of synthetic scenes: cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.types import Camera
import numpy as np
import pytest
from training.metrics.scenes import Scenes
from training.metrics.types import PredictedPeople, ScenesTruth

CAMERA = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
BODY = np.random.default_rng(0).normal(0, 0.4, (24, 3)) * (0.5, 1, 0.3)
BODY -= BODY[0]


def people(places_m: list[tuple[float, float, float]]) -> np.ndarray:
    return BODY + np.array(places_m, np.float64).reshape(-1, 1, 3)


def pixels(joints_m: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    focal, centre = (camera.fx, camera.fy), (camera.cx, camera.cy)
    return joints_m[..., :2] / joints_m[..., 2:] * focal + centre


def truth(places_m: list[tuple[float, float, float]], seen: float = 1.0) -> ScenesTruth:
    joints = people(places_m)
    px = pixels(joints)
    return ScenesTruth(joints, px, np.ptp(px[..., 1], axis=1), np.full(len(px), seen), 500.0)


def found(joints_m: np.ndarray, camera: Camera = CAMERA) -> PredictedPeople:
    joints = np.concatenate([joints_m, np.repeat(joints_m[:, :1], 21, axis=1)], axis=1)
    count = len(joints)
    return PredictedPeople(
        np.full(count, 0.9),
        joints,
        pixels(joints, camera),
        np.zeros((count, 0, 3)),
        joints_m[:, 0],
        np.zeros((count, 24, 3)),
        np.zeros((count, 10)),
        np.full(count, 1.7),
        camera,
    )


def measured(*pictures: tuple[PredictedPeople, ScenesTruth]) -> dict[str, float]:
    protocol = Scenes()
    for index, (prediction, true) in enumerate(pictures):
        protocol.update(index, prediction, true)
    return protocol.result()


TWO = [(-0.8, 0.0, 3.0), (0.9, 0.0, 4.0)]


def test_perfect_people_have_no_errors() -> None:
    result = measured((found(people(TWO)), truth(TWO)))
    assert (result['precision'], result['recall'], result['F1']) == (1, 1, 1)
    assert result['PCDR_0.2_percent'] == 100
    for name in ('MPJPE_mm', 'PA-MPJPE_mm', 'depth_error_percent', 'fov_error_deg'):
        assert result[name] == pytest.approx(0, abs=1e-6)


def test_missed_people_and_people_who_are_not_there() -> None:
    """One found of two; one more found where nobody is."""
    predicted = found(people([TWO[0], (3.0, 2.0, 5.0)]))
    result = measured((predicted, truth(TWO)))
    assert (result['people'], result['missed'], result['false_positives']) == (2, 1, 1)
    assert result['F1'] == pytest.approx(0.5)
    nobody = measured((found(people([])), truth(TWO)))
    assert (nobody['recall'], nobody['precision'], nobody['F1']) == (0, 0, 0)
    assert 'MPJPE_mm' not in nobody


@pytest.mark.parametrize(
    'uncounted', [truth([(0.0, 0.0, 30.0)]), truth([(0.0, 0.0, 3.0)], seen=0.49)]
)
def test_people_who_are_small_or_hidden_are_neither_missed_nor_wrong(
    uncounted: ScenesTruth,
) -> None:
    seen = measured((found(uncounted.joints_camera_m), uncounted))
    missed = measured((found(people([])), uncounted))
    for result in (seen, missed):
        assert (result['people'], result['missed'], result['false_positives']) == (0, 0, 0)
    counted = replace(uncounted, height_px=np.array([80.0]), seen=np.array([0.5]))
    assert measured((found(people([])), counted))['missed'] == 1


def test_errors_of_joints_are_relative_to_the_pelvis() -> None:
    """20 mm at every joint but the pelvis; turned as a whole, nothing is left when aligned."""
    joints = people(TWO)
    shifted = joints + np.array([0, 0.02, 0])
    shifted[:, 0] = joints[:, 0]
    result = measured((found(shifted), truth(TWO)))
    assert result['MPJPE_mm'] == pytest.approx(20 * 23 / 24)
    turned = (joints - joints[:, :1]) @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T
    turned = 1.3 * turned + joints[:, :1]
    assert measured((found(turned), truth(TWO)))['PA-MPJPE_mm'] == pytest.approx(0, abs=1e-6)


def test_depth_with_the_true_camera_is_that_of_the_predictor_given_it() -> None:
    """A focal length 20 % too long puts people 20 % too far away, in the same pixels."""
    camera = replace(CAMERA, fx=600.0, fy=600.0)
    joints = people(TWO)
    farther = joints + joints[:, :1] * (0, 0, 0.2)
    result = measured((found(farther, camera), truth(TWO)))
    assert result['depth_error_percent'] == pytest.approx(20)
    assert result['depth_error_true_camera_percent'] == pytest.approx(0, abs=1e-6)
    expected = 2 * np.degrees(np.arctan(240 / 500) - np.arctan(240 / 600))
    assert result['fov_error_deg'] == pytest.approx(expected)


@pytest.mark.parametrize(
    ('true_m', 'predicted_m', 'right'),
    [
        (0.5, 0.5, True),
        (0.5, 0.21, True),
        (0.5, 0.1, False),
        (0.5, -0.5, False),
        (-0.5, -0.3, True),
        (0.1, -0.1, True),
        (0.1, 0.3, False),
    ],
)
def test_order_in_depth(true_m: float, predicted_m: float, right: bool) -> None:
    places = [[(-0.8, 0, 3.0), (0.9, 0, 3.0 + gap)] for gap in (true_m, predicted_m)]
    result = measured((found(people(places[1])), truth(places[0])))
    assert result['PCDR_0.2_percent'] == (100 if right else 0)


def test_sums_run_over_pictures() -> None:
    pictures = [(found(people(TWO)), truth(TWO)), (found(people([])), truth(TWO[:1]))]
    result = measured(*pictures)
    assert (result['people'], result['missed']) == (3, 1)
    assert result['recall'] == pytest.approx(2 / 3)
