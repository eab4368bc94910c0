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

"""Queries of decoder layers as people, and those of them that are somebody of the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from mahmr_model.geometry.placement import Lens, project, translation_m
from mahmr_model.geometry.rotations import (
    axis_angle_from_rotation,
    rotation_from_6d,
    rotation_from_axis_angle,
)
from mahmr_model.network import LayerPrediction
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
from training.batch_truth import BatchTruth
from training.data.annotation import Bools, Ints


@dataclass(frozen=True)
class QueryPeople:
    """What decoder layers say of queries, in metres and pixels; any leading axes, here (N,)."""

    confidence_logits: Tensor
    """(N,)."""
    boxes_cxcywh_norm: Tensor
    """(N, 4) relative to S."""
    rotations: Tensor
    """(N, 24, 3, 3)."""
    pose_axis_angle: Tensor
    """(N, 72)."""
    betas: Tensor
    """(N, S)."""
    translation_m: Tensor
    """(N, 3)."""
    joints_camera_m: Tensor
    """(N, 45, 3)."""
    joints_px: Tensor
    """(N, 45, 2) in pixels of the resized picture."""
    depths: Tensor
    """(N, 2): t_z in metres, and t_z over the focal length."""

    def each(self, change: Callable[[Tensor], Tensor]) -> QueryPeople:
        """Return the same with every field changed."""
        return QueryPeople(*(change(value) for value in vars(self).values()))


def query_people(
    prediction: LayerPrediction, lens: Lens, body: nn.Module, input_size: int
) -> QueryPeople:
    """
    Pose queries (N, ...) of which each has a lens of its own (N, ...).

    `body` gives `joints`, as a `BodyLayer` does.
    """
    rotations, translation, joints, pixels = _placed(prediction, lens, body, input_size)
    depth = translation[:, 2]
    return QueryPeople(
        prediction.confidence_logits.float(),
        prediction.boxes_cxcywh_norm.float(),
        rotations,
        axis_angle_from_rotation(rotations).flatten(1),
        prediction.betas.float(),
        translation,
        joints,
        pixels,
        torch.stack([depth, depth / lens.focal_xy_px[:, 0]], dim=-1),
    )


def query_pixels(
    prediction: LayerPrediction, lens: Lens, body: nn.Module, input_size: int
) -> Tensor:
    """Return `joints_px` of `query_people` alone."""
    return _placed(prediction, lens, body, input_size)[3]


def _placed(
    prediction: LayerPrediction, lens: Lens, body: nn.Module, input_size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rotations, translations, joints in metres and in pixels."""
    rotations = rotation_from_6d(prediction.pose_6d.float().unflatten(-1, (24, 6)))
    translation = translation_m(prediction.camera_abc.float()[:, None], lens, input_size)[:, 0]
    joints = body(rotations, prediction.betas.float()).joints + translation[:, None]
    pixels = project(joints, lens.focal_xy_px, lens.centre_xy_px)
    return rotations, translation, joints, pixels


def stacked(layers: Sequence[LayerPrediction]) -> LayerPrediction:
    """Return what L layers say of rows (...) in one: (L, ...)."""
    names = vars(layers[0])
    return LayerPrediction(*(torch.stack([getattr(p, name) for p in layers]) for name in names))


def lenses_of(lens: Lens, picture: Tensor) -> Lens:
    """Return the lens of every one's picture."""
    return Lens(*(value.index_select(0, picture) for value in vars(lens).values()))


@dataclass(frozen=True)
class Match:
    """Which query is which person: M pairs in each of L layers, pictures in order; on the host."""

    picture: Ints
    """(M,) the same in every layer."""
    query: Ints
    """(L, M)."""
    person: Ints
    """(L, M): index into the people of all pictures, one after the other."""

    def layer(self, layer: int) -> LayerMatch:
        """Return the match of one layer."""
        return LayerMatch(
            *map(torch.from_numpy, (self.picture, self.query[layer], self.person[layer]))
        )

    def in_layers(self, layers: int) -> Match:
        """Return the match of a single layer as that of so many."""
        return Match(
            self.picture, np.tile(self.query, (layers, 1)), np.tile(self.person, (layers, 1))
        )


@dataclass(frozen=True)
class LayerMatch:
    """Which query is which person in one layer, as tensors (M,) of the host."""

    picture: Tensor
    query: Tensor
    person: Tensor


@dataclass(frozen=True)
class Pairs:
    """
    Matched people of L layers: row i of a prediction belongs to row i of the truth.

    There are L·M rows, layer after layer, and every layer has the same pictures in the same order.
    """

    layers: int
    """L."""
    picture: Ints
    """(M,) which picture of the batch, on the host."""
    valid_3d: Bools
    """(M,) whether pose, shape, 3-D joints and depths are labels, on the host."""
    predicted: QueryPeople
    """Fields (L·M, ...)."""
    boxes_cxcywh_norm: Tensor
    pose_axis_angle: Tensor
    betas: Tensor
    joints_camera_m: Tensor
    joints_px: Tensor
    joints_mask: Tensor
    depths: Tensor
    focal_px: Tensor
    depth_layers: Tensor
    """(L·M,) int64: -1 where a person has none, `LAYERS_UNKNOWN` where the picture has none."""

    def where(self, mask: Bools) -> Pairs:
        """Return the pairs of every layer where a mask (M,) of the host is true."""
        if mask.all():
            return self
        kept = np.flatnonzero(mask)
        rows = on_device(
            (np.arange(self.layers)[:, None] * len(mask) + kept).ravel(), self.depths.device
        )
        chosen: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(
            self,
            picture=self.picture[mask],
            valid_3d=self.valid_3d[mask],
            predicted=self.predicted.each(lambda value: value[rows]),
            **chosen,
        )

    def two_of_a_picture(self) -> tuple[Tensor, Tensor]:
        """Return the rows (L·K,), (L·K,) of every two people of a picture, i before j."""
        ends = np.flatnonzero(np.diff(self.picture, prepend=-1, append=-1))
        firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start, end in pairwise(ends):
            i, j = np.triu_indices(int(end - start), 1)
            firsts.append(start + i)
            seconds.append(start + j)
        both = np.stack([np.concatenate(firsts), np.concatenate(seconds)])
        layers = np.arange(self.layers)[None, :, None] * len(self.picture)
        first, second = on_device((both[:, None] + layers).reshape(2, -1), self.depths.device)
        return first, second


def pair(predicted: QueryPeople, truth: BatchTruth, match: Match) -> Pairs:
    """Put matched queries (L·M, ...), layer after layer, beside their truth."""
    person = on_device(match.person.ravel(), truth.device)
    fields = (
        'boxes_cxcywh_norm',
        'pose_axis_angle',
        'betas',
        'joints_camera_m',
        'joints_px',
        'joints_mask',
        'depths',
        'focal_px',
        'depth_layers',
    )
    return Pairs(
        len(match.person),
        match.picture,
        np.asarray(truth.valid_3d, bool)[match.picture],
        predicted,
        **{name: getattr(truth, name).index_select(0, person) for name in fields},
    )


def truth_pairs(truth: BatchTruth) -> Pairs:
    """Return all people of pictures, each paired with itself."""
    nothing = truth.depths[:, 0]  # stands in for what the truth has none of
    itself = QueryPeople(
        nothing,
        truth.boxes_cxcywh_norm,
        rotation_from_axis_angle(truth.pose_axis_angle.unflatten(1, (24, 3))),
        truth.pose_axis_angle,
        truth.betas,
        truth.joints_camera_m[:, 0],
        truth.joints_camera_m,
        truth.joints_px,
        truth.depths,
    )
    everybody = np.arange(len(truth))[None]
    return pair(itself, truth, Match(truth.picture, everybody, everybody))
