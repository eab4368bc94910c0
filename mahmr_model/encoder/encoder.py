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
The encoder of MA-HMR: from normalised pictures to packed tokens of adaptive size.

Adaptive tokens are SAT-HMR's (arXiv 2411.19824, section 3); the camera token is MA-HMR's
(arXiv 2511.13282).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.config import ModelConfig, PATCH
from mahmr_model.encoder.cells import Cells, morton_codes, select_levels, Selection
from mahmr_model.encoder.tokens import (
    centres,
    interleaving,
    prepend,
    spread,
    Tokens,
    without_first,
)
from mahmr_model.encoder.vit import NORM_EPS, VisionTransformer
from mahmr_model.mlp import MLP
from mahmr_model.preprocess import sizes_of, StackedImages
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as functional


@dataclass(frozen=True)
class CoarsePass:
    """What the coarse pass found out about every cell of the batch."""

    cells: Cells
    features: Tensor
    """(N, C) a token of level 1 for each cell."""
    camera_tokens: Tensor
    """(B, C)."""
    scale_logits: Tensor
    """(N, 2) the scale map before the sigmoid."""

    @property
    def scale_map(self) -> Tensor:
        """(N, 2) in 0…1: a person is here; that person's size (diagonal of the box over S)."""
        return self.scale_logits.sigmoid()


class ImageEncoder(nn.Module):
    """
    The encoder's part of the network.

    The network derives from it instead of holding it, because the published checkpoints have
    these parameters at their top level.
    """

    z_order_map: Tensor
    y_coords: Tensor
    x_coords: Tensor
    coarse_resizing: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c = config.encoder_dim
        grid = config.grid(0)
        self.encoder_cr_token = nn.Parameter(torch.randn(1, c) * 0.02)
        self.encoder_pos_embeds = nn.Parameter(torch.randn(grid, grid, c) * 0.02)
        self.encoder = VisionTransformer(
            c, config.encoder_depth, config.encoder_heads, adaptive=config.adaptive
        )
        if not config.adaptive:
            self.encoder_patch_proj: nn.Module = nn.Conv2d(3, c, PATCH, PATCH)
            return
        fine, coarse = (nn.Conv2d(3, c, PATCH, PATCH) for _ in range(2))
        self.encoder_patch_proj = nn.ModuleList([fine, coarse])
        self.enc_inter_norm = nn.LayerNorm(c, eps=NORM_EPS)
        self.scale_head = MLP(c, c, 2, 4)
        side = 1 << max(config.grid(1) - 1, 1).bit_length()
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
        self.register_buffer('z_order_map', morton_codes(side))
        self.register_buffer('y_coords', rows.contiguous())
        self.register_buffer('x_coords', columns.contiguous())
        self.register_buffer('coarse_resizing', _resizing(grid, config.grid(1)), persistent=False)

    def encode_plain(self, images: Sequence[Tensor]) -> Tokens:
        """Encode pictures (3, H, W), sides multiples of 14, in tokens of one size."""
        places = [
            _grid_yx(height // PATCH, width // PATCH, self.encoder_pos_embeds.device)
            for height, width in sizes_of(images)
        ]
        lengths = [len(yx) for yx in places]
        picture, yx = _pictures(lengths, self.encoder_pos_embeds.device), torch.cat(places)
        pixels = cut(_canvas(images), PATCH, picture, yx)
        features = projected(pixels, self.encoder_patch_proj)
        features = features + embedded(self.encoder_pos_embeds, yx)

        sequence_lengths = [n + 1 for n in lengths]
        x = prepend(self.encoder_cr_token.expand(len(images), -1), features, lengths)
        x = self.encoder.run_fine(x, sequence_lengths)
        x = self.encoder.run_rest(x, sequence_lengths)
        camera_tokens, features = without_first(x, sequence_lengths)
        levels = torch.zeros(len(yx), dtype=torch.int64, device=yx.device)
        return Tokens(
            self.encoder.norm(features),
            centres(yx, self.config.cells_per_side(0)),
            levels,
            lengths,
            camera_tokens,
        )

    def coarse_pass(self, images: Sequence[Tensor], cells: Cells | None = None) -> CoarsePass:
        """
        Look at pictures (3, H, W), sides multiples of 56, at half resolution.

        `cells` are those that `cells` gives for pictures of these sizes.
        """
        cells = self.cells(images) if cells is None else cells
        # A cell shrunk to half mixes no pixels of its neighbours, so pictures are shrunk whole.
        half = functional.interpolate(_canvas(images), scale_factor=0.5, mode='bilinear')
        pixels = cut(half, PATCH, cells.picture, cells.yx)
        features = projected(pixels, self.encoder_patch_proj.get_submodule('1'))
        features = features + embedded(self.coarse_positions(), cells.yx)

        lengths = [n + 1 for n in cells.lengths]
        x = prepend(self.encoder_cr_token.expand(len(images), -1), features, cells.lengths)
        x = self.encoder.run_coarse(x, lengths)
        camera_tokens, features = without_first(x, lengths)
        scale_logits = self.scale_head(self.enc_inter_norm(features))
        return CoarsePass(cells, features, camera_tokens, scale_logits)

    def select(self, coarse: CoarsePass, scale_map: Tensor | None = None) -> Selection:
        """Choose the level of every cell, by the predicted map or by one that takes its place."""
        return select_levels(
            coarse.scale_map if scale_map is None else scale_map,
            coarse.cells.lengths,
            self.config.levels,
            self.config.presence_threshold,
            self.config.fine_threshold,
        )

    def fine_pass(
        self, images: Sequence[Tensor], cells: Cells, selection: Selection
    ) -> tuple[Tensor, Tensor]:
        """
        Look at the fine cells at full resolution.

        Returns tokens (4·fine, C), four for each cell in row-major order, and their places on
        the grid of level 0 as (y, x), int64 (4·fine, 2).
        """
        cell_yx = cells.yx[selection.fine]
        pixels = cut(_canvas(images), 2 * PATCH, cells.picture[selection.fine], cell_yx)
        patches = pixels.unflatten(3, (2, PATCH)).unflatten(2, (2, PATCH))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        tokens = projected(patches, self.encoder_patch_proj.get_submodule('0'))
        offsets = _grid_yx(2, 2, cell_yx.device)
        yx = (2 * cell_yx[:, None] + offsets).flatten(0, 1)
        tokens = tokens + embedded(self.encoder_pos_embeds, yx)

        lengths = [4 * n for n in selection.fine_counts]
        x = prepend(self.encoder_cr_token.expand(len(images), -1), tokens, lengths)
        x = self.encoder.run_fine(x, [n + 1 for n in lengths])
        return without_first(x, [n + 1 for n in lengths])[1], yx

    def merge(
        self,
        coarse: CoarsePass,
        selection: Selection,
        fine_features: Tensor,
        fine_yx: Tensor,
    ) -> Tokens:
        """Put the tokens of all levels into one sequence a picture and run the common blocks."""
        group_features = coarse.features.view(-1, 4, coarse.features.shape[1]).amax(dim=1)
        coarse_yx = coarse.cells.yx[selection.coarse]
        group_yx = coarse.cells.yx[4 * selection.groups] >> 1
        counts = [
            [4 * n for n in selection.fine_counts],
            selection.coarse_counts,
            selection.group_counts,
        ]
        features = [
            fine_features,
            coarse.features[selection.coarse],
            group_features[selection.groups],
        ]
        positions = torch.cat(
            [
                centres(yx, self.config.cells_per_side(level))
                for level, yx in enumerate((fine_yx, coarse_yx, group_yx))
            ]
        )
        levels = torch.cat(
            [
                torch.full((len(part),), level, dtype=torch.int64, device=part.device)
                for level, part in enumerate(features)
            ]
        )
        lengths = selection.token_lengths
        image_lengths = [n - 1 for n in lengths]
        places = interleaving(counts, positions.device)
        x = prepend(coarse.camera_tokens, spread(torch.cat(features), places), image_lengths)
        camera_tokens, x = without_first(self.encoder.run_rest(x, lengths), lengths)
        return Tokens(
            self.encoder.norm(x),
            spread(positions, places),
            spread(levels, places),
            image_lengths,
            camera_tokens,
        )

    def cells(self, images: Sequence[Tensor]) -> Cells:
        """List the cells of each picture in Morton order, those outside the picture skipped."""
        orders: dict[tuple[int, int], Tensor] = {}
        sizes = [(h // (2 * PATCH), w // (2 * PATCH)) for h, w in sizes_of(images)]
        for rows, columns in sizes:
            if (rows, columns) not in orders:
                order = self.z_order_map[:rows, :columns].flatten().argsort()
                y = self.y_coords[:rows, :columns].flatten()[order]
                x = self.x_coords[:rows, :columns].flatten()[order]
                orders[rows, columns] = torch.stack([y, x], dim=1)
        lengths = [rows * columns for rows, columns in sizes]
        yx = torch.cat([orders[size] for size in sizes])
        return Cells(_pictures(lengths, yx.device), yx, lengths)

    def coarse_positions(self) -> Tensor:
        """
        Return the position embeddings of level 1, (G₁, G₁, C), resized bicubically.

        By products, in float32: CUDA's own kernel takes a millisecond for so many channels.
        """
        fine, resizing = self.encoder_pos_embeds, self.coarse_resizing
        with torch.autocast(fine.device.type, enabled=False):
            return resizing @ (resizing @ fine.flatten(1)).unflatten(1, fine.shape[1:])


def _resizing(old: int, new: int) -> Tensor:
    """Return the matrix (new, old) that resizes an axis bicubically."""
    identity = torch.eye(old)[None, None]
    return functional.interpolate(identity, size=(new, old), mode='bicubic')[0, 0]


def _grid_yx(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return (y, x) of a grid's places in row-major order, int64 (rows·columns, 2)."""
    return torch.cartesian_prod(
        torch.arange(rows, device=device), torch.arange(columns, device=device)
    )


def embedded(positions: Tensor, yx: Tensor) -> Tensor:
    """
    Return the embeddings (N, C) of places (N, 2) on a grid (G, G, C).

    Padding may reach beyond S where S is no multiple of 56; there the last embedding counts.
    """
    y, x = yx.clamp(max=len(positions) - 1).unbind(1)
    return functional.embedding(y * len(positions) + x, positions.flatten(0, 1))


def _pictures(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return the picture (T,) of every packed row."""
    counts = on_device(np.asarray(lengths, np.int64), device)
    pictures = torch.arange(len(lengths), device=device)
    return torch.repeat_interleave(pictures, counts, output_size=sum(lengths))


def _canvas(images: Sequence[Tensor]) -> Tensor:
    """Return pictures (3, H, W) in one tensor (B, 3, H, W), smaller ones at its upper left."""
    if isinstance(images, StackedImages):
        return images.canvas
    if all(image.shape == images[0].shape for image in images):
        return torch.stack(list(images))
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    canvas = images[0].new_zeros(len(images), 3, height, width)
    for place, image in zip(canvas, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return canvas


def cut(canvas: Tensor, side: int, picture: Tensor, yx: Tensor) -> Tensor:
    """Cut cells of `side` pixels, given by picture and (y, x), out as (n, 3, side, side)."""
    rows, columns = canvas.shape[2] // side, canvas.shape[3] // side
    grid = canvas[:, :, : rows * side, : columns * side]
    grid = grid.unflatten(3, (columns, side)).unflatten(2, (rows, side))
    return grid[picture, :, yx[:, 0], :, yx[:, 1]]


def projected(patches: Tensor, convolution: nn.Module) -> Tensor:
    """Return tokens (n, C) of patches (n, 3, 14, 14): the patch convolution as one product."""
    weight, bias = convolution.get_parameter('weight'), convolution.get_parameter('bias')
    return functional.linear(patches.flatten(1), weight.flatten(1), bias)
