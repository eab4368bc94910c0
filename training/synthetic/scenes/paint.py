"""Surfaces to colours: patterns at several resolutions, looked up for every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as functional

from training.synthetic.scenes.patterns import paint_all, SIZE


@dataclass(frozen=True)
class PatternTable:
    """All patterns, each at SIZE, SIZE/2, … 1 pixels across."""

    texels: Tensor
    """(all pixels of all levels, 4) float16, as `patterns.Painter`."""
    first: Tensor
    """(levels,) int32 where a level begins."""


def make_patterns(device: torch.device) -> PatternTable:
    """Paint all patterns; takes some seconds."""
    level = torch.from_numpy(paint_all()).float().permute(0, 3, 1, 2)
    levels, first, count = [], [], 0
    while True:
        levels.append(level.permute(0, 2, 3, 1).reshape(-1, 4).half())
        first.append(count)
        count += len(levels[-1])
        if level.shape[-1] == 1:
            break
        level = functional.avg_pool2d(level, 2)
    return PatternTable(
        torch.cat(levels).to(device), torch.tensor(first, dtype=torch.int32, device=device)
    )


def colours(
    patterns: PatternTable, rows: Tensor, s: Tensor, t: Tensor, footprint_m: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Return (K, 3) linear colours and (K,) openness of surfaces at places.

    `rows` (K, surface.COLUMNS); `s`, `t`, `footprint_m` (K,) metres.
    """
    mixed = _look_up(patterns, rows, s, t, footprint_m)
    second, third, bright, opened = mixed.unbind(1)
    base = rows[:, 0:3]
    colour = torch.addcmul(base, rows[:, 3:6] - base, second[:, None])
    colour = torch.addcmul(colour, rows[:, 6:9] - base, third[:, None])
    return colour * (1 + rows[:, 9] * bright).clamp(min=0.02)[:, None], opened


def _look_up(
    patterns: PatternTable, rows: Tensor, s: Tensor, t: Tensor, footprint_m: Tensor
) -> Tensor:
    """Return (K, 4) of `patterns.Painter`, blended between four pixels of the fitting level."""
    levels = len(patterns.first)
    level = torch.log2(footprint_m * rows[:, 11] * SIZE).add(0.3).clamp(0, levels - 1).int()
    size = SIZE >> level
    column = (s * rows[:, 11] + rows[:, 13]).frac()
    line = (rows[:, 14] - t * rows[:, 12]).frac()
    x = (column - column.floor()) * size - 0.5
    y = (line - line.floor()) * size - 0.5
    left, top = x.floor(), y.floor()
    x, y = x - left, y - top
    left, top = left.int() & (size - 1), top.int() & (size - 1)
    right, below = (left + 1) & (size - 1), (top + 1) & (size - 1)
    first = patterns.first[level] + rows[:, 10].int() * size * size

    def at(row: Tensor, column: Tensor) -> Tensor:
        return patterns.texels.index_select(0, first + row * size + column).float()

    x, y = x[:, None], y[:, None]
    above = torch.lerp(at(top, left), at(top, right), x)
    return torch.lerp(above, torch.lerp(at(below, left), at(below, right), x), y)
