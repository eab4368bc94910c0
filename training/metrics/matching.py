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

"""Which predicted person is which of the truth: greedy, by projected joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from training.metrics.detection import Detections
from training.metrics.types import Bools, Floats, Ints


@dataclass(frozen=True)
class Matching:
    """Pairs of N predictions and P people of the truth."""

    of_truth: Ints
    """(P,) index of each person's prediction, -1 where there is none."""
    predictions: int
    """N."""

    @property
    def truth_index(self) -> Ints:
        """(M,) who of the truth was found."""
        return np.flatnonzero(self.of_truth >= 0)

    @property
    def prediction_index(self) -> Ints:
        """(M,) their predictions, in the same order."""
        return self.of_truth[self.truth_index]

    @property
    def detections(self) -> Detections:
        """Truth without a prediction is missed, a prediction without truth a false positive."""
        found = len(self.truth_index)
        return Detections(
            people=len(self.of_truth),
            missed=len(self.of_truth) - found,
            false_positives=self.predictions - found,
        )


def match_by_joints(
    predicted_px: Floats,
    truth_px: Floats,
    visible: Bools | None = None,
    minimum_iou: float = 0.1,
) -> Matching:
    """
    Match N predictions (N, J, 2) with P people (P, J, 2) in pixels, as AGORA's evaluation does.

    All pairs in the order of the L2 norm of their joints' differences, over the joints `visible`
    (P, J) on the person of the truth if given (ties: lower prediction, then lower person first).
    A pair matches when both are free and the boxes around all their joints overlap by
    `minimum_iou` or more. A pair that overlaps less counts one false positive, even when it has
    been matched otherwise; when matches and false positives reach N, the rest is not looked at.
    """
    of_truth = np.full(len(truth_px), -1, np.int64)
    predictions = len(predicted_px)
    if not predictions or not len(truth_px):
        return Matching(of_truth, predictions)
    difference = predicted_px[:, None].astype(np.float64) - truth_px[None]
    if visible is not None:
        difference = np.where(visible[None, :, :, None], difference, 0)
    distance = np.sqrt((difference**2).sum((2, 3)))
    overlap = iou_plus_one(boxes_around(predicted_px), boxes_around(truth_px))
    free = np.ones(predictions, np.bool_)
    matched = false_positives = 0
    for pair in distance.argsort(axis=None, kind='stable'):
        if matched == len(truth_px) or matched + false_positives >= predictions:
            break
        prediction, person = divmod(int(pair), len(truth_px))
        if not overlap[prediction, person] >= minimum_iou:
            false_positives += 1
        elif free[prediction] and of_truth[person] < 0:
            of_truth[person] = prediction
            free[prediction] = False
            matched += 1
    return Matching(of_truth, predictions)


def boxes_around(joints_px: Floats) -> Floats:
    """Return the boxes (N, 4) left, top, right, bottom around joints (N, J, 2)."""
    return np.concatenate([joints_px.min(1), joints_px.max(1)], axis=1)


def iou_plus_one(boxes_a: Floats, boxes_b: Floats) -> Floats:
    """
    Return the overlap (A, B) of boxes (A, 4) and (B, 4) in pixels.

    Right and bottom belong to a box: its sides are right − left + 1 and bottom − top + 1.
    """
    a, b = boxes_a.astype(np.float64)[:, None], boxes_b.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    both = sides.clip(min=0).prod(-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (a, b))
    return both / (area_a + area_b - both)
