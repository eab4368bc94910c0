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

"""CMU Panoptic: four activities, each with its mean joint error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from training.metrics.joints import H36M_ROOT, regress, relative_to
from training.metrics.protocol import Protocol, PUBLISHED_THRESHOLD
from training.metrics.types import Bools, Floats, PanopticTruth, PredictedPeople

ACTIVITIES = ('haggling', 'mafia', 'ultimatum', 'pizza')

PELVIS = 14
"""The pelvis among the data set's 19 joints."""
PELVIS_SHIFT_M = (0.0, 0.06, 0.0)
"""Subtracted from it: the data set's pelvis is lower than Human3.6M's."""
H36M_FROM_PANOPTIC = (14, 2, 1, 0, 3, 4, 5, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6)
"""Human3.6M's 17 joints among the data set's 19."""


@dataclass(frozen=True)
class PanopticRecord:
    """What was measured in one picture."""

    activity: str
    errors_mm: Floats
    """(M,) mean over each person's visible joints; nobody without any."""
    missed: int
    """People without any prediction to take."""


class Panoptic(Protocol[PanopticTruth, PanopticRecord]):
    """Root-relative joint error in mm of the prediction nearest to each person, by activity."""

    name = 'panoptic'

    def __init__(
        self, h36m_regressor: Floats, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)
    ) -> None:
        """Take the regressor (17, V) of Human3.6M's joints."""
        super().__init__(thresholds)
        self._regressor = h36m_regressor

    @property
    def needed_above(self) -> float:
        """Return 0: thresholds fall as far as it takes to find somebody."""
        return 0.0

    def _found(self, prediction: PredictedPeople, threshold: float) -> PredictedPeople:
        return prediction.above(halved_until_found(prediction.confidence, threshold))

    def _measure(self, prediction: PredictedPeople, truth: PanopticTruth) -> PanopticRecord:
        if truth.activity not in ACTIVITIES:
            raise ValueError(f'{truth.activity!r} is none of {", ".join(ACTIVITIES)}')
        people = truth.visible[:, H36M_FROM_PANOPTIC].any(1)
        if not len(prediction):
            return PanopticRecord(truth.activity, np.empty(0), int(people.sum()))
        joints = regress(self._regressor, prediction.vertices_camera_m)
        errors = nearest_joint_errors(
            relative_to(joints, joints[:, H36M_ROOT]),
            root_relative_h36m(truth.joints_camera_m[people]),
            truth.visible[people][:, H36M_FROM_PANOPTIC],
        )
        return PanopticRecord(truth.activity, 1000 * errors, 0)

    def _summarise(self, records: Sequence[PanopticRecord]) -> dict[str, float]:
        measures: dict[str, float] = {
            'people': sum(len(r.errors_mm) + r.missed for r in records),
            'missed': sum(r.missed for r in records),
        }
        means = {}
        for activity in ACTIVITIES:
            errors = [r.errors_mm for r in records if r.activity == activity and len(r.errors_mm)]
            if errors:
                means[f'MPJPE_{activity}_mm'] = float(np.concatenate(errors).mean())
        measures |= means
        if means:
            measures['MPJPE_mm'] = float(np.mean(list(means.values())))
        return measures


def halved_until_found(confidence: Floats, threshold: float) -> float:
    """
    Return `threshold`, halved until somebody's confidence is above it; 0 where nobody's can be.

    For one picture: published code keeps the halved threshold for all that follow, a mistake.
    """
    best = confidence.max(initial=0)
    while threshold > 0 and not best > threshold:
        threshold /= 2
    return threshold


def root_relative_h36m(joints_camera_m: Floats) -> Floats:
    """Return the data set's joints (P, 19, 3) as Human3.6M's (P, 17, 3) relative to the pelvis."""
    joints = joints_camera_m.astype(np.float64)
    joints[:, PELVIS] -= PELVIS_SHIFT_M
    return relative_to(joints[:, H36M_FROM_PANOPTIC], joints[:, PELVIS])


def nearest_joint_errors(predicted: Floats, truth: Floats, visible: Bools) -> Floats:
    """
    Return the mean error (P,) over each person's visible joints, of the nearest prediction.

    `predicted` (N, J, 3), N ≥ 1, and `truth` (P, J, 3), both root-relative; `visible` (P, J), at
    least one joint each. Nearest by the mean distance over the joints that are visible on every
    person, or over the person's own where there are none; two may take the same prediction.
    """
    distance = np.linalg.norm(truth[:, None] - predicted[None], axis=-1)
    common = visible.all(0)
    errors = np.empty(len(truth))
    for person, own in enumerate(visible):
        seen = common if common.any() else own
        nearest = distance[person][:, seen].mean(1).argmin()
        errors[person] = distance[person, nearest, own].mean()
    return errors
