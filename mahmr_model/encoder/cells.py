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
Cells of a picture in Morton order, and the three levels of tokens that are made of them.

A cell is 28×28 pixels: four patches of level 0 (14 pixels), one token of level 1 (28), a quarter
of a token of level 2 (56). Four consecutive cells in Morton order are one cell of level 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.encoder.attention import sequence_starts
import torch
from torch import Tensor
import torch.nn.functional as functional

ROUNDING = 2e-6
"""
A size this close below the threshold counts as at it, which is not fine.

Another number of threads or another kernel moves a size by some 3e-7; without this, one that is
at the threshold exactly would change the tokens from machine to machine.
"""


def morton_codes(side: int) -> Tensor:
    """
    Return the Morton code of every (y, x), int64 (side, side).

    Bit i of x becomes bit 2i, bit i of y bit 2i+1 (Z-order, SAT-HMR, arXiv 2411.19824).
    """
    codes = torch.zeros(side, side, dtype=torch.int64)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
    for bit in range(max(side - 1, 1).bit_length()):
        codes |= ((x >> bit) & 1) << (2 * bit)
        codes |= ((y >> bit) & 1) << (2 * bit + 1)
    return codes


@dataclass(frozen=True)
class Cells:
    """All cells of a batch of pictures, packed: picture after picture, each in Morton order."""

    picture: Tensor
    """(N,) int64: the picture of each cell."""
    yx: Tensor
    """(N, 2) int64: row and column of each cell."""
    lengths: list[int]
    """How many cells each picture has; every one a multiple of 4."""


@dataclass(frozen=True)
class Selection:
    """Which cells become tokens of which level: indices into the packed cells, ascending."""

    fine: Tensor
    """Cells that become four tokens of level 0."""
    coarse: Tensor
    """Cells that stay one token of level 1."""
    groups: Tensor
    """Groups of four cells (first cell's index / 4) that become one token of level 2."""
    fine_counts: list[int]
    coarse_counts: list[int]
    group_counts: list[int]

    @property
    def token_lengths(self) -> list[int]:
        """Tokens of each picture after the merge, its camera token included."""
        return [
            1 + 4 * fine + coarse + groups
            for fine, coarse, groups in zip(
                self.fine_counts, self.coarse_counts, self.group_counts, strict=True
            )
        ]


PER_CELL = 4
"""Fine tokens of a cell; also the cells of a group."""


def levels_of_cells(
    scale_map: Tensor, levels: int, presence_threshold: float, fine_threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return which cells are fine and coarse (..., N), and which groups are one token (..., N/4).

    By a scale map (..., N, 2) of cells in Morton order: fine where a small person is, coarse where
    (or beside where) a large one is, and with three levels one token for four cells where nobody
    is.
    """
    presence, size = scale_map.unbind(-1)
    valid = presence > presence_threshold
    fine = valid & (size < fine_threshold - ROUNDING)
    group_valid = valid.unflatten(-1, (-1, PER_CELL)).any(-1)
    if levels < 3:
        return fine, ~fine, torch.zeros_like(group_valid)
    return fine, group_valid.repeat_interleave(PER_CELL, dim=-1) & ~fine, ~group_valid


def located(ends: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """
    Return the element of each of so many rows, and which of its rows it is; both (rows,).

    Elements have rows one after the other, at most `PER_CELL` each, up to ends (E,). Rows after
    the last one are taken for some of the last element.
    """
    row = torch.arange(rows, device=ends.device)
    element = torch.searchsorted(ends, row, right=True).clamp(max=len(ends) - 1)
    part = row - functional.pad(ends, (1, 0))[element]
    return element, part.clamp(max=PER_CELL - 1)


def select_levels(
    scale_map: Tensor,
    lengths: Sequence[int],
    levels: int,
    presence_threshold: float,
    fine_threshold: float,
) -> Selection:
    """
    Choose the level of every cell from the scale map (N, 2) of the packed cells.

    `levels_of_cells` says how. Costs one read by the host: the counts.
    """
    fine, coarse, groups = levels_of_cells(scale_map, levels, presence_threshold, fine_threshold)

    # Of every picture at once: the differences of running totals at its two ends.
    totals = torch.stack([fine, coarse, groups.repeat_interleave(4)]).int().cumsum(1)
    ends = sequence_starts(lengths, totals.device)
    fine_counts, coarse_counts, cells_of_groups = (
        functional.pad(totals, (1, 0)).index_select(1, ends).diff(dim=1).tolist()
    )
    group_counts = [cells // 4 for cells in cells_of_groups]
    return Selection(
        _indices(fine, sum(fine_counts)),
        _indices(coarse, sum(coarse_counts)),
        _indices(groups, sum(group_counts)),
        fine_counts,
        coarse_counts,
        group_counts,
    )


def _indices(mask: Tensor, count: int) -> Tensor:
    """Return where the mask is true, in order, without asking the device how many there are."""
    return torch.nonzero_static(mask, size=count)[:, 0]
