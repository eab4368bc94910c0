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

"""Step 11 of the recipe: which cells people cover and how large those people are."""

from __future__ import annotations

from functools import lru_cache

from mahmr_model.encoder.cells import morton_codes
import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Floats, Ints

CELL_PX = 28


def edges(faces: Tensor) -> Tensor:
    """Return each edge of triangles (F, 3) once, as (2, E): their midpoints subdivide a mesh."""
    pairs = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).sort(dim=1).values
    return pairs.unique(dim=0).T.contiguous()


def grid_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of cells that a picture touches."""
    return -(-size_hw[0] // CELL_PX), -(-size_hw[1] // CELL_PX)


@lru_cache(maxsize=512)
def morton_order(rows: int, columns: int) -> Ints:
    """Return the row-major index of every cell of a grid, the cells in Morton order."""
    codes = morton_codes(max(rows, columns))[:rows, :columns]
    return np.argsort(codes.reshape(-1).numpy())


def covered_cells(
    meshes_m: Tensor, edge_ends: Tensor, intrinsics: Tensor, grid: tuple[int, int]
) -> Ints:
    """
    Return the cell (P, V+E) of every vertex and every edge's midpoint, as row·columns + column.

    `meshes_m` (P, 3, V) in the camera frame, one row a coordinate; `intrinsics` (1 or P, 3, 3).
    Points outside of the picture count for the nearest cell at its border.
    """
    ends = meshes_m[:, :, edge_ends]
    points = torch.cat([meshes_m, (ends[:, :, 0] + ends[:, :, 1]) / 2], dim=2)
    projected = intrinsics @ points
    cells = (projected[:, :2] / (projected[:, 2:] * CELL_PX)).nan_to_num_()
    column = cells[:, 0].clamp_(0, grid[1] - 1).int()
    row = cells[:, 1].clamp_(0, grid[0] - 1).int()
    return (row * grid[1] + column).numpy().astype(np.int64)


def box_cells(boxes_cxcywh_px: Floats, grid: tuple[int, int]) -> Ints:
    """Return cells (P, any) that boxes (P, 4) cover, as `covered_cells` does for meshes."""
    steps = np.linspace(-0.5, 0.5, 2 * max(grid) + 1)
    centre, sides = boxes_cxcywh_px[:, None, :2], boxes_cxcywh_px[:, None, 2:]
    points = np.clip((centre + sides * steps[:, None]) / CELL_PX, 0, (grid[1] - 1, grid[0] - 1))
    column, row = points[..., 0].astype(np.int64), points[..., 1].astype(np.int64)
    cells: Ints = row[:, :, None] * grid[1] + column[:, None]
    return cells.reshape(len(points), len(steps) ** 2)


def scale_map(
    cells: Ints, diagonals: Floats, depths: Floats, grid: tuple[int, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """
    Return the map (N, 2) of the padded grid in Morton order: presence, and size relative to S.

    `cells` (P, any) as of `covered_cells`; people are painted by `depths` (P,), far ones first,
    with their box's diagonal relative to S (P,), at most 1.
    """
    rows, columns = grid
    painted = np.zeros((rows * columns, 2), np.float32)
    for person in np.argsort(-depths, kind='stable'):
        covered = np.bincount(cells[person], minlength=len(painted)) > 0
        painted[covered] = (1.0, min(1.0, diagonals[person]))
    padded = np.zeros((rows + rows % 2, columns + columns % 2, 2), np.float32)
    padded[:rows, :columns] = painted.reshape(rows, columns, 2)
    return padded.reshape(-1, 2)[morton_order(*padded.shape[:2])]
