"""Shadows from points spread over people and things: of the light, and under feet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as functional

_SIDE = 384
_SMALLEST_CELL_M = 0.04
"""Points on the skin lie up to this far apart."""
_BIAS_M = 0.08
_CONTACT_SIDE, _CONTACT_CELL_M = 256, 0.05


@dataclass(frozen=True)
class Casters:
    """K points of all pictures that take light away."""

    points_m: Tensor
    """(K, 3)"""
    picture: Tensor
    """(K,) int64"""


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
    """(B, _SIDE, _SIDE) how far along the direction the foremost point is; −inf without one."""


def across(direction: Tensor) -> Tensor:
    """Return (B, 3, 3) rotations whose last row is the unit direction (B, 3)."""
    other = torch.where(
        direction[:, :1].abs() < 0.8,
        direction.new_tensor([1.0, 0.0, 0.0]),
        direction.new_tensor([0.0, 1.0, 0.0]),
    )
    first = functional.normalize(torch.linalg.cross(other, direction), dim=1)
    return torch.stack([first, torch.linalg.cross(direction, first), direction], 1)


def _window(places: Tensor, picture: Tensor, pictures: int) -> tuple[Tensor, Tensor]:
    """Return (B, 2) lowest and highest of places (K, 2); 0 for pictures without any."""
    index = picture[:, None].expand(-1, 2)
    low = places.new_full((pictures, 2), torch.inf).scatter_reduce(0, index, places, 'amin')
    high = places.new_full((pictures, 2), -torch.inf).scatter_reduce(0, index, places, 'amax')
    return low.nan_to_num(posinf=0.0), high.nan_to_num(neginf=0.0)


def shadow_map(casters: Casters, to_light: Tensor) -> ShadowMap:
    """See the casters from the light, (B, 3) unit vectors towards it."""
    frame = across(to_light)
    seen = _within(frame, casters.points_m, casters.picture)
    low, high = _window(seen[:, :2], casters.picture, len(frame))
    cell = ((high - low).amax(1) / (_SIDE - 10)).clamp(min=_SMALLEST_CELL_M)
    corner = low - 5 * cell[:, None]
    place = (seen[:, :2] - corner[casters.picture]) / cell[casters.picture, None]
    place = place.long().clamp(0, _SIDE - 1)
    index = (casters.picture * _SIDE + place[:, 1]) * _SIDE + place[:, 0]
    nearest = seen.new_full((len(frame) * _SIDE * _SIDE,), -torch.inf)
    nearest.scatter_reduce_(0, index, seen[:, 2], 'amax')
    nearest = nearest.view(-1, _SIDE, _SIDE)
    return ShadowMap(frame, corner, cell, functional.max_pool2d(nearest, 3, 1, 1))


def _within(frame: Tensor, points_m: Tensor, picture: Tensor) -> Tensor:
    return (frame[picture] * points_m[:, None]).sum(2)


def in_shadow(shadows: ShadowMap, x: Tensor, y: Tensor, depth_m: Tensor) -> Tensor:
    """
    Return (B, H, W) how much of the light is taken, 0 to 1.

    Points are (x, y, 1)·depth, of shapes (B, 1, W), (B, H, 1), (B, H, W); softened over a cell.
    """
    depth_m = depth_m.clamp(max=1e4)

    def each(values: Tensor) -> Tensor:
        return values[:, None, None]

    a, b, along = (
        depth_m
        * (
            each(shadows.frame[:, k, 0]) * x
            + (each(shadows.frame[:, k, 1]) * y + each(shadows.frame[:, k, 2]))
        )
        for k in range(3)
    )
    cell = each(shadows.cell_m)
    a = (a - each(shadows.corner_m[:, 0])) / cell - 0.5
    b = (b - each(shadows.corner_m[:, 1])) / cell - 0.5
    limit = along + (_BIAS_M + cell)
    first = torch.arange(len(cell), device=cell.device, dtype=torch.int32) * _SIDE * _SIDE
    return _blend(
        shadows.nearest_m, a, b, each(first), lambda nearest: (nearest > limit).to(limit.dtype)
    )


def contact_map(casters: Casters, axes: Tensor, offset_m: Tensor) -> ShadowMap:
    """
    Return a map of the ground, 1 under what touches it and 0 far from anything.

    `axes` (B, 3, 3) and `offset_m` (B,) are `Batch.axes`, `Batch.offset_m`.
    """
    frame = axes[:, [0, 2, 1]]
    seen = _within(frame, casters.points_m, casters.picture)
    low, high = _window(seen[:, :2], casters.picture, len(frame))
    cell = ((high - low).amax(1) / (_CONTACT_SIDE - 16)).clamp(min=_CONTACT_CELL_M)
    corner = low - 8 * cell[:, None]
    height = seen[:, 2] + offset_m[casters.picture]
    place = (seen[:, :2] - corner[casters.picture]) / cell[casters.picture, None]
    place = place.long().clamp(0, _CONTACT_SIDE - 1)
    index = (casters.picture * _CONTACT_SIDE + place[:, 1]) * _CONTACT_SIDE + place[:, 0]
    close = seen.new_zeros(len(frame) * _CONTACT_SIDE**2)
    close.scatter_reduce_(0, index, torch.exp(-height.clamp(min=0) / 0.15), 'amax')
    close = close.view(-1, _CONTACT_SIDE, _CONTACT_SIDE)
    for _ in range(3):
        close = functional.avg_pool2d(close, 5, 1, 2)
    return ShadowMap(frame, corner, cell, close)


def contact(shadows: ShadowMap, to_right: Tensor, to_front: Tensor) -> Tensor:
    """Return (B, H, W) the ground's map at its points, metres along the room's axes."""
    cell = shadows.cell_m[:, None, None]
    a = (to_right - shadows.corner_m[:, 0, None, None]) / cell - 0.5
    b = (to_front - shadows.corner_m[:, 1, None, None]) / cell - 0.5
    first = torch.arange(len(cell), device=cell.device, dtype=torch.int32) * _CONTACT_SIDE**2
    return _blend(shadows.nearest_m, a, b, first[:, None, None], lambda close: close)


def _blend(
    grids: Tensor, a: Tensor, b: Tensor, first: Tensor, value: Callable[[Tensor], Tensor]
) -> Tensor:
    """Blend `value` of the four cells around places (B, H, W) in the B grids."""
    side = grids.shape[-1]
    a, b = a.clamp(0, side - 1.001), b.clamp(0, side - 1.001)
    column, row = a.int(), b.int()
    a, b = a - column, b - row
    index = (first + row * side + column).flatten()
    flat = grids.flatten()

    def at(offset: int) -> Tensor:
        return value(flat.index_select(0, index + offset).view(a.shape))

    above = at(0) * (1 - a) + at(1) * a
    below = at(side) * (1 - a) + at(side + 1) * a
    return above * (1 - b) + below * b
