"""Losses on depth: absolute, relative order, and MA-HMR's relative metric loss."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as functional

from training.people import LAYERS_UNKNOWN, Pairs

LAYER_GAP_M = 0.3
"""Where sorted depths are this far apart a new layer begins."""
NEAR_M = 1.0
"""The relative metric loss looks at people whose true depths differ by no more."""


def inverse_depth(pairs: Pairs) -> Tensor:
    """Return |1/(f·pred z/f) − 1/z| of each pair, with the true f (SAT-HMR, section 3.4)."""
    depth = pairs.focal_px * pairs.predicted.depths[:, 1]
    return (1 / depth - 1 / pairs.depths[:, 0]).abs()


def relative_metric(pairs: Pairs) -> Tensor:
    """Return log(1 + |Δz_pred − Δz_true|) of each two people near each other (MA-HMR)."""
    predicted, true = _differences(pairs, pairs.predicted.depths[:, 0], pairs.depths[:, 0])
    near = true.abs() <= NEAR_M
    return (1 + (predicted - true)[near].abs()).log()


def relative_order(pairs: Pairs) -> Tensor:
    """
    Return, of each two people, |Δz| within a layer and softplus against the wrong order.

    People without a layer are left out.
    """
    layers = _layers(pairs)
    pairs, layers = pairs.where(layers >= 0), layers[layers >= 0]
    predicted, order = _differences(pairs, pairs.predicted.depths[:, 0], layers)
    return torch.where(order == 0, predicted.abs(), functional.softplus(-predicted * order.sign()))


def _differences(pairs: Pairs, *values: Tensor) -> list[Tensor]:
    """Return value_i − value_j of every two people of one picture, i before j."""
    same = pairs.picture[:, None] == pairs.picture[None, :]
    i, j = same.triu(diagonal=1).nonzero(as_tuple=True)
    return [value[i] - value[j] for value in values]


def _layers(pairs: Pairs) -> Tensor:
    """Return the depth layer of each person: given, or cut where sorted depths gap, or -1."""
    layers = pairs.depth_layers.clamp(min=-1)
    cut = (pairs.depth_layers == LAYERS_UNKNOWN) & pairs.valid_3d
    for picture in pairs.picture[cut].unique():
        mine = (pairs.picture == picture).nonzero()[:, 0]
        depths, order = pairs.depths[mine, 0].sort()
        steps = depths.diff(prepend=depths[:1]) >= LAYER_GAP_M
        layers[mine[order]] = steps.long().cumsum(0)
    return layers
