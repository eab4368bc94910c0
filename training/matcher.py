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

"""Which query is which person: the cheapest assignment, picture by picture (DETR, section 3.1)."""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.transfer import on_device
import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor
from training.batch_truth import BatchTruth
from training.data.annotation import Floats
from training.losses.boxes import corners, generalised_iou
from training.people import Match

CONFIDENCE_COST, BOX_COST, GIOU_COST, JOINTS_COST = 1.0, 1.0, 1.0, 20.0
NOT_FINITE_COST = 1e9
MATCHED_JOINTS = SMPL_JOINT_NAMES.index('left_hand')
"""SMPL's joints without the hands, which are the last two."""


class PendingMatch:
    """
    The costs of a batch on their way to the host, where assignments are found.

    Between making it and asking for the match the device has other work to do.
    """

    @torch.no_grad()
    def __init__(
        self,
        confidence_logits: Tensor,
        boxes_cxcywh_norm: Tensor,
        joints_px: Tensor,
        truth: BatchTruth,
        input_size: int,
    ) -> None:
        """
        Compute the costs of taking queries (L, B, Q, ...) of L layers for people of B pictures.

        A query with predictions that are not finite is the last to be taken. Where there is no
        other, the losses are not finite either, and the loop stops with their names.
        """
        self._truth = truth
        costs = _costs(confidence_logits, boxes_cxcywh_norm, joints_px, truth, input_size)
        costs = costs.nan_to_num(*[NOT_FINITE_COST] * 3)
        self._arrived: torch.cuda.Event | None = None
        if costs.device.type == 'cuda':
            self._costs = torch.empty(costs.shape, dtype=costs.dtype, pin_memory=True)
            self._costs.copy_(costs, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        else:
            self._costs = costs.cpu()

    def match(self) -> Match:
        """Assign a query to every person so that the sum of costs is smallest, in every layer."""
        if self._arrived is not None:
            self._arrived.synchronize()
        layers, _, count = self._costs.shape
        costs: Floats = self._costs.numpy()
        taken = [min(n, count) for n in self._truth.people]
        query = np.empty((layers, sum(taken)), np.int64)
        person = np.empty_like(query)
        first = end = 0
        for number, matched in zip(self._truth.people, taken, strict=True):
            rows = slice(end, end + matched)
            for layer in range(layers):
                cost = costs[layer, slice(first, first + number)].T
                query[layer, rows], mine = linear_sum_assignment(cost)
                person[layer, rows] = mine + first
            first, end = first + number, end + matched
        return Match(np.repeat(np.arange(len(taken)), taken), query, person)


def _costs(
    confidence_logits: Tensor,
    boxes_cxcywh_norm: Tensor,
    joints_px: Tensor,
    truth: BatchTruth,
    input_size: int,
) -> Tensor:
    """Return the costs (L, P, Q) of taking each query of a person's picture for that person."""
    picture = on_device(truth.picture, truth.device)

    def beside(value: Tensor) -> Tensor:
        return value.index_select(1, picture)

    ours = beside(joints_px[..., :MATCHED_JOINTS, :])
    mask = truth.joints_mask[:, None, :MATCHED_JOINTS]
    difference = (ours - truth.joints_px[:, None, :MATCHED_JOINTS]).abs() / input_size * mask
    joints = difference.sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1)
    return weighted_cost(
        beside(confidence_logits),
        beside(boxes_cxcywh_norm),
        truth.boxes_cxcywh_norm[:, None],
        joints,
    )


def weighted_cost(
    confidence_logits: Tensor, boxes_cxcywh_norm: Tensor, true_boxes: Tensor, joints: Tensor
) -> Tensor:
    """
    Return the cost (...) of taking a query for a person, of boxes (..., 4) that broadcast.

    joints (...): the mean distance of their joints in the picture, relative to S.
    """
    p = confidence_logits.sigmoid()
    confidence = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
    box = (boxes_cxcywh_norm - true_boxes).abs().sum(-1)
    giou = generalised_iou(corners(boxes_cxcywh_norm), corners(true_boxes))
    return CONFIDENCE_COST * confidence + BOX_COST * box - GIOU_COST * giou + JOINTS_COST * joints
