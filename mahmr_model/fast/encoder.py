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

"""Encoder stages of fixed shapes: coarse pass, choice of tokens, fine pass, common blocks."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.config import COARSE_BLOCKS, PATCH
from mahmr_model.encoder.cells import levels_of_cells, located, PER_CELL
from mahmr_model.encoder.vit import NORM_EPS
from mahmr_model.fast.folding import (
    Affine,
    fold_block,
    fold_patches,
    FoldedBlock,
    mlp_layers,
    PIXEL_SCALE,
)
from mahmr_model.fast.layout import Layout, PATCH_NUMBERS, PATCH_ROW
from mahmr_model.fast.ops import add_normalised, Linear, normalised, Sequences
from mahmr_model.network import MAHMR, MIN_FOV_RAD
import torch
from torch import Tensor
import torch.nn.functional as functional


@dataclass(frozen=True)
class Choice:
    """Which elements become tokens: how many tokens there are up to and with each element."""

    fine_ends: Tensor
    """(E,) int64, over [camera, cells] of each picture: the fine pass."""
    token_ends: Tensor
    """(B·L,) int64, over [camera, fine, coarse, groups] of each picture: the merged sequence."""
    totals: Tensor
    """(2,) int64 rows of the fine pass and of the merged sequence: what the host has to know.
    Negative where something in the scale map is no number."""


@dataclass(frozen=True)
class Encoded:
    """T rows of tokens, camera tokens and rows that belong to nobody among them."""

    features: Tensor
    """(T, C) normalised, the last norm's factors not yet applied; in half precision if asked."""
    codes: Tensor
    """(T, d) position codes in the same precision."""
    hidden_keys: Tensor
    """(B, T) float32: 0 where a picture's queries may look, else minus infinity."""
    fov_rad: Tensor | None
    """(B,) vertical field of view, float32."""


class FastEncoder:
    """The encoder with folded weights; every method's shapes depend on its arguments' alone."""

    def __init__(self, network: MAHMR, dtype: torch.dtype) -> None:
        config = network.config
        self.config = config
        self.dtype = dtype
        self.heads = config.encoder_heads
        fine, coarse = (network.encoder_patch_proj.get_submodule(name) for name in ('0', '1'))
        self.fine_patches = fold_patches(fine, shrunk=False).ready(dtype)
        self.coarse_patches = fold_patches(coarse, shrunk=True).ready(dtype)
        camera = network.encoder_cr_token.detach()
        self.fine_positions = self._positions(
            network.encoder_pos_embeds.detach(), camera, self.fine_patches
        )
        self.coarse_positions = self._positions(
            network.coarse_positions().detach(), camera, self.coarse_patches
        )
        blocks = network.encoder
        self.coarse_blocks = [fold_block(block, dtype) for block in blocks.additional_blocks]
        self.fine_blocks = [fold_block(block, dtype) for block in blocks.blocks[:COARSE_BLOCKS]]
        self.rest_blocks = [fold_block(block, dtype) for block in blocks.blocks[COARSE_BLOCKS:]]
        first, *middle, last = mlp_layers(network.scale_head)
        first = first.after(Affine.of(network.enc_inter_norm))
        self.scale_hidden = [layer.ready(dtype) for layer in (first, *middle)]
        self.scale_last = last.ready(torch.float32)
        self.fov = (
            [layer.ready(torch.float32) for layer in mlp_layers(network.fov_head)]
            if config.camera_branch
            else None
        )

    @staticmethod
    def _positions(grid: Tensor, camera: Tensor, patches: Linear) -> Tensor:
        """
        Return position embeddings (G·G + 1, C) in float32; the last row is the camera token's.

        That token takes the black cell like a picture's cell, whose projection is the bias: the
        bias is taken off here, and no token needs a case of its own.
        """
        return torch.cat([grid.flatten(0, 1), camera - patches.bias.float()]).float()

    def patches(self, pictures: Tensor, layout: Layout, out: Tensor) -> Tensor:
        """
        Cut pictures into cells of four patches.

        pictures: uint8 (B, H, W, 3). out (B·N + 1, 4·PATCH_ROW) is filled, but for its last row,
        the black cell, and the spare numbers after each patch, and returned.
        """
        size = layout.size
        padded = pictures.new_zeros(
            size.batch, layout.rows * 2 * PATCH, layout.columns * 2 * PATCH, 3
        )
        padded[:, : size.resized_height, : size.resized_width] = resized(pictures, layout)
        cells = padded.view(size.batch, layout.rows, 2, PATCH, layout.columns, 2, PATCH, 3)
        room = out[:-1].view(size.batch, layout.rows, layout.columns, 2, 2, PATCH_ROW)
        room = room[..., :PATCH_NUMBERS].unflatten(-1, (PATCH, PATCH, 3))
        torch.mul(cells.permute(0, 1, 4, 2, 5, 3, 6, 7), 1 / PIXEL_SCALE, out=room)
        return out

    def coarse(self, patches: Tensor, layout: Layout, features: Tensor) -> Tensor:
        """
        Look at all cells at half resolution.

        Writes the rows of the coarse pass and of the groups into `features`, float32
        (feature_rows, C); returns the scale map's two logits of every cell, (B, N, 2).
        """
        batch = layout.size.batch
        x = features[: layout.elements]
        projected = self.coarse_patches(patches)[layout.coarse_rows].view(batch, -1, x.shape[1])
        torch.add(
            self.coarse_positions[layout.coarse_places], projected, out=x.view(projected.shape)
        )
        sequences = Sequences(layout.coarse_starts, 1 + layout.cells, equal=True)
        n = self._run(self.coarse_blocks, x, sequences)
        cells = x.view(batch, 1 + layout.cells, -1)[:, 1:]
        if layout.groups:
            groups = features[slice(layout.elements, layout.first_fine_row)]
            fours = cells.unflatten(1, (-1, PER_CELL))
            torch.amax(fours, dim=2, out=groups.view(batch, -1, x.shape[1]))
        for layer in self.scale_hidden:
            n = layer.relu(n)
        return self.scale_last(n.float()).view(batch, 1 + layout.cells, 2)[:, 1:]

    def choose(self, scale_map: Tensor, layout: Layout) -> Choice:
        """Choose every cell's level, as `select_levels` does, from a scale map (B, N, 2)."""
        config = self.config
        fine, coarse, groups = levels_of_cells(
            scale_map, config.levels, config.presence_threshold, config.fine_threshold
        )
        camera = torch.ones_like(fine[:, :1], dtype=torch.int64)
        of_cells = PER_CELL * fine
        parts = [camera, of_cells, coarse]
        if layout.groups:
            parts.append(groups)
        fine_ends = torch.cat([camera, of_cells], dim=1).flatten().cumsum(0)
        token_ends = torch.cat(parts, dim=1).flatten().cumsum(0)
        totals = torch.stack([fine_ends[-1], token_ends[-1]])
        return Choice(fine_ends, token_ends, totals.masked_fill(scale_map.sum().isnan(), -1))

    def fine(
        self, patches: Tensor, layout: Layout, choice: Choice, features: Tensor, rows: int
    ) -> None:
        """Look at fine cells at full resolution: `rows` rows, written into `features`."""
        element, part = located(choice.fine_ends, rows)
        index = PER_CELL * element + part
        pixels = patches.view(-1, PATCH_ROW)[layout.fine_pixels[index]]
        x = features[slice(layout.first_fine_row, None)][:rows]
        positions = self.fine_positions[layout.fine_places[index]]
        torch.add(positions, self.fine_patches(pixels), out=x)
        ends = choice.fine_ends.view(layout.size.batch, -1)[:, -1]
        self._run(self.fine_blocks, x, _sequences(ends, rows))

    def rest(
        self, layout: Layout, choice: Choice, features: Tensor, codes: Tensor, rows: int
    ) -> Encoded:
        """Merge all levels into one sequence a picture, `rows` rows in all, and run the rest."""
        batch = layout.size.batch
        element, part = located(choice.token_ends, rows)
        first = functional.pad(choice.fine_ends, (1, 0))[layout.token_fine[element]]
        row = (layout.token_rows[element] + first + part).clamp(max=len(features) - 1)
        x = features[row]
        ends = choice.token_ends.view(batch, -1)[:, -1]
        n = self._run(self.rest_blocks, x, _sequences(ends, rows))

        real = torch.arange(rows, device=x.device) < choice.token_ends[-1]
        picture = torch.where(real, layout.token_pictures[element], -1)
        own = picture == torch.arange(batch, device=x.device)[:, None]
        hidden_keys = torch.zeros_like(own, dtype=torch.float32).masked_fill(~own, -torch.inf)
        camera_tokens = x[functional.pad(ends[:-1], (1, 0))]
        places = layout.token_places[PER_CELL * element + part]
        return Encoded(n, codes[places], hidden_keys, self._fov(camera_tokens))

    def _fov(self, camera_tokens: Tensor) -> Tensor | None:
        if self.fov is None:
            return None
        *hidden, last = self.fov
        x = camera_tokens
        for layer in hidden:
            x = functional.relu(layer.of_few(x))
        return last.of_few(x)[:, 0].clamp(min=MIN_FOV_RAD)

    def _run(self, blocks: list[FoldedBlock], x: Tensor, sequences: Sequences) -> Tensor:
        """Run the float32 stream x (T, C) through blocks, in place; return it normalised."""
        n = normalised(x, NORM_EPS, self.dtype)
        for block in blocks:
            q, k, v = block.qkv(n).view(len(n), 3, self.heads, -1).unbind(1)
            n = add_normalised(x, block.proj(sequences.attend(q, k, v).flatten(1)), NORM_EPS)
            n = add_normalised(x, block.fc2(block.fc1.gelu(n)), NORM_EPS)
        return n


def resized(pictures: Tensor, layout: Layout) -> Tensor:
    """Resize pictures uint8 (B, H, W, 3) to the layout's size, bilinear, as OpenCV does."""
    size = layout.size
    if not size.resized:
        return pictures
    shape = (size.resized_height, size.resized_width)
    channels_first = pictures.permute(0, 3, 1, 2).float()
    small = functional.interpolate(channels_first, size=shape, mode='bilinear')
    return small.round().permute(0, 2, 3, 1)


def _sequences(ends: Tensor, rows: int) -> Sequences:
    """Return the sequences that end there, and one more of the rows after them."""
    starts = functional.pad(ends.int(), (1, 1))
    starts[-1:].fill_(rows)  # not starts[-1] = rows, which would copy from the host
    return Sequences(starts, rows)
