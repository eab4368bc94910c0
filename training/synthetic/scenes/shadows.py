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

"""Shadows from points spread over people and things: of the sun or a lamp, and of the sky."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
import torch.nn.functional as functional

_SUN_SIDE, _SUN_CELL_M = 384, 0.04
"""Points on the skin lie up to a cell apart."""
_SKY_SIDE, _SKY_CELL_M = 192, 0.10
"""Coarser, as light from the whole sky has soft shadows."""
_MARGIN = 5
_BIAS_M = 0.08
_COVER_M = 0.6
"""Whatever is this far below something gets the least light from above."""


@dataclass(frozen=True)
class Casters:
    """K points of all pictures that take light away."""

    points_m: Tensor
    """(K, 3)"""
    picture: Tensor
    """(K,) int64"""
    corners_m: Tensor
    """(C, 3) few points whose boxes hold all casters."""
    corner_picture: Tensor
    """(C,) int64"""


@dataclass(frozen=True)
class ShadowMap:
    """For each of B pictures, a grid across a direction and the foremost points in it."""

    frame: Tensor
    """(B, 3, 3) rows: the grid's two axes and the direction."""
    corner_m: Tensor
    """(B, 2)"""
    cell_m: Tensor
    """(B,)"""
    nearest_m: Tensor
    """(B, side, side) how far along the direction the foremost point is; −inf without one."""


def across(direction: Tensor) -> Tensor:
    """Return (B, 3, 3) rotations whose last row is the unit direction (B, 3)."""
    unit = torch.eye(3, device=direction.device)
    other = torch.where(direction[:, :1].abs() < 0.8, unit[0], unit[1])
    first = functional.normalize(torch.linalg.cross(other, direction), dim=1)
    return torch.stack([first, torch.linalg.cross(direction, first), direction], 1)


def _window(casters: Casters, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B, 2) from where to where the casters reach along the first two axes of `frame`."""
    places = _within(frame[:, :2], casters.corners_m, casters.corner_picture)
    index = casters.corner_picture[:, None].expand(-1, 2)
    empty = places.new_zeros((len(frame), 2))
    low = empty.scatter_reduce(0, index, places, 'amin', include_self=False)
    high = empty.scatter_reduce(0, index, places, 'amax', include_self=False)
    return low, high


def sun_map(casters: Casters, to_light: Tensor) -> ShadowMap:
    """See the casters from the light, (B, 3) unit vectors towards it."""
    seen = _seen_from(casters, across(to_light), _SUN_SIDE, _SUN_CELL_M)
    return replace(seen, nearest_m=functional.max_pool2d(seen.nearest_m, 3, 1, 1))


def sky_map(casters: Casters, axes: Tensor) -> ShadowMap:
    """See the casters from above; `axes` (B, 3, 3) as `Batch.axes`."""
    return _seen_from(casters, axes[:, [0, 2, 1]], _SKY_SIDE, _SKY_CELL_M)


def _seen_from(casters: Casters, frame: Tensor, side: int, smallest_cell_m: float) -> ShadowMap:
    seen = _within(frame, casters.points_m, casters.picture)
    low, high = _window(casters, frame)
    cell = ((high - low).amax(1) / (side - 2 * _MARGIN)).clamp(min=smallest_cell_m)
    corner = low - _MARGIN * cell[:, None]
    place = (seen[:, :2] - corner[casters.picture]) / cell[casters.picture, None]
    place = place.long().clamp_(0, side - 1)
    index = (casters.picture * side + place[:, 1]) * side + place[:, 0]
    nearest = seen.new_full((len(frame) * side * side,), -torch.inf)
    nearest.scatter_reduce_(0, index, seen[:, 2], 'amax')
    return ShadowMap(frame, corner, cell, nearest.view(-1, side, side))


def corners(low: Tensor, high: Tensor) -> Tensor:
    """Return (…, 8, 3) corners of boxes from `low` to `high` (…, 3)."""
    pick = torch.arange(8, device=low.device)[:, None] >> torch.arange(3, device=low.device) & 1
    return torch.where(pick > 0, high[..., None, :], low[..., None, :])


def _within(frame: Tensor, points_m: Tensor, picture: Tensor) -> Tensor:
    return (frame[picture] * points_m[:, None]).sum(2)


def in_shadow(sun: ShadowMap, x: Tensor, y: Tensor, depth_m: Tensor) -> Tensor:
    """
    Return (B, H, W) how much of the light is taken, 0 to 1.

    Points are (x, y, 1)·depth, of shapes (B, 1, W), (B, H, 1), (B, H, W); softened over a cell.
    """
    a, b, along = _places(sun, x, y, depth_m)
    limit = along.add_(_BIAS_M + sun.cell_m[:, None, None])
    return _blend(sun.nearest_m, a, b, lambda nearest: (nearest > limit).to(limit.dtype))


def covered(sky: ShadowMap, x: Tensor, y: Tensor, depth_m: Tensor) -> Tensor:
    """Return (B, H, W) how far points lie below something, 0 to 1; arguments as `in_shadow`."""
    a, b, along = _places(sky, x, y, depth_m)
    along = along.add_(0.05).div_(_COVER_M)
    scaled = sky.nearest_m / _COVER_M
    return _blend(scaled, a, b, lambda nearest: (nearest - along).clamp_(0, 1))


def _places(
    seen: ShadowMap, x: Tensor, y: Tensor, depth_m: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, H, W) where points lie among the middles of cells, and along the direction."""
    depth_m = depth_m.clamp(max=1e4)

    def each(values: Tensor) -> Tensor:
        return values[:, None, None]

    cell = each(seen.cell_m)
    # The grid's scale belongs to the few numbers of each row, not to each pixel.
    frame = torch.cat([seen.frame[:, :2] / cell, seen.frame[:, 2:]], 1)
    a, b, along = (
        (each(frame[:, k, 0]) * x + (each(frame[:, k, 1]) * y + each(frame[:, k, 2]))).mul_(
            depth_m
        )
        for k in range(3)
    )
    corner = seen.corner_m[:, :, None, None] / cell[:, None] + 0.5
    return a.sub_(corner[:, 0]), b.sub_(corner[:, 1]), along


def _blend(grids: Tensor, a: Tensor, b: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
    """Blend `value` of the four cells around places (B, H, W) in B grids; spoils the places."""
    side = grids.shape[-1]
    a, b = a.clamp_(0, side - 1.001), b.clamp_(0, side - 1.001)
    column, row = a.int(), b.int()
    a, b = a.sub_(column), b.sub_(row)
    first = torch.arange(len(grids), dtype=torch.int32, device=grids.device) * (side * side)
    index = column.add_(row.mul_(side)).add_(first[:, None, None]).flatten()
    flat = grids.flatten()

    def at(offset: int) -> Tensor:
        return value(flat[offset:].index_select(0, index).view(a.shape))

    above = torch.lerp(at(0), at(1), a)
    below = torch.lerp(at(side), at(side + 1), a)
    return above.lerp_(below, b)
