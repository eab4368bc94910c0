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

"""Relative Human: projected joints, and who stands before whom, by age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from training.metrics.detection import Detections
from training.metrics.joints import regress, SMPL_JOINTS
from training.metrics.matching import match_by_joints, Matching
from training.metrics.protocol import Protocol, PUBLISHED_THRESHOLD
from training.metrics.types import Floats, Ints, PredictedPeople, RelativeHumanTruth

AGES = ('adult', 'teen', 'kid', 'baby')
GROUPS = ('', *(f'_{age}' for age in AGES))
"""Everybody, then each age: the endings of the report's lines."""
NO_LAYER = -1

CROWDPOSE = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8, 27, 26)
"""CrowdPose's 14 joints among SMPL's 24, followed by those of the extra regressor."""
INVISIBLE_PX = -2.0
"""Where published code leaves joints that are not annotated: they widen the truth's box."""
MINIMUM_IOU = 0.05
SHARE_OF_DIAGONAL = 0.143
SAME_DEPTH_M = 0.2
MISSED_WEIGHT = 0.3


@dataclass(frozen=True)
class RelativeHumanRecord:
    """What was measured in one picture."""

    detections: Detections
    near_joints: Floats
    """(M,) share of each found person's visible joints that are near; nobody without any."""
    correct_pairs: Floats
    """(5,) pairs in the right order, by `GROUPS`."""
    weight: Floats
    """(5,) pairs, and 0.3 for each missed person, by `GROUPS`."""


class RelativeHuman(Protocol[RelativeHumanTruth, RelativeHumanRecord]):
    """mPCKh@0.6 and PCDR@0.2 in percent under their published names (BEV, Sun et al. 2022)."""

    name = 'relative human'

    def __init__(
        self, extra_regressor: Floats, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)
    ) -> None:
        """Take the regressor (9, V) of the further joints."""
        super().__init__(thresholds)
        self._regressor = extra_regressor

    def report(self, threshold: float) -> str:
        """Return the published report to the letter, its spelling (PCRD) included."""
        return published_report(self.records_of(threshold))

    def _measure(
        self, prediction: PredictedPeople, truth: RelativeHumanTruth
    ) -> RelativeHumanRecord:
        extra = regress(self._regressor, prediction.vertices_camera_m)
        smpl = prediction.joints_camera_m[:, :SMPL_JOINTS]
        joints = np.concatenate([smpl, extra], axis=1)[:, CROWDPOSE]
        depth_m = prediction.translation_m[:, 2]
        return measure_picture(prediction.camera.project(joints), depth_m, truth)

    def _summarise(self, records: Sequence[RelativeHumanRecord]) -> dict[str, float]:
        counts = Detections.sum(record.detections for record in records)
        precision, recall, f1 = counts.precision_recall_f1()
        scores = {name: x for name, x in report_scores(records).items() if np.isfinite(x)}
        return {**scores, 'precision': precision, 'recall': recall, 'F1': f1}


def measure_picture(
    predicted_px: Floats, depth_m: Floats, truth: RelativeHumanTruth
) -> RelativeHumanRecord:
    """
    Measure N people with CrowdPose's joints (N, 14, 2) in pixels and t_z (N,) in metres.

    As published, the number of predictions stands for the number of people in precision and
    recall.
    """
    truth_px = np.where(truth.visible[..., None], truth.joints_px, INVISIBLE_PX)
    matching = match_by_joints(predicted_px, truth_px, truth.visible, MINIMUM_IOU)
    correct, weight = count_pairs(depth_m, truth, matching)
    counts = matching.detections
    return RelativeHumanRecord(
        detections=Detections(len(predicted_px), counts.missed, counts.false_positives),
        near_joints=near_joint_shares(predicted_px, truth, matching),
        correct_pairs=correct,
        weight=weight,
    )


def near_joint_shares(
    predicted_px: Floats, truth: RelativeHumanTruth, matching: Matching
) -> Floats:
    """Return each found person's share of visible joints within 0.143 of their diagonal."""
    shares = []
    for person in matching.truth_index:
        visible = truth.visible[person]
        if visible.any():
            joints = truth.joints_px[person, visible]
            diagonal = np.linalg.norm(joints.max(0) - joints.min(0))
            error = np.linalg.norm(
                predicted_px[matching.of_truth[person], visible] - joints, axis=-1
            )
            shares.append(np.mean(error <= SHARE_OF_DIAGONAL * diagonal))
    return np.array(shares)


def count_pairs(
    depth_m: Floats, truth: RelativeHumanTruth, matching: Matching
) -> tuple[Floats, Floats]:
    """
    Return how many pairs are in the right order and how many there are, (5,) each, by `GROUPS`.

    Of people found who have a layer: of one layer less than 0.2 m apart, or the one of the lower
    layer nearer by more. A pair counts once for each age that either has. Every missed person
    adds 0.3 to what all and their age are divided by.
    """
    correct, weight = np.zeros(len(GROUPS)), np.zeros(len(GROUPS))
    for person in np.flatnonzero(matching.of_truth < 0):
        weight[_groups(truth.age[[person]])] += MISSED_WEIGHT
    found = matching.truth_index
    found = found[truth.depth_layer[found] != NO_LAYER]
    for position, first in enumerate(found):
        for second in found[slice(position + 1, None)]:
            pair = np.array([first, second])
            nearer, farther = pair[truth.depth_layer[pair].argsort(kind='stable')]
            gap = depth_m[matching.of_truth[farther]] - depth_m[matching.of_truth[nearer]]
            same_layer = truth.depth_layer[nearer] == truth.depth_layer[farther]
            right = abs(gap) < SAME_DEPTH_M if same_layer else gap > SAME_DEPTH_M
            groups = _groups(truth.age[pair])
            weight[groups] += 1
            correct[groups] += right
    return correct, weight


def report_scores(records: Sequence[RelativeHumanRecord]) -> dict[str, float]:
    """Return the report's numbers in percent; NaN where there is nothing to divide by."""
    near = np.concatenate([np.empty(0), *(record.near_joints for record in records)])
    correct = np.sum([np.zeros(len(GROUPS)), *(r.correct_pairs for r in records)], axis=0)
    weight = np.sum([np.zeros(len(GROUPS)), *(r.weight for r in records)], axis=0)
    with np.errstate(invalid='ignore'):
        shares = 100 * correct / weight
    scores = {'mPCKh_0.6': 100 * float(near.mean()) if len(near) else float('nan')}
    return scores | {f'PCRD_0.2{end}': float(s) for end, s in zip(GROUPS, shares, strict=True)}


def published_report(records: Sequence[RelativeHumanRecord]) -> str:
    """Return the report as published code prints it."""
    return ''.join(f'{name}: {value:.2f}\n' for name, value in report_scores(records).items())


def _groups(ages: Ints) -> list[int]:
    """Return the places in `GROUPS` that people of these ages count for."""
    return [0, *(1 + ages)]
