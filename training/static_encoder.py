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
The encoder in steps of one shape: what `MAHMR.encode` does, with nothing that the host decides.

Pictures lie in squares, and only the device knows which cells are theirs, which tokens these
become and where each picture's tokens begin. All rows together have a fixed number, enough for
what scenes usually have; pictures beyond that, while a new map says "somebody" everywhere, are
left out.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

from mahmr_model.config import ModelConfig, PATCH
from mahmr_model.encoder.attention import DeviceLengths
from mahmr_model.encoder.cells import levels_of_cells, located, morton_codes, PER_CELL
from mahmr_model.encoder.encoder import cut, embedded, projected
from mahmr_model.encoder.tokens import centres, Tokens
from mahmr_model.network import MAHMR
import torch
from torch import nn, Tensor
import torch.nn.functional as functional

_FINE, _ALL = (0.36, 0.31), (0.68, 0.29)
"""
Mean and standard deviation over scenes, in cells of the square: fine tokens, tokens of all levels
(measured with the open default's thresholds).
"""
_SPARE = 4
"""Standard deviations that there is room for beside the means."""


@dataclass(frozen=True)
class StaticEncoding:
    """B pictures of N cells each as T tokens, of which the last ones may belong to nobody."""

    tokens: Tokens
    picture: Tensor
    """(T,) int64 of each token."""
    real: Tensor
    """(T,) bool: whether it belongs to its picture; the last ones do not."""
    scale_logits: Tensor
    """(B·N, 2)."""
    inside: Tensor
    """(B·N,) bool: which cells are the picture's."""
    seen: Tensor
    """(B,) bool: whether a picture has any token; its camera token means nothing if not."""


class StaticEncoder(nn.Module):
    """Tables of `pictures` squares, and the encoder's passes over them."""

    cell_yx: Tensor
    cell_picture: Tensor
    fine_yx: Tensor
    token_xy_norm: Tensor
    token_level: Tensor

    def __init__(self, config: ModelConfig, pictures: int) -> None:
        super().__init__()
        self.config, self.pictures = config, pictures
        side = config.grid(1)
        order = morton_codes(side).flatten().argsort()
        yx = torch.stack([order // side, order % side], dim=1)
        fine_yx = 2 * yx[:, None] + torch.cartesian_prod(torch.arange(2), torch.arange(2))
        self.cells = len(yx)
        self.coarse_rows = pictures * (1 + self.cells)
        self.fine_rows, self.rows = (self._usual_rows(*share) for share in (_FINE, _ALL))
        # What may become tokens of a picture: cells as fine ones, as coarse ones, and groups.
        places = [
            centres(one, config.cells_per_side(level))
            for level, one in enumerate((fine_yx, yx[:, None], yx[::PER_CELL, None] >> 1))
        ]
        tables = {
            'cell_yx': yx.repeat(pictures, 1),
            'cell_picture': torch.arange(pictures).repeat_interleave(self.cells),
            'fine_yx': fine_yx,
            'token_xy_norm': torch.cat([one.expand(-1, PER_CELL, -1) for one in places]),
            'token_level': torch.arange(3).repeat_interleave(torch.tensor([*map(len, places)])),
        }
        for name, table in tables.items():
            self.register_buffer(name, table.contiguous(), persistent=False)

    def forward(self, network: MAHMR, images: Tensor, size_hw: Tensor) -> StaticEncoding:
        """
        Encode pictures at the upper left of squares (B, 3, S, S), normalised black around them.

        size_hw (B, 2): those of the pictures themselves.
        """
        inside = self._inside(size_hw)
        ones = torch.ones_like(inside[:, :1], dtype=torch.int64)
        coarse, scale_logits = self._coarse_pass(network, images, torch.cat([ones, inside], 1))
        # Where no picture is, nobody is; four cells of a group are inside together, or none.
        scale_map = scale_logits.detach().sigmoid().unflatten(0, inside.shape)
        fine, single, groups = levels_of_cells(
            scale_map * inside[..., None],
            self.config.levels,
            self.config.presence_threshold,
            self.config.fine_threshold,
        )
        groups &= inside[:, ::PER_CELL]
        counts = torch.cat([PER_CELL * fine, single, groups], dim=1)
        # All rows but one for the camera of every picture, whether it is left out or not.
        most_fine, most = self.fine_rows - self.pictures, self.rows - self.pictures
        seen = _fits(counts[:, : self.cells], most_fine) & _fits(counts, most)
        counts = torch.cat([ones, counts], dim=1) * seen[:, None]
        fine_rows, fine_ends = self._fine_pass(network, images, counts[:, : 1 + self.cells])
        x, rest_ends = self._rest(network, coarse, fine_rows, fine_ends, counts)
        # Camera tokens apart: before a token's row are its picture's and those of all before it.
        starts = functional.pad(rest_ends[:-1, -1], (1, 0))
        camera_tokens = x.index_select(0, starts.clamp(max=self.rows - 1))
        counts = counts[:, 1:]
        ends, element, part = _located(counts, most)
        picture, place = element // counts.shape[1], element % counts.shape[1]
        rows = torch.arange(len(element), device=x.device) + picture + 1
        tokens = Tokens(
            network.encoder.norm(x).index_select(0, rows.clamp(max=self.rows - 1)),
            self.token_xy_norm[place, part],
            self.token_level[place],
            _lengths(ends, PER_CELL * self.cells),
            camera_tokens,
        )
        real = torch.arange(len(element), device=x.device) < ends[-1, -1]
        return StaticEncoding(tokens, picture, real, scale_logits, inside.flatten(), seen)

    def _usual_rows(self, mean: float, deviation: float) -> int:
        """Return how many rows all pictures need, but for very unusual ones."""
        tokens = self.pictures * mean + _SPARE * math.sqrt(self.pictures) * deviation
        return self.pictures + math.ceil(tokens * self.cells)

    def _inside(self, size_hw: Tensor) -> Tensor:
        """Return which cells (B, N) are of a picture padded to multiples of 56."""
        padded = 2 * (size_hw / (4 * PATCH)).ceil()
        return (self.cell_yx.unflatten(0, (self.pictures, -1)) < padded[:, None]).all(2)

    def _coarse_pass(
        self, network: MAHMR, images: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return rows (B, 1 + N, C) of cameras and cells, and the map's logits (B·N, 2)."""
        half = functional.interpolate(images, scale_factor=0.5, mode='bilinear')
        pixels = cut(half, PATCH, self.cell_picture, self.cell_yx)
        features = projected(pixels, network.encoder_patch_proj.get_submodule('1'))
        features = features + embedded(network.coarse_positions(), self.cell_yx)
        camera = network.encoder_cr_token.expand(self.pictures, 1, -1)
        every = torch.cat([camera, features.unflatten(0, (self.pictures, -1))], dim=1)
        ends, element, _ = _located(counts, self.coarse_rows)
        x = every.flatten(0, 1).index_select(0, element)
        x = network.encoder.run_coarse(x, _lengths(ends, 1 + self.cells))
        back = x.index_select(0, ends.flatten() - 1).view_as(every)
        cells = back[:, 1:].flatten(0, 1)
        return back, network.scale_head(network.enc_inter_norm(cells))

    def _fine_pass(self, network: MAHMR, images: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows of cameras and fine tokens, and where those of each element end."""
        ends, element, part = _located(counts, self.fine_rows)
        picture, cell = element // counts.shape[1], element % counts.shape[1] - 1
        yx = self.fine_yx[cell.clamp(min=0), part]
        tokens = projected(
            cut(images, PATCH, picture, yx), network.encoder_patch_proj.get_submodule('0')
        )
        tokens = tokens + embedded(network.encoder_pos_embeds, yx)
        x = torch.where((cell < 0)[:, None], network.encoder_cr_token, tokens)
        longest = 1 + PER_CELL * self.cells
        return network.encoder.run_fine(x, _lengths(ends, longest)), ends

    def _rest(
        self, network: MAHMR, coarse: Tensor, fine: Tensor, fine_ends: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return rows of all levels after the common blocks, and where those of each end."""
        groups = coarse[:, 1:].unflatten(1, (-1, PER_CELL)).amax(2)
        table = torch.cat([coarse.flatten(0, 1), groups.flatten(0, 1), fine])
        coarse_rows = torch.arange(coarse.shape[0] * coarse.shape[1], device=coarse.device)
        coarse_rows = coarse_rows.view(coarse.shape[:2])
        group_rows = torch.arange(groups.shape[0] * groups.shape[1], device=coarse.device)
        group_rows = group_rows.view(groups.shape[:2]) + coarse_rows.numel()
        fine_rows = fine_ends[:, 1:] - PER_CELL + coarse_rows.numel() + group_rows.numel()
        firsts = torch.cat([coarse_rows[:, :1], fine_rows, coarse_rows[:, 1:], group_rows], dim=1)
        ends, element, part = _located(counts, self.rows)
        rows = (firsts.flatten()[element] + part).clamp(max=len(table) - 1)
        x = table.index_select(0, rows)
        longest = 1 + PER_CELL * self.cells
        return network.encoder.run_rest(x, _lengths(ends, longest)), ends


def _located(counts: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """
    Lay out elements that have 0, 1 or 4 rows each, counts (B, E), in so many rows.

    Returns where each element's rows end (B, E), and of each row (rows,) its element and which
    of the element's rows it is. Rows after the last one are taken for some of the last element.
    """
    ends = counts.flatten().cumsum(0)
    element, part = located(ends, rows)
    return ends.view_as(counts), element, part


def _fits(counts: Tensor, rows: int) -> Tensor:
    """Say which pictures (B,), by their counts (B, E), have all of their rows among so many."""
    return counts.sum(1).cumsum(0) <= rows


def _lengths(ends: Tensor, longest: int) -> DeviceLengths:
    """Return the sequences of pictures whose elements end there."""
    return DeviceLengths(functional.pad(ends[:, -1], (1, 0)).int(), longest)
