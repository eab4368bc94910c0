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

"""MuPoTS-3D: matching, bone lengths, the share of joints; golden numbers are tested elsewhere."""

from __future__ import annotations

from dataclasses import replace

from metric_cases import H36M, people_at
import numpy as np
import pytest
from training.metrics.mupots import (
    correct_shares,
    match_by_near_joints,
    Mupots,
    OUTWARDS,
    PARENTS,
    with_bone_lengths,
)
from training.metrics.types import MupotsTruth, PredictedPeople


def truth_of(people: PredictedPeople) -> MupotsTruth:
    joints = people.vertices_camera_m[:, :17]
    return MupotsTruth(
        joints_px=people.camera.project(joints),
        joints_camera_mm=1000 * joints,
        visible=np.ones((len(people), 17), bool),
    )


def at(*offsets: float) -> np.ndarray:
    """Return joints (N, 17, 2) of people whose joints all lie on the diagonal, in pixels."""
    return np.broadcast_to(np.array(offsets, float)[:, None, None], (len(offsets), 17, 2)).copy()


def with_near(count: int) -> np.ndarray:
    """Return one person (17, 2) with so many of the joints 1 to 13 at (0, 0), the others away."""
    joints = np.full((17, 2), 500.0)
    joints[slice(1, 1 + count)] = 0
    joints[[0, 14, 15, 16]] = 0  # these never count
    return joints


@pytest.mark.parametrize(
    ('name', 'predicted', 'truth', 'of_truth'),
    [
        ('nobody', at(), at(), []),
        ('no predictions', at(), at(0, 9), [-1, -1]),
        ('no truth', at(0), at(), []),
        ('nearer than 40 px', at(39.9), at(0), [0]),
        ('exactly 40 px is not', at(40), at(0), [-1]),
        ('in order of the truth, not of distance', at(5), at(30, 5), [0, -1]),
        ('most joints first', np.stack([with_near(4), with_near(9)]), at(0), [1]),
        ('equal: the first', np.stack([with_near(4), with_near(4)]), at(0), [0]),
        ('one joint is enough', with_near(1)[None], at(0), [0]),
        ('joints 0, 14, 15, 16 are not', with_near(0)[None], at(0), [-1]),
        ('the second best where the best is taken', at(1, 2), at(0, 0), [0, 1]),
    ],
)
def test_matches(name: str, predicted: np.ndarray, truth: np.ndarray, of_truth: list[int]) -> None:
    assert match_by_near_joints(predicted, truth).of_truth.tolist() == of_truth, name


def test_near_means_on_both_axes() -> None:
    diagonal = at(0)
    diagonal[..., 0] = 50
    assert match_by_near_joints(diagonal, at(0)).of_truth.tolist() == [-1]


def test_bones_take_the_true_lengths_and_keep_their_directions() -> None:
    random = np.random.default_rng(0)
    joints, like = random.normal(size=(2, 3, 17, 3))
    joints[2, 2] = joints[2, PARENTS[2]]  # a bone without length
    result = with_bone_lengths(joints, like)
    assert (result[:, 14] == 0).all()
    for joint in OUTWARDS[1:]:
        bone, ours, wanted = (x[:, joint] - x[:, PARENTS[joint]] for x in (joints, result, like))
        good = slice(0, 2) if joint == 2 else slice(None)
        assert np.linalg.norm(ours, axis=1)[good] == pytest.approx(
            np.linalg.norm(wanted, axis=1)[good]
        )
        assert np.cross(bone, ours) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(result).all()


def test_every_joint_comes_after_its_parent() -> None:
    assert sorted(OUTWARDS) == list(range(17))
    assert all(
        OUTWARDS.index(PARENTS[joint]) < OUTWARDS.index(joint) for joint in OUTWARDS if joint != 14
    )


def test_share_counts_visible_joints_nearer_than_150_mm() -> None:
    errors = np.zeros((1, 17))
    errors[0, :4] = (149.9, 150, 1000, 1000)  # at 150 is not nearer
    errors[0, 14:] = 1000  # not counted
    visible = np.ones((1, 17), bool)
    visible[0, 3] = False
    assert correct_shares(errors, visible) == pytest.approx([11 / 13])


def test_exact_people_are_right_and_missed_ones_wrong() -> None:
    truth = people_at([(-1, 0, 5), (1, 0, 5), (0, 0.2, 9)])
    # farther by a fifth on the same rays: relative joints are scaled, which the bones undo
    found = replace(truth, vertices_camera_m=1.2 * truth.vertices_camera_m).above(0)
    found = replace(found, **{k: v[[1, 0]] for k, v in found.arrays().items()})
    protocol = Mupots(H36M)
    protocol.update(0, found, truth_of(truth))
    protocol.update(1, people_at([]), truth_of(people_at([])))
    assert protocol.result() == pytest.approx(
        {
            'pictures': 2,
            'people': 3,
            'missed': 1,
            'PCK_150mm_all': 200 / 3,
            'PCK_150mm_matched': 100,
        }
    )


def test_someone_without_a_counted_visible_joint_is_left_out() -> None:
    people = people_at([(-1, 0, 5), (1, 0, 5)])
    truth = truth_of(people)
    truth.visible[0] = False
    truth.visible[0, [0, 7, 9]] = True  # Human3.6M's names of MPI's joints 14 to 16
    protocol = Mupots(H36M)
    protocol.update(0, people_at([]), truth)
    assert protocol.result() == {'pictures': 1, 'people': 1, 'missed': 1, 'PCK_150mm_all': 0}
