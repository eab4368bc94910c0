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

"""Surfaces to colours: patterns at several resolutions, looked up for every pixel."""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch
from torch import Tensor
import torch.nn.functional as functional
from training.synthetic.scenes.patterns import paint_all, SIZE
from training.synthetic.scenes.tables import rows_at


@dataclass(frozen=True)
class PatternTable:
    """All patterns, each at SIZE, SIZE/2, … 1 pixels across."""

    texels: Tensor
    """(all pixels of all levels, 4) as `patterns.Painter`."""
    first: Tensor
    """(levels,) int32 where a level begins."""


def make_patterns(device: torch.device, dtype: torch.dtype) -> PatternTable:
    """Paint all patterns, to be blended in `dtype`; takes some seconds."""
    level = torch.from_numpy(paint_all()).to(device).float().permute(0, 3, 1, 2)
    levels, first, count = [], [], 0
    while True:
        levels.append(level.permute(0, 2, 3, 1).reshape(-1, 4).to(dtype))
        first.append(count)
        count += len(levels[-1])
        if level.shape[-1] == 1:
            break
        level = functional.avg_pool2d(level, 2)
    first_texel = torch.tensor(first, dtype=torch.int32, device=device)
    return PatternTable(torch.cat(levels), first_texel)


def colours(
    patterns: PatternTable, rows: SurfaceRows, surface: Tensor, s: Tensor, t: Tensor, px_m: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Return (K, 3) linear colours and (K, 1) openness of surfaces at places.

    `surface` (K,) int32 which row; `s`, `t`, `px_m` (K,) place and a pixel's extent, metres.
    """
    mixed = _look_up(patterns, rows_at(rows.place, surface), s, t, px_m)
    paint = rows_at(rows.paint, surface).view(-1, 4, 4)[..., :3]
    colour = torch.addcmul(paint[:, 0], paint[:, 1], mixed[:, 0:1])
    colour = colour.addcmul_(paint[:, 2], mixed[:, 1:2])
    bright = torch.addcmul(torch.ones_like(colour[:, :1]), paint[:, 3, :1], mixed[:, 2:3])
    return colour.mul_(bright.clamp_(min=0.02)), mixed[:, 3:4]


@dataclass(frozen=True)
class SurfaceRows:
    """R rows of `surface.COLUMNS` numbers, made ready."""

    place: Tensor
    """(R, 4) float32: pattern, tiles per metre, and where in the tile s and t begin."""
    paint: Tensor
    """(R, 16): first colour, second and third minus it, contrast thrice, a 0 after each three."""
    lit: Tensor
    """(R,)"""


def surface_rows(table: Tensor, dtype: torch.dtype) -> SurfaceRows:
    """Make rows ready from a table (R, surface.COLUMNS)."""
    base = table[:, 0:3]
    contrast = table[:, 9:10].expand(-1, 3)
    paint = torch.stack([base, table[:, 3:6] - base, table[:, 6:9] - base, contrast], 1)
    paint = functional.pad(paint, (0, 1)).flatten(1)
    return SurfaceRows(table[:, 10:14].contiguous(), paint.to(dtype), table[:, 14].to(dtype))


def _look_up(patterns: PatternTable, place: Tensor, s: Tensor, t: Tensor, px_m: Tensor) -> Tensor:
    """Return (K, 4) of `patterns.Painter`, blended between four pixels of the fitting level."""
    pattern, per_m, begin_s, begin_t = place.unbind(1)
    levels = len(patterns.first)
    level = torch.log2(px_m * per_m).add_(math.log2(SIZE) + 0.3).clamp_(0, levels - 1).int()
    size = SIZE >> level
    x = torch.addcmul(begin_s, s, per_m).frac_().add_(1).mul_(size).sub_(0.5)
    y = torch.addcmul(begin_t, t, per_m, value=-1).frac_().add_(1).mul_(size).sub_(0.5)
    # Between 0 and 2 tiles, so that cutting the fraction off rounds down.
    left, top = x.int(), y.int()
    dtype = patterns.texels.dtype
    x, y = x.sub_(left)[:, None].to(dtype), y.sub_(top)[:, None].to(dtype)
    last = size - 1
    right, below = (left + 1) & last, (top + 1) & last
    left, top = left & last, top & last
    first = patterns.first.index_select(0, level).add_(pattern.int() * size * size)
    above, below = torch.addcmul(first, top, size), torch.addcmul(first, below, size)

    def at(line: Tensor, column: Tensor) -> Tensor:
        return rows_at(patterns.texels, line + column)

    upper = torch.lerp(at(above, left), at(above, right), x)
    return upper.lerp_(torch.lerp(at(below, left), at(below, right), x), y)
