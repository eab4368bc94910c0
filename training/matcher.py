"""Which query is which person: the cheapest assignment, picture by picture (DETR, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from training.losses.boxes import corners, generalised_iou
from training.people import Match, QueryPeople
from training.target import Target

CONFIDENCE_COST, BOX_COST, GIOU_COST, JOINTS_COST = 1.0, 1.0, 1.0, 20.0
NOT_FINITE_COST = 1e9
MATCHED_JOINTS = SMPL_JOINT_NAMES.index('left_hand')
"""SMPL's joints without the hands, which are the last two."""


@torch.no_grad()
def match(people: QueryPeople, targets: Sequence[Target], input_size: int) -> Match:
    """
    Assign a query to every person so that the sum of costs is smallest.

    A query with predictions that are not finite is the last to be taken. Where there is no other,
    the losses are not finite either, and the loop stops with their names.
    """
    pictures: list[Tensor] = []
    queries: list[Tensor] = []
    persons: list[Tensor] = []
    first = 0
    for index, target in enumerate(targets):
        cost = _cost(people, index, target, input_size).nan_to_num(*[NOT_FINITE_COST] * 3)
        query, person = linear_sum_assignment(cost.cpu().numpy())
        pictures.append(torch.full((len(query),), index))
        queries.append(torch.from_numpy(query))
        persons.append(torch.from_numpy(person) + first)
        first += len(target)
    device = people.confidence_logits.device
    return Match(*(torch.cat(part).to(device) for part in (pictures, queries, persons)))


def _cost(people: QueryPeople, index: int, target: Target, input_size: int) -> Tensor:
    """Return the cost (Q, P) of taking each query for each person of one picture."""
    p = people.confidence_logits[index].sigmoid()
    confidence = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log()
    boxes = people.boxes_cxcywh_norm[index]
    box = torch.cdist(boxes, target.boxes_cxcywh_norm, p=1)
    giou = generalised_iou(corners(boxes)[:, None], corners(target.boxes_cxcywh_norm)[None, :])
    ours = people.joints_px[index, :, None, :MATCHED_JOINTS]
    mask = target.joints_mask[None, :, :MATCHED_JOINTS]
    difference = (ours - target.joints_px[None, :, :MATCHED_JOINTS]).abs() / input_size * mask
    joints = difference.sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1)
    return (
        CONFIDENCE_COST * confidence[:, None]
        + BOX_COST * box
        - GIOU_COST * giou
        + JOINTS_COST * joints
    )
