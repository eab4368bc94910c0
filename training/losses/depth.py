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

"""Losses on depth: absolute, relative order, and MA-HMR's relative metric loss."""

from __future__ import annotations

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as functional
from training.batch_truth import LAYERS_UNKNOWN
from training.people import Pairs

LAYER_GAP_M = 0.3
"""Where sorted depths are this far apart a new layer begins."""
NEAR_M = 1.0
"""The relative metric loss looks at people whose true depths differ by no more."""


def inverse_depth(pairs: Pairs) -> Tensor:
    """Return |1/(f·pred z/f) − 1/z| of each pair, with the true f (SAT-HMR, section 3.4)."""
    depth = pairs.focal_px * pairs.predicted.depths[:, 1]
    return (1 / depth - 1 / pairs.depths[:, 0]).abs()


def relative_metric(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """
    Return log(1 + |Δz_pred − Δz_true|) of each two people of a picture (MA-HMR).

    And which of them count: those near each other.
    """
    i, j = pairs.two_of_a_picture()
    predicted, true = (
        depths[i] - depths[j] for depths in (pairs.predicted.depths[:, 0], pairs.depths[:, 0])
    )
    return metric_gaps(predicted, true)


def metric_gaps(predicted_m: Tensor, true_m: Tensor) -> tuple[Tensor, Tensor]:
    """Return `relative_metric` of how much deeper one of two people is than the other."""
    return (1 + (predicted_m - true_m).abs()).log(), true_m.abs() <= NEAR_M


def relative_order(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """
    Return, of each two people of a picture, |Δz| within a layer and softplus against wrong order.

    And which of them count: those where both have a layer.
    """
    layers = _layers(pairs)
    i, j = pairs.two_of_a_picture()
    order = layers[i] - layers[j]
    predicted = pairs.predicted.depths[i, 0] - pairs.predicted.depths[j, 0]
    values = torch.where(
        order == 0, predicted.abs(), functional.softplus(-predicted * order.sign())
    )
    return values, (layers[i] >= 0) & (layers[j] >= 0)


def _layers(pairs: Pairs) -> Tensor:
    """Return the depth layer of each person: given, or cut where sorted depths gap, or -1."""
    given = pairs.depth_layers.clamp(min=-1)
    count = pairs.picture.max(initial=0) + 1
    pictures = np.arange(pairs.layers)[:, None] * count + pairs.picture
    picture = on_device(pictures.ravel(), given.device)
    depths, order = pairs.depths[:, 0].sort(stable=True)
    picture, by_picture = picture[order].sort(stable=True)
    order, depths = order[by_picture], depths[by_picture]
    # Layers are only compared within a picture, so they may go on counting from one to the next.
    steps = (depths.diff(prepend=depths[:1]) >= LAYER_GAP_M).long().cumsum(0)
    cut = torch.empty_like(steps).index_copy_(0, order, steps - _first_of_each(steps, picture))
    valid = on_device(np.tile(pairs.valid_3d, pairs.layers).astype(np.int64), given.device) > 0
    return torch.where((pairs.depth_layers == LAYERS_UNKNOWN) & valid, cut, given)


def _first_of_each(values: Tensor, group: Tensor) -> Tensor:
    """Return of each row the value of the first row of its group; groups are consecutive."""
    rows = torch.arange(len(values), device=values.device)
    starts = torch.where(group.diff(prepend=group[:1] - 1) != 0, rows, 0).cummax(0).values
    return values[starts]
