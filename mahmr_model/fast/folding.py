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
Weights for inference: whatever stands between two products is folded into one of them.

A LayerNorm's factors go into the product after it, a LayerScale into the one before it, two
products in a row become one. Everything is computed in float64 and cast once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.config import PATCH
from mahmr_model.decoder.layer import DecoderLayer
from mahmr_model.encoder.vit import Block
from mahmr_model.fast.layout import PATCH_NUMBERS, PATCH_ROW
from mahmr_model.fast.ops import Linear
from mahmr_model.mlp import MLP
from mahmr_model.preprocess import IMAGENET_MEAN, IMAGENET_STD
import torch
from torch import nn, Tensor
import torch.nn.functional as functional

PIXEL_SCALE = 64.0
"""Pixels enter as value/64: exact in half precision, and weights keep their usual size."""


@dataclass(frozen=True)
class Affine:
    """x → weight·x + bias in float64, (o, a) and (o,): what is folded."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, module: nn.Module) -> Affine:
        """Take a linear layer, or the factors of a LayerNorm."""
        weight = getattr(module, 'weight').detach().double()  # noqa: B009 – of either kind
        bias = getattr(module, 'bias').detach().double()  # noqa: B009
        return cls(weight.diag() if weight.dim() == 1 else weight, bias)

    def after(self, first: Affine) -> Affine:
        """Return this of the other's result."""
        return Affine(self.weight @ first.weight, self.weight @ first.bias + self.bias)

    def scaled(self, factors: Tensor) -> Affine:
        """Return this with every output multiplied by its factor."""
        factors = factors.detach().double()
        return Affine(factors[:, None] * self.weight, factors * self.bias)

    def rows(self, index: Tensor | slice) -> Affine:
        """Return some of the outputs."""
        return Affine(self.weight[index], self.bias[index])

    def ready(self, dtype: torch.dtype) -> Linear:
        """Return it in the precision it is used in."""
        return Linear(self.weight, self.bias).to(dtype)


def stacked(parts: Sequence[Affine]) -> Affine:
    """Return all outputs of several products of the same input."""
    return Affine(
        torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    )


def side_by_side(parts: Sequence[Affine]) -> Affine:
    """Return several products, each of its own part of the input."""
    weight = torch.block_diag(*[part.weight for part in parts])
    return Affine(weight, torch.cat([part.bias for part in parts]))


def batched(parts: Sequence[Affine]) -> Affine:
    """Return products of the same size for `torch.baddbmm`: (n, a, o) and (n, 1, o)."""
    return Affine(
        torch.stack([part.weight.T for part in parts]),
        torch.stack([part.bias[None] for part in parts]),
    )


def mlp_layers(mlp: MLP) -> list[Affine]:
    """Return the layers of an MLP."""
    return [Affine.of(layer) for layer in mlp.layers]


@dataclass(frozen=True)
class FoldedBlock:
    """An encoder block whose input is normalised without factors."""

    qkv: Linear
    proj: Linear
    fc1: Linear
    fc2: Linear


def fold_block(block: nn.Module, dtype: torch.dtype) -> FoldedBlock:
    """Fold both LayerNorms and both LayerScales of a `Block`."""
    assert isinstance(block, Block)
    return FoldedBlock(
        Affine.of(block.attn.qkv).after(Affine.of(block.norm1)).ready(dtype),
        Affine.of(block.attn.proj).scaled(block.ls1.gamma).ready(dtype),
        Affine.of(block.mlp.fc1).after(Affine.of(block.norm2)).ready(dtype),
        Affine.of(block.mlp.fc2).scaled(block.ls2.gamma).ready(dtype),
    )


def fold_patches(projection: nn.Module, *, shrunk: bool) -> Affine:
    """
    Fold the scaling of 8-bit pixels into a patch projection, (C, 3, 14, 14).

    The input is a patch (14, 14, 3) of pixels over `PIXEL_SCALE`, with zeros up to `PATCH_ROW`;
    where `shrunk`, a cell of four (2, 2) such rows, shrunk to one by averaging 2×2 pixels.
    """
    assert isinstance(projection, nn.Conv2d)
    assert projection.bias is not None
    weight = projection.weight.detach().double()
    mean, std = (weight.new_tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    bias = projection.bias.detach().double() - (weight * (mean / std)).sum((1, 2, 3))
    weight = weight * (PIXEL_SCALE / 255 / std)
    spare = (0, PATCH_ROW - PATCH_NUMBERS)
    if shrunk:
        large = weight.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4
        cell = large.unflatten(3, (2, PATCH)).unflatten(2, (2, PATCH))  # C, 3, dy, y, dx, x
        patches = cell.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        return Affine(functional.pad(patches, spare).flatten(1), bias)
    return Affine(functional.pad(weight.permute(0, 2, 3, 1).flatten(1), spare), bias)


@dataclass(frozen=True)
class FoldedDecoderLayer:
    """A decoder layer whose inputs are normalised without factors; boxes are (y, x, h, w)."""

    place: Linear
    """Sine codes (2d) → hidden (d) of the position's MLP, before the ReLU."""
    self_place: Linear
    """That hidden (d) → its share of q, k and v (3d) and all biases."""
    self_content: Tensor
    """Normalised queries (d) → q, k, v (3d), without a bias."""
    self_out: Linear
    modulation_in: Linear
    """Queries (d) → hidden of scale and anchor (2d), before the ReLU."""
    modulation_out: Linear
    """That hidden → scale (d) and anchor (h, w), padded to d + 8."""
    look_content: Linear
    """Normalised queries (d) → what each head looks for in token features (heads·C)."""
    look_place: Linear
    """Modulated sine code (d) → what each head looks for in tokens' position codes (heads·d)."""
    look_out: Linear
    """What each head saw, (heads·C) → (d)."""
    linear1: Linear
    linear2: Linear
    box: tuple[Linear, Linear, Linear]
    """Normalised output (d) → change of the box, before the sigmoid."""


class HeadProducts:
    """
    The projections of one layer's cross-attention, head by head.

    A head's score is (Wq·x)·(Wk·m) = (Wkᵀ·Wq·x)·m, so fifty queries are projected instead of
    thousands of tokens; likewise its values are projected after they have been averaged. What a
    bias of the keys adds is the same for every token and leaves the softmax alone.
    """

    def __init__(self, layer: DecoderLayer, features: Affine) -> None:
        """`features`: normalised token features (C) → memory (d)."""
        heads = layer.heads
        d = layer.ca_out_proj.in_features
        self.heads = heads
        self.scale = (2 * d // heads) ** -0.5
        self.key = (
            Affine.of(layer.ca_kcontent_proj).after(features).weight.unflatten(0, (heads, -1))
        )  # (heads, d/heads, C)
        self.place_key = Affine.of(layer.ca_kpos_proj).weight.unflatten(0, (heads, -1))
        value = Affine.of(layer.ca_v_proj).after(features)
        out = Affine.of(layer.ca_out_proj)
        by_head = value.weight.unflatten(0, (heads, -1))
        mixed = torch.einsum('ohj,hjc->ohc', out.weight.unflatten(1, (heads, -1)), by_head)
        self.out = Affine(mixed.flatten(1), out.weight @ value.bias + out.bias)

    def looking(self, queries: Affine, keys: Tensor) -> Affine:
        """Return x → Wkᵀ·Wq·x of every head, scaled: (heads·c, a), of keys (heads, j, c)."""
        by_head = queries.weight.unflatten(0, (self.heads, -1))
        weight = torch.einsum('hjc,hja->hca', keys, by_head) * self.scale
        bias = torch.einsum('hjc,hj->hc', keys, queries.bias.unflatten(0, (self.heads, -1)))
        return Affine(weight.flatten(0, 1), bias.flatten() * self.scale)
