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

"""Losses of people in steps of one shape are the criterion's."""

from __future__ import annotations

from functools import partial

from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction
import numpy as np
import pytest
from recorded_scenes import (
    BODY,
    config_of_tiny,
    CPU,
    SIZES,
)
from scipy.optimize import linear_sum_assignment
from tiny import tiny_model
import torch
from torch import Tensor
from training import people_lesson
from training.batches import DeviceBatch
from training.criterion import Criterion
from training.joint_body import JointBody
from training.losses.losses import PERSON_LOSSES
from training.matcher import NOT_FINITE_COST
from training.people import query_people, query_pixels
from training.people_lesson import greedy_match, PeopleLesson
from training.scene_pool import ScenePool
from training.train_model import TrainingOutput


def cheapest_match(costs: Tensor) -> Tensor:
    """Do what `greedy_match` does by the published assignment."""
    match = torch.full(costs.shape[:3], costs.shape[3])
    for of_layer, layer in zip(match, costs, strict=True):
        for mine, cost in zip(of_layer, layer, strict=True):
            there = (cost < NOT_FINITE_COST).all(1).nonzero()[:, 0]
            rows, columns = linear_sum_assignment(cost[there].numpy())
            mine[there[rows]] = torch.from_numpy(columns)
    return match


def test_losses_of_people_are_those_of_the_criterion(
    rendered: DeviceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_lesson, 'greedy_match', cheapest_match)
    torch.manual_seed(0)
    truth, names = rendered.truth, [*PERSON_LOSSES, 'depths_mt']
    network = tiny_model(config_of_tiny()).network
    pool = ScenePool(SIZES, 6, CPU)
    pool.put(rendered, network.cells(rendered.images).yx)
    layer = BodyLayer(BODY, kid=True)
    queries = 12
    boxes = torch.rand(2, 6, queries, 4) * 0.2 + 0.4
    camera = torch.randn(2, 6, queries, 3) * 0.2 + torch.tensor([0.0, 0.0, -2.0])
    rows = LayerPrediction(
        torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(24) + 0.1 * torch.randn(2, 6, queries, 144),
        torch.randn(2, 6, queries, 11),
        boxes,
        torch.randn(2, 6, queries),
        camera,
    )
    for value in vars(rows).values():
        value.requires_grad_()
    fov_rad = torch.rand(6) * 0.5 + 0.5
    lesson = PeopleLesson(layer, names, SIZES.input_size)
    layers = [LayerPrediction(*(v[i] for v in vars(rows).values())) for i in range(2)]
    everybody = torch.ones(6, dtype=torch.bool)
    mine = lesson(layers, fov_rad, pool.pictures, everybody)
    some = torch.arange(6) < 4
    without_others = lesson(
        [LayerPrediction(*(value[:4] for value in vars(layer).values())) for layer in layers],
        fov_rad[:4],
        pool.pictures.at(torch.arange(4)),
        everybody[:4],
    )
    for name, value in lesson(layers, fov_rad, pool.pictures, some).items():
        torch.testing.assert_close(value, without_others[name])
        assert not torch.isclose(value, mine[name])
    flat = LayerPrediction(*(v.flatten(1, 2) for v in vars(rows).values()))
    body = JointBody(layer)
    output = TrainingOutput(
        flat,
        np.repeat(np.arange(6), queries),
        Lens.assumed(truth.sizes_hw, SIZES.input_size, fov_rad),
        partial(query_people, body=body, input_size=SIZES.input_size),
        partial(query_pixels, body=body, input_size=SIZES.input_size),
        None,
        None,
        None,
        None,
    )
    losses, _ = Criterion(names, SIZES.input_size)(output, truth)
    assert list(mine) == ['confs', *names]
    for name, value in mine.items():
        expected = losses[name] + losses[f'{name}.0']
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6, msg=name)
    weights = {
        name: float(weight) for name, weight in zip(mine, torch.rand(len(mine)), strict=True)
    }
    ours = sum(weight * mine[name] for name, weight in weights.items())
    theirs = sum(w * (losses[name] + losses[f'{name}.0']) for name, w in weights.items())
    for value in vars(rows).values():
        gradients = [
            torch.autograd.grad(one, value, retain_graph=True)[0] for one in (ours, theirs)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_the_cheapest_pairs_come_first_and_nobody_is_taken_twice() -> None:
    none = NOT_FINITE_COST
    costs = torch.tensor([[5.0, 1, 9], [0, 2, 9], [none, none, none]])
    assert greedy_match(costs[None, None]).tolist() == [[[1, 0, 3]]]
    torch.manual_seed(0)
    match = greedy_match(torch.rand(2, 3, 10, 12))
    assert all(len(set(row)) == 10 and max(row) < 12 for row in match.flatten(0, 1).tolist())
    match = greedy_match(torch.rand(1, 1, 10, 4)).flatten().tolist()  # more people than queries
    assert sorted(match) == [0, 1, 2, 3] + [4] * 6
