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

"""MuPoTS-3D: share of joints within 150 mm once the bones have the true lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from training.metrics.joints import regress
from training.metrics.matching import Matching
from training.metrics.protocol import mean_of, present, Protocol, PUBLISHED_THRESHOLD
from training.metrics.types import Bools, Floats, MupotsTruth, PredictedPeople

MPI_FROM_H36M = (10, 8, 14, 15, 16, 11, 12, 13, 4, 5, 6, 1, 2, 3, 0, 7, 9)
"""MPI-INF-3DHP's 17 joints among Human3.6M's; the others of this file are in MPI's order."""
ROOT = 14
PARENTS = (1, 15, 1, 2, 3, 1, 5, 6, 14, 8, 9, 14, 11, 12, 14, 14, 1)
OUTWARDS = (14, 15, 1, 0, 16, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
"""Every joint after its parent."""
MATCHED_JOINTS = slice(1, 14)
COUNTED_JOINTS = slice(0, 14)

NEAR_PX = 40.0
CORRECT_MM = 150.0
NOWHERE_MM = 100_000.0
"""Where the joints of a missed person are put on each axis: wrong at any threshold."""


@dataclass(frozen=True)
class MupotsRecord:
    """What was measured in one picture."""

    pck: Floats
    """(P,) each person's share of correct joints; nobody without a visible one."""
    found: Bools
    """(P,) who has a prediction."""


class Mupots(Protocol[MupotsTruth, MupotsRecord]):
    """PCK at 150 mm per person in percent, its mean over all people and over those found."""

    name = 'mupots'

    def __init__(
        self, h36m_regressor: Floats, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)
    ) -> None:
        """Take the regressor (17, V) of Human3.6M's joints."""
        super().__init__(thresholds)
        self._regressor = h36m_regressor

    def _measure(self, prediction: PredictedPeople, truth: MupotsTruth) -> MupotsRecord:
        joints = regress(self._regressor, prediction.vertices_camera_m)[:, MPI_FROM_H36M]
        truth_mm = truth.joints_camera_mm[:, MPI_FROM_H36M]
        visible = truth.visible[:, MPI_FROM_H36M]
        matching = match_by_near_joints(
            prediction.camera.project(joints), truth.joints_px[:, MPI_FROM_H36M]
        )
        errors = joint_errors_mm(1000.0 * joints.astype(np.float64), truth_mm, matching)
        counted = visible[:, COUNTED_JOINTS].any(1)
        return MupotsRecord(
            pck=correct_shares(errors[counted], visible[counted]),
            found=matching.of_truth[counted] >= 0,
        )

    def _summarise(self, records: Sequence[MupotsRecord]) -> dict[str, float]:
        people = sum(len(record.pck) for record in records)
        missed = people - sum(int(record.found.sum()) for record in records)
        shares = present(
            {
                'PCK_150mm_all': mean_of([record.pck for record in records]),
                'PCK_150mm_matched': mean_of([record.pck[record.found] for record in records]),
            }
        )
        return {
            'people': people,
            'missed': missed,
            **{name: 100 * share for name, share in shares.items()},
        }


def match_by_near_joints(predicted_px: Floats, truth_px: Floats) -> Matching:
    """
    Match N predictions (N, 17, 2) with P people (P, 17, 2) in pixels, MPI's order.

    Each person in order takes the free prediction with the most joints closer than 40 px on both
    axes, the first of equals, if it has any. Joints 1 to 13 count, visible or not.
    """
    of_truth = np.full(len(truth_px), -1, np.int64)
    distance = np.abs(truth_px[:, None, MATCHED_JOINTS] - predicted_px[None, :, MATCHED_JOINTS])
    near = (distance < NEAR_PX).all(-1).sum(-1)
    for person in range(len(truth_px)):
        if near[person].max(initial=0) > 0:
            of_truth[person] = near[person].argmax()
            near[:, of_truth[person]] = 0
    return Matching(of_truth, len(predicted_px))


def joint_errors_mm(predicted_mm: Floats, truth_mm: Floats, matching: Matching) -> Floats:
    """
    Return the errors (P, 17) of predictions (N, 17, 3) in mm, MPI's order, relative to joint 14.

    The bones of the prediction are given the true lengths first; a missed person's joints are
    100 m away on each axis.
    """
    truth_mm = truth_mm - truth_mm[:, ROOT, None]
    placed = np.full(truth_mm.shape, NOWHERE_MM)
    found = matching.truth_index
    placed[found] = with_bone_lengths(predicted_mm[matching.prediction_index], truth_mm[found])
    return np.linalg.norm(placed - truth_mm, axis=-1)


def with_bone_lengths(joints: Floats, like: Floats) -> Floats:
    """
    Return joints (N, 17, 3), MPI's order, from joint 14 at 0, every bone as long as in `like`.

    A bone without length has no direction and stays so.
    """
    result = np.zeros(joints.shape)
    for joint in OUTWARDS[1:]:
        bone = joints[:, joint] - joints[:, PARENTS[joint]]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        wanted = np.linalg.norm(like[:, joint] - like[:, PARENTS[joint]], axis=-1, keepdims=True)
        scale = wanted / np.where(length > 0, length, 1)
        result[:, joint] = result[:, PARENTS[joint]] + bone * scale
    return result


def correct_shares(errors_mm: Floats, visible: Bools) -> Floats:
    """Return the share (P,) of visible joints 0 to 13 nearer than 150 mm; one must be visible."""
    counted = visible[:, COUNTED_JOINTS]
    correct = (errors_mm[:, COUNTED_JOINTS] < CORRECT_MM) & counted
    return correct.sum(1) / counted.sum(1)
