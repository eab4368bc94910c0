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

"""Everything that a picture's size alone says about cells, places and tokens, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.config import ModelConfig, PATCH
from mahmr_model.encoder.cells import morton_codes, PER_CELL
from mahmr_model.encoder.sine import sine_code
import torch
from torch import Tensor

PATCH_NUMBERS = PATCH * PATCH * 3
"""Numbers of a patch: (14, 14, 3) of (y, x, colour)."""
PATCH_ROW = -(-PATCH_NUMBERS // 8) * 8
"""Numbers that a patch takes with the zeros after it: kernels want multiples of 8."""


def bucket(rows: int) -> int:
    """
    Return how many rows a stage is captured for, where it has so many to work on.

    Steps of 128 up to 1,024, of 256 up to 4,096, then of 1,024: at most an eighth too many from
    1,024 on, and 20 shapes up to 4,096.
    """
    step = 128 if rows <= 1024 else 256 if rows <= 4096 else 1024
    return -(-rows // step) * step


@dataclass(frozen=True)
class PictureSize:
    """What graphs and tables are made for: a batch of pictures of one size."""

    batch: int
    height: int
    width: int
    """Of the pictures as they come."""
    resized_height: int
    resized_width: int

    @property
    def resized(self) -> bool:
        """Whether the pictures have to be resized."""
        return (self.height, self.width) != (self.resized_height, self.resized_width)


@dataclass(frozen=True)
class Layout:
    """
    Tables for B pictures of R×C cells, N = R·C; indices are int64.

    An *element* is what can become tokens: in the coarse and fine pass [camera, cells] of each
    picture, cells in Morton order, E = B·(1 + N) of them; in the merged sequence [camera, cells
    as fine ones, cells as coarse ones, groups], L of them a picture. A fine cell has four tokens,
    anything else that is chosen has one. Rows of features are numbered [coarse pass, groups, fine
    pass].
    """

    size: PictureSize
    rows: int
    columns: int
    cells: int
    """N of one picture."""
    groups: int
    """Groups of four cells in one picture."""
    coarse_rows: Tensor
    """(E,) which row of projected cells each element takes; the camera's is the black cell."""
    coarse_places: Tensor
    """(1 + N,) which row of the coarse positions is added; the camera's is the last."""
    coarse_starts: Tensor
    """(B + 1,) int32, where each picture's coarse sequence begins."""
    fine_pixels: Tensor
    """(E·4,) which patch of pixels each possible fine token takes."""
    fine_places: Tensor
    """(E·4,) which row of the fine positions is added; the camera's is the last."""
    token_rows: Tensor
    """(B·L,) which row of features each element takes; for fine ones the first of all fine."""
    token_fine: Tensor
    """(B·L,) 1 + the element of the fine pass whose rows begin there; 0 for none."""
    token_places: Tensor
    """(B·L·4,) which row of `codes` each possible token has."""
    token_pictures: Tensor
    """(B·L + 1,) the picture of each element; −1 for camera tokens and for no token at all."""
    places_xy_norm: Tensor
    """(P, 2) centre of every possible token, in 0…1 of the square S×S: level 0, then 1, 2."""
    place_levels: Tensor
    """(P,)."""

    @property
    def elements(self) -> int:
        """E of the coarse and fine pass."""
        return self.size.batch * (1 + self.cells)

    @property
    def first_fine_row(self) -> int:
        """Where the fine pass begins among the rows of features, after coarse pass and groups."""
        return self.elements + self.size.batch * self.groups

    @property
    def feature_rows(self) -> int:
        """Rows of all features, with room for every cell being fine."""
        return self.first_fine_row + bucket(self.size.batch * (1 + PER_CELL * self.cells))

    def codes(self, omega: Tensor, level_embed: Tensor) -> Tensor:
        """Return the position code of every place, (P, d)."""
        return sine_code(self.places_xy_norm, omega) + level_embed[self.place_levels]


def make_layout(size: PictureSize, config: ModelConfig, device: torch.device) -> Layout:
    """Work the tables out on the host and put them onto the device."""
    side = 2 * PATCH
    rows = 2 * -(-size.resized_height // (2 * side))
    columns = 2 * -(-size.resized_width // (2 * side))
    n, batch = rows * columns, size.batch
    three = config.levels == 3
    groups = n // PER_CELL if three else 0

    codes = morton_codes(max(rows, columns))[:rows, :columns].flatten()
    order = codes.argsort()
    yx = torch.stack([order // columns, order % columns], dim=1)
    quarter = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    fine_yx = 2 * yx[:, None] + quarter
    group_yx = yx[::PER_CELL] >> 1
    picture = torch.arange(batch)[:, None]

    camera = torch.full((batch, 1), batch * n)
    cell_rows = torch.cat([camera, picture * n + order], dim=1)
    fine_pixels = cell_rows.flatten()[:, None] * PER_CELL + torch.arange(PER_CELL)

    firsts = [0, 4 * n, 5 * n]
    places = [
        firsts[0] + fine_yx[..., 0] * 2 * columns + fine_yx[..., 1],
        (firsts[1] + order)[:, None].expand(-1, PER_CELL),
        (firsts[2] + group_yx[:, 0] * (columns // 2) + group_yx[:, 1])[:, None].expand(
            -1, PER_CELL
        ),
    ][: 3 if three else 2]
    one_picture = torch.cat([places[0].new_zeros(1, PER_CELL), *places])

    own = torch.arange(n)
    coarse_row = picture * (1 + n)
    group_row = batch * (1 + n) + picture * groups
    first_fine = batch * (1 + n + groups)
    token_rows = [
        coarse_row,
        torch.full((batch, n), first_fine),
        coarse_row + 1 + own,
        group_row + torch.arange(groups),
    ]
    token_fine = torch.zeros(batch, 1 + 2 * n + groups, dtype=torch.int64)
    token_fine[:, slice(1, 1 + n)] = coarse_row + 1 + own
    pictures = picture.expand(-1, token_fine.shape[1]).clone()
    pictures[:, 0] = -1

    grids = [
        (_grid(rows * 2 >> level, columns * 2 >> level).flip(1) + 0.5)
        / config.cells_per_side(level)
        for level in range(config.levels)
    ]
    tables = {
        'coarse_rows': cell_rows.flatten(),
        'coarse_places': _with_camera(yx, config.grid(1)),
        'coarse_starts': (torch.arange(batch + 1) * (1 + n)).int(),
        'fine_pixels': fine_pixels.flatten(),
        'fine_places': _with_camera(fine_yx.flatten(0, 1), config.grid(0), PER_CELL).repeat(batch),
        'token_rows': torch.cat(token_rows, dim=1).flatten(),
        'token_fine': token_fine.flatten(),
        'token_places': one_picture.repeat(batch, 1).flatten(),
        'token_pictures': torch.cat([pictures.flatten(), torch.tensor([-1])]),
        'places_xy_norm': torch.cat(grids),
        'place_levels': torch.cat(
            [torch.full((len(grid),), level) for level, grid in enumerate(grids)]
        ),
    }
    on_device = {name: table.to(device).contiguous() for name, table in tables.items()}
    return Layout(size, rows, columns, n, groups, **on_device)


def _grid(rows: int, columns: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(rows), torch.arange(columns))


def _with_camera(yx: Tensor, grid: int, repeat: int = 1) -> Tensor:
    """Return numbers of places on a grid, those beyond it clamped, after the camera's: grid²."""
    y, x = yx.clamp(max=grid - 1).unbind(-1)
    return torch.cat([torch.full((repeat,), grid * grid), y * grid + x])
