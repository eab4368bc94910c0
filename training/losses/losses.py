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

"""
Every loss of MA-HMR, one function each, and how they are put together.

`PERSON_LOSSES` and `PAIR_LOSSES` name those that compare matched people; to add or change a loss,
do it there and give it a weight in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from mahmr_model.geometry.rotations import rotation_from_axis_angle
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as functional
from training.batch_truth import BatchTruth
from training.losses.boxes import corners, generalised_iou
from training.losses.depth import inverse_depth, relative_metric, relative_order
from training.people import Match, Pairs

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
SHAPE_WEIGHTS = (2.56, 1.28, 0.64, 0.64, 0.32, 0.32, 0.32, 0.32, 0.32, 0.32, 10.0)
FOV_TOO_LARGE = 3.0
"""Weight of a field of view that is estimated too large; 1 where it is too small."""


def boxes(pairs: Pairs, input_size: int) -> Tensor:
    """Return the L1 distance of each person's box, summed over its four numbers."""
    return (pairs.predicted.boxes_cxcywh_norm - pairs.boxes_cxcywh_norm).abs().sum(-1)


def giou(pairs: Pairs, input_size: int) -> Tensor:
    """Return 1 − GIoU of each person's box."""
    ours = corners(pairs.predicted.boxes_cxcywh_norm)
    return 1 - generalised_iou(ours, corners(pairs.boxes_cxcywh_norm))


def poses(pairs: Pairs, input_size: int) -> Tensor:
    """Return the mean L1 distance of each person's 72 axis-angle numbers."""
    return (pairs.predicted.pose_axis_angle - pairs.pose_axis_angle).abs().mean(-1)


def rotations(pairs: Pairs, input_size: int) -> Tensor:
    """
    Return the mean chordal distance of each person's 24 rotations, 0…√8 (ours).

    Frobenius' norm of the difference of two matrices, √8·sin θ/2 for an angle θ between them
    (Hartley et al. 2013, "Rotation averaging"). As axis-angle vectors, whoever stands upright
    before a level camera has a root rotation by π, whose sign a trifle decides.
    """
    true = rotation_from_axis_angle(pairs.pose_axis_angle.unflatten(1, (24, 3)))
    distance: Tensor = torch.linalg.matrix_norm(pairs.predicted.rotations - true)
    return distance.mean(-1)


def betas(pairs: Pairs, input_size: int) -> Tensor:
    """Return the mean weighted L1 distance of each person's shape."""
    difference = (pairs.predicted.betas - pairs.betas).abs()
    return (difference * _shape_weights(difference.shape[1], difference.device)).mean(-1)


def j3ds(pairs: Pairs, input_size: int) -> Tensor:
    """Return the mean L1 distance of each person's 45 joints relative to the root, metres."""
    ours, true = (
        joints - joints[:, :1]
        for joints in (pairs.predicted.joints_camera_m, pairs.joints_camera_m)
    )
    return (ours - true).abs().mean((-2, -1))


def j2ds(pairs: Pairs, input_size: int) -> Tensor:
    """Return the mean L1 distance of each person's 45 joints in the picture, relative to S."""
    difference = (pairs.predicted.joints_px - pairs.joints_px).abs() / input_size
    return (difference * pairs.joints_mask).mean((-2, -1))


def depths(pairs: Pairs, input_size: int) -> Tensor:
    """Return the difference of each person's inverse depth."""
    return inverse_depth(pairs)


@dataclass(frozen=True)
class PersonLoss:
    """A loss that every matched person has a value of; their sum is divided by N."""

    value: Callable[[Pairs, int], Tensor]
    needs_3d: bool
    """Whether it counts people of `valid_3d` pictures alone."""


PERSON_LOSSES = {
    'boxes': PersonLoss(boxes, needs_3d=False),
    'giou': PersonLoss(giou, needs_3d=False),
    'poses': PersonLoss(poses, needs_3d=True),
    'rotations': PersonLoss(rotations, needs_3d=True),
    'betas': PersonLoss(betas, needs_3d=True),
    'j3ds': PersonLoss(j3ds, needs_3d=True),
    'j2ds': PersonLoss(j2ds, needs_3d=False),
    'depths': PersonLoss(depths, needs_3d=True),
}


@dataclass(frozen=True)
class PairLoss:
    """A loss on every two people of a picture; its mean over the batch."""

    values: Callable[[Pairs], tuple[Tensor, Tensor]]
    """The value (L·K,) of every two people, and which of them count."""
    needs_3d: bool

    def of(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sum (L,) over those that count in each layer, and their number (L,)."""
        chosen = pairs.where(pairs.valid_3d) if self.needs_3d else pairs
        values, counted = (x.view(pairs.layers, -1) for x in self.values(chosen))
        return torch.where(counted, values, 0).sum(1), counted.sum(1)


PAIR_LOSSES = {
    'depths_mt': PairLoss(relative_metric, needs_3d=True),
    'depths_re': PairLoss(relative_order, needs_3d=False),
}


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the focal loss (arXiv 1708.02002) of each logit against 0 or 1."""
    p = logits.sigmoid()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction='none')
    right = p * labels + (1 - p) * (1 - labels)
    alpha = FOCAL_ALPHA * labels + (1 - FOCAL_ALPHA) * (1 - labels)
    return alpha * (1 - right) ** FOCAL_GAMMA * cross_entropy


def confs(logits: Tensor, truth: BatchTruth, match: Match) -> Tensor:
    """
    Return the mean confidence loss (L,) of the queries (L, B, Q) of L layers.

    It counts all queries of pictures in which everybody is labelled, and only the matched ones of
    others, where a query that found somebody without a label is not wrong.
    """
    labels = torch.zeros_like(logits)
    rows = np.arange(len(logits))[:, None] * logits[0].numel()
    rows = rows + match.picture * logits.shape[2] + match.query
    labels.view(-1).index_fill_(0, on_device(rows.ravel(), logits.device), 1)
    losses = confidence(logits, labels)
    if all(truth.detect_all_people):
        return losses.mean((1, 2))
    complete = on_device(np.asarray(truth.detect_all_people, np.int64), logits.device) > 0
    counted = complete[:, None] | labels.bool()
    return torch.where(counted, losses, 0).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)


def map_losses(scale_logits: Tensor, truth: BatchTruth) -> dict[str, Tensor]:
    """
    Return `map_confs` and `map_scales` of the scale map (N, 2) before the sigmoid.

    Presence counts in all cells of pictures in which everybody is labelled, and in those of
    people of others; sizes count where people are.
    """
    complete = np.repeat(np.asarray(truth.detect_all_people, np.int64), truth.cells)
    return cell_losses(
        scale_logits, truth.scale_map, on_device(complete, truth.scale_map.device) > 0
    )


def cell_losses(scale_logits: Tensor, scale_map: Tensor, complete: Tensor) -> dict[str, Tensor]:
    """Return `map_losses` of maps (N, 2); `complete` (N,) says where everybody is labelled."""
    labels = scale_map[:, 0]
    present = labels > 0.5
    counted = complete | present
    sizes = (scale_logits[:, 1].float().sigmoid() - scale_map[:, 1]).abs()
    presence = confidence(scale_logits[:, 0].float(), labels)
    return {
        'map_confs': torch.where(counted, presence, 0).sum() / counted.sum().clamp(min=1),
        'map_scales': torch.where(present, sizes, 0).sum() / present.sum().clamp(min=1),
    }


def fov(fov_rad: Tensor, truth: BatchTruth) -> Tensor:
    """
    Return the weighted squared error of the vertical field of view (B,), summed over pictures.

    Summed, as published: its weight grows with the batch.
    """
    sizes = on_device(np.asarray(truth.sizes_hw, np.int64), fov_rad.device)
    true = 2 * (sizes[:, 0] / (2 * truth.picture_focal_px)).atan()
    return fov_errors(fov_rad, true).sum()


def fov_errors(fov_rad: Tensor, true_rad: Tensor) -> Tensor:
    """Return the weighted squared error (B,) of each picture's field of view."""
    weights = torch.where(fov_rad > true_rad, FOV_TOO_LARGE, 1.0)
    return weights * (fov_rad - true_rad) ** 2


def matched_losses(
    pairs: Pairs, names: Sequence[str], counts: PeopleCounts, input_size: int, groups: int = 1
) -> dict[str, Tensor]:
    """
    Return the named losses (L,) on matched people of L layers.

    Sums over people are divided by how many people of the whole batch have the label, times the
    denoising groups in which each of them occurs.
    """
    losses: dict[str, Tensor] = {}
    with_3d = pairs.where(pairs.valid_3d)
    for name in names:
        if name in PERSON_LOSSES:
            loss = PERSON_LOSSES[name]
            people, count = (with_3d, counts.with_3d) if loss.needs_3d else (pairs, counts.all)
            values = loss.value(people, input_size).view(pairs.layers, -1)
            losses[name] = values.sum(1) / (count * groups)
        elif name in PAIR_LOSSES:
            total, number = PAIR_LOSSES[name].of(pairs)
            losses[name] = total / number.clamp(min=1)
    return losses


@dataclass(frozen=True)
class PeopleCounts:
    """N: the labelled people of a batch, at least 1."""

    all: int  # noqa: A003
    with_3d: int


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _shape_weights(count: int, device: torch.device) -> Tensor:
    """Return the weights (count,) of shape parameters."""
    return _put_once(count, device)


@cache
def _put_once(count: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(SHAPE_WEIGHTS[:count], device=device)
