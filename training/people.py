"""All queries of a decoder layer as people, and those of them that were matched with truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn, Tensor

from mahmr_model.geometry.placement import Lens, project, translation_m
from mahmr_model.geometry.rotations import axis_angle_from_rotation, rotation_from_6d
from mahmr_model.network import LayerPrediction
from training.target import Target

LAYERS_UNKNOWN = -2
"""In place of a depth layer: the picture says nothing of layers."""


@dataclass(frozen=True)
class QueryPeople:
    """What a decoder layer says of every query of B pictures, in metres and pixels."""

    confidence_logits: Tensor
    """(B, Q)."""
    boxes_cxcywh_norm: Tensor
    """(B, Q, 4) relative to S."""
    pose_axis_angle: Tensor
    """(B, Q, 72)."""
    betas: Tensor
    """(B, Q, S)."""
    translation_m: Tensor
    """(B, Q, 3)."""
    joints_camera_m: Tensor
    """(B, Q, 45, 3)."""
    joints_px: Tensor
    """(B, Q, 45, 2) in pixels of the resized picture."""
    depths: Tensor
    """(B, Q, 2): t_z in metres, and t_z over the focal length."""

    def part(self, queries: slice) -> QueryPeople:
        """Return some of the queries of every picture."""
        return QueryPeople(*(value[:, queries] for value in vars(self).values()))


def query_people(
    prediction: LayerPrediction, body: nn.Module, lens: Lens, input_size: int
) -> QueryPeople:
    """Pose every query; `body` a `BodyLayer`, or one of joints alone (`joints_only`)."""
    batch, queries = prediction.camera_abc.shape[:2]
    rotations = rotation_from_6d(prediction.pose_6d.float().unflatten(-1, (24, 6)))
    betas = prediction.betas.float()
    translation = translation_m(prediction.camera_abc.float(), lens, input_size)
    joints = body(rotations.flatten(0, 1), betas.flatten(0, 1)).joints
    joints = joints + translation.flatten(0, 1)[:, None]
    pixels = project(
        joints,
        lens.focal_xy_px.repeat_interleave(queries, 0),
        lens.centre_xy_px.repeat_interleave(queries, 0),
    )
    depth = translation[..., 2]
    return QueryPeople(
        prediction.confidence_logits.float(),
        prediction.boxes_cxcywh_norm.float(),
        axis_angle_from_rotation(rotations).flatten(2),
        betas,
        translation,
        joints.unflatten(0, (batch, queries)),
        pixels.unflatten(0, (batch, queries)),
        torch.stack([depth, depth / lens.focal_xy_px[:, :1]], dim=-1),
    )


@dataclass(frozen=True)
class Match:
    """Which query is which person of a picture: M pairs of a batch, pictures in order."""

    picture: Tensor
    """(M,) int64."""
    query: Tensor
    """(M,) int64."""
    person: Tensor
    """(M,) int64: index into the people of all pictures, one after the other."""


@dataclass(frozen=True)
class Pairs:
    """Matched people of a batch: row i of a prediction belongs to row i of the truth."""

    picture: Tensor
    """(M,) int64: which picture of the batch."""
    valid_3d: Tensor
    """(M,) bool: whether pose, shape, 3-D joints and depths are labels."""
    predicted: QueryPeople
    """Fields (M, ...) instead of (B, Q, ...)."""
    boxes_cxcywh_norm: Tensor
    pose_axis_angle: Tensor
    betas: Tensor
    joints_camera_m: Tensor
    joints_px: Tensor
    joints_mask: Tensor
    depths: Tensor
    focal_px: Tensor
    depth_layers: Tensor
    """(M,) int64: -1 where a person has none, `LAYERS_UNKNOWN` where the picture has none."""

    def where(self, mask: Tensor) -> Pairs:
        """Return the pairs where a mask (M,) is true."""
        chosen = {
            name: value[mask] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        predicted = QueryPeople(*(value[mask] for value in vars(self.predicted).values()))
        return replace(self, predicted=predicted, **chosen)


def pair(people: QueryPeople, targets: Sequence[Target], match: Match) -> Pairs:
    """Put every matched query beside its truth."""

    def truth(name: str) -> Tensor:
        return torch.cat([getattr(target, name) for target in targets])[match.person]

    valid = torch.tensor([t.valid_3d for t in targets], device=match.picture.device)
    layers = [
        torch.full_like(t.depths[:, 0], LAYERS_UNKNOWN, dtype=torch.int64)
        if t.depth_layers is None
        else t.depth_layers
        for t in targets
    ]
    return Pairs(
        match.picture,
        valid[match.picture],
        QueryPeople(*(value[match.picture, match.query] for value in vars(people).values())),
        truth('boxes_cxcywh_norm'),
        truth('pose_axis_angle'),
        truth('betas'),
        truth('joints_camera_m'),
        truth('joints_px'),
        truth('joints_mask'),
        truth('depths'),
        truth('focal_px'),
        torch.cat(layers)[match.person],
    )


def truth_pairs(targets: Sequence[Target]) -> Pairs | None:
    """Return all people of pictures, each paired with itself; None where there is nobody."""
    if not any(len(target) for target in targets):
        return None
    counts = torch.tensor([len(target) for target in targets])
    picture = torch.arange(len(targets)).repeat_interleave(counts)
    person = torch.arange(len(picture))
    people = QueryPeople(
        *(
            torch.cat([getattr(target, name) for target in targets])[None]
            for name in (
                'heights_m',  # stands in for confidences, which the truth has none of
                'boxes_cxcywh_norm',
                'pose_axis_angle',
                'betas',
                'translation_m',
                'joints_camera_m',
                'joints_px',
                'depths',
            )
        )
    )
    everybody = Match(torch.zeros_like(person), person, person)
    valid = torch.tensor([target.valid_3d for target in targets])
    return replace(pair(people, targets, everybody), picture=picture, valid_3d=valid[picture])
