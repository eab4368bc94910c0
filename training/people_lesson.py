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
The whole network's losses on pictures of one shape: `criterion` without anything the host decides.

Every picture has places for ten people, and those that are empty count for nothing. People get
their queries greedily, the best pair of all first, in place of the cheapest assignment as a whole:
a device can do that by itself. There are no denoising queries.
"""

from __future__ import annotations

from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction
import numpy as np
import torch
from torch import nn, Tensor
from training.joint_body import JointBody
from training.losses.depth import metric_gaps
from training.losses.losses import confidence, PERSON_LOSSES
from training.matcher import MATCHED_JOINTS, NOT_FINITE_COST, weighted_cost
from training.people import Pairs, query_people, query_pixels, stacked
from training.scene_pool import MOST_PEOPLE, PoolPictures


class PeopleLesson(nn.Module):
    """What queries learn of people."""

    first: Tensor
    second: Tensor

    def __init__(self, body: BodyLayer, names: list[str], input_size: int) -> None:
        """Take the losses on matched people by name: of `PERSON_LOSSES`, and `depths_mt`."""
        super().__init__()
        self._body, self._names, self._input_size = JointBody(body), names, input_size
        first, second = torch.triu_indices(MOST_PEOPLE, MOST_PEOPLE, 1)
        self.register_buffer('first', first, persistent=False)
        self.register_buffer('second', second, persistent=False)

    def forward(
        self, layers: list[LayerPrediction], fov_rad: Tensor, pictures: PoolPictures, seen: Tensor
    ) -> dict[str, Tensor]:
        """
        Return `confs` and the losses on people by name, each summed over layers.

        seen (B,): pictures that are not count for nothing.
        """
        rows = stacked(layers)
        lens = Lens.of_sizes(pictures.size_hw, self._input_size, fov_rad)
        with torch.no_grad():
            query = greedy_match(self._costs(rows, lens, pictures))
        count, queries = len(layers), rows.confidence_logits.shape[2]
        present = (pictures.present & seen[:, None])[None] & (query < queries)
        # One more query takes what belongs to nobody.
        labels = torch.zeros(*rows.confidence_logits.shape[:2], queries + 1, device=query.device)
        labels = labels.scatter_(2, query, 1.0)[..., :queries]
        confs = torch.where(seen, confidence(rows.confidence_logits, labels).mean(2), 0)
        pairs = self._pairs(rows, lens, query.clamp(max=queries - 1), pictures)
        losses = {'confs': confs.sum() / seen.sum().clamp(min=1)}
        for name in self._names:
            if name == 'depths_mt':
                values, counted = self._metric_gaps(pairs, present)
            else:
                values = PERSON_LOSSES[name].value(pairs, self._input_size).view(count, -1)
                counted = present.flatten(1)
            values = torch.where(counted, values, 0)
            losses[name] = (values.sum(1) / counted.sum(1).clamp(min=1)).sum()
        return losses

    def _metric_gaps(self, pairs: Pairs, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values (L, B·45) of every two people, and which of them count."""
        gaps = []
        for depths in (pairs.predicted.depths[:, 0], pairs.depths[:, 0]):
            by_picture = depths.view_as(present)
            gaps.append(by_picture[..., self.first] - by_picture[..., self.second])
        values, near = metric_gaps(gaps[0], gaps[1])
        both = present[..., self.first] & present[..., self.second]
        return values.flatten(1), (near & both).flatten(1)

    def _costs(self, rows: LayerPrediction, lens: Lens, pictures: PoolPictures) -> Tensor:
        """Return the costs (L, B, 10, Q) of `matcher`, very high ones for who is not there."""
        layers, batch, queries = rows.confidence_logits.shape
        pixels = query_pixels(
            _rows(rows), _each(lens, layers, queries), self._body, self._input_size
        )
        pixels = pixels.view(layers, batch, 1, queries, -1, 2)[..., :MATCHED_JOINTS, :]
        joints = (pixels - pictures.joints_px[:, :, None, :MATCHED_JOINTS]).abs().mean((-2, -1))
        costs = weighted_cost(
            rows.confidence_logits[:, :, None],
            rows.boxes_cxcywh_norm[:, :, None],
            pictures.boxes_cxcywh_norm[:, :, None],
            joints / self._input_size,
        )
        costs = costs.nan_to_num(*[NOT_FINITE_COST / 2] * 3)
        return torch.where(pictures.present[:, :, None], costs, NOT_FINITE_COST)

    def _pairs(
        self, rows: LayerPrediction, lens: Lens, query: Tensor, pictures: PoolPictures
    ) -> Pairs:
        """Put the queries (L, B, 10) of people beside their truth."""
        layers, batch, people = query.shape

        def chosen(value: Tensor) -> Tensor:
            index = (
                query if value.ndim == 3 else query[..., None].expand(-1, -1, -1, value.shape[3])
            )
            return value.gather(2, index)

        mine = LayerPrediction(*(chosen(value) for value in vars(rows).values()))
        predicted = query_people(
            _rows(mine), _each(lens, layers, people), self._body, self._input_size
        )

        def true(value: Tensor) -> Tensor:
            return value[None].expand(layers, *value.shape).flatten(0, 2)

        everybody = layers * batch * people
        device = query.device
        return Pairs(
            layers,
            np.repeat(np.arange(batch), people),
            np.ones(batch * people, bool),
            predicted,
            true(pictures.boxes_cxcywh_norm),
            true(pictures.pose_axis_angle),
            true(pictures.betas),
            true(pictures.joints_camera_m),
            true(pictures.joints_px),
            torch.ones(everybody, 1, 1, dtype=torch.bool, device=device),
            true(pictures.depths),
            true(pictures.focal_px[:, None].expand(-1, people)),
            torch.zeros(everybody, dtype=torch.int64, device=device),
        )


def greedy_match(costs: Tensor) -> Tensor:
    """
    Return the query (L, B, 10) of each person by costs (L, B, 10, Q), Q where there is none.

    Of all that are left, the cheapest pair comes first, as often as there are people.
    """
    count, queries = costs.shape[2:]
    people = torch.arange(count, device=costs.device)[:, None]
    numbers = torch.arange(queries, device=costs.device)
    match = torch.full(costs.shape[:3], queries, device=costs.device)
    for _ in range(min(count, queries)):
        cost, flat = costs.flatten(2).min(2)
        person, query = (flat // queries)[..., None], (flat % queries)[..., None]
        possible = (cost < NOT_FINITE_COST)[..., None]
        match.scatter_(2, person, torch.where(possible, query, match.gather(2, person)))
        taken = (people == person[..., None]) | (numbers == query[..., None])
        costs = torch.where(taken & possible[..., None], NOT_FINITE_COST, costs)
    return match


def _rows(rows: LayerPrediction) -> LayerPrediction:
    """Return all rows (L, B, Q, ...) of layers one after the other."""
    return LayerPrediction(*(value.flatten(0, 2) for value in vars(rows).values()))


def _each(lens: Lens, layers: int, rows: int) -> Lens:
    """Return the lens (B, ...) of each of the rows (L·B·rows, ...)."""
    return Lens(
        *(
            value[None, :, None].expand(layers, -1, rows, *value.shape[1:]).flatten(0, 2)
            for value in vars(lens).values()
        )
    )
