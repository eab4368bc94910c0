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

"""Last touch to the pose correctives: over many poses and shapes, no triangle inside out."""

from __future__ import annotations

from mahmr_model.body.data import BodyData
from mahmr_model.body.layer import BodyLayer
import numpy as np
import torch
from torch import Tensor
from training.synthetic.open_body.anny_source import Array
from training.synthetic.open_body.checks import area_ratios, as_tensor, stretch_ratios
from training.synthetic.open_body.poses import random_poses, scene_poses
from training.synthetic.open_body.shape_space import SHAPES

ROUNDS = 9000
_BATCH = 8
_LEARNING_RATE = 5e-5  # metres: Adam moves every number by about this much a round
_LEAST_AREA_RATIO = 0.3
_MOST_STRETCH = 2.0
_STRETCH_WEIGHT = 0.3
_STAY_WEIGHT, _STAY_M = 5.0, 0.01
_CHILD_SHARE = 0.3
# Anny's children of three vary less along the adults' axes than adults do, by this share.
_CHILD_LIKENESS = 0.35


def random_shapes(count: int, generator: np.random.Generator) -> Array:
    """Draw betas (count, 11) of believable people: standard normal, three in ten are children."""
    betas = generator.standard_normal((count, SHAPES + 1))
    child = generator.random(count) < _CHILD_SHARE
    betas[:, SHAPES] = np.where(child, generator.random(count), 0)
    betas[:, :SHAPES] *= 1 - _CHILD_LIKENESS * betas[:, SHAPES:]
    return betas


def refine_correctives(body: BodyData, rounds: int, seed: int) -> Array:
    """
    Return the posedirs (V, 3, 207) of `body`, moved as little as undoes its damage.

    Stochastic descent on: areas below 30 % of the unposed along the right normal, edges longer
    than twice the unposed, and the difference from the given correctives. Half of the poses are
    random ones, half those of scenes. Numbers that are zero stay zero.
    """
    layer = BodyLayer(body, kid=True)
    faces = layer.faces
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[edges[:, 0] < edges[:, 1]]
    given = layer.posedirs.clone()
    free = (given != 0).float()
    posedirs = given.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([posedirs], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, rounds)
    generator = np.random.default_rng(seed)
    for _ in range(rounds):
        halves = [draw(_BATCH // 2, generator) for draw in (random_poses, scene_poses)]
        poses = as_tensor(np.concatenate(halves))
        betas = as_tensor(random_shapes(_BATCH, generator))
        rest = layer.v_template + torch.einsum('bs,vcs->bvc', betas, layer.shapedirs)
        layer.posedirs = posedirs
        posed = layer(poses, betas).vertices
        moved = (poses[:, 1:] - torch.eye(3)).flatten(1) @ (posedirs - given)
        ratios = area_ratios(rest, posed, faces, layer.skin_weights, poses)
        loss = _loss(ratios, stretch_ratios(rest, posed, edges)[0], moved.unflatten(1, (-1, 3)))
        optimiser.zero_grad()
        loss.backward()
        assert posedirs.grad is not None
        posedirs.grad *= free
        optimiser.step()
        schedule.step()
    return posedirs.detach().T.reshape(body.posedirs.shape).double().numpy()


def _loss(area_ratio: Tensor, stretch: Tensor, moved_m: Tensor) -> Tensor:
    """Sum over a body, mean over the batch; clamped, so that no sliver rules the rest."""
    thin = torch.relu(_LEAST_AREA_RATIO - area_ratio).clamp_max(2).square().sum(1)
    long = torch.relu(stretch - _MOST_STRETCH).clamp_max(3).square().sum(1)
    away = (moved_m / _STAY_M).square().sum(-1).mean(1)
    return (thin + _STRETCH_WEIGHT * long + _STAY_WEIGHT * away).mean()
