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

"""What rays meet that meet no mesh: ground, walls, ceiling, sky."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from training.synthetic.scenes.batch import Batch
from training.synthetic.scenes.look import Room, SURROUNDINGS

_NUMBER = {name: number for number, name in enumerate(SURROUNDINGS)}
_TINY = 1e-6


@dataclass
class Canvas:
    """What each pixel of B pictures sees; all (B, H, W)."""

    x: Tensor
    """(B, 1, W) of the ray (x, y, 1)."""
    y: Tensor
    """(B, H, 1)"""
    depth_m: Tensor
    """Along the optical axis; infinite for the sky."""
    surface: Tensor
    """int32 row in the table of surfaces."""
    s: Tensor
    t: Tensor
    """Where in the surface's texture, metres."""
    px_m: Tensor
    """How much of the texture a pixel covers, across."""
    sun: Tensor
    """Cosine between the surface and the light."""
    up: Tensor
    """Cosine between the surface and the world's up."""


def look_around(batch: Batch) -> Canvas:
    """Find where the rays of all pixels leave an empty room."""
    device = batch.intrinsics.device

    def each(values: Tensor) -> Tensor:
        return values[:, None, None]

    k = batch.intrinsics
    x = ((batch.column_px - k[:, 0, 2, None]) / k[:, 0, 0, None])[:, None]
    y = ((batch.row_px - k[:, 1, 2, None]) / k[:, 1, 1, None])[:, :, None]
    right, up, front = (
        each(batch.axes[:, a, 0]) * x + (each(batch.axes[:, a, 1]) * y + each(batch.axes[:, a, 2]))
        for a in range(3)
    )
    room = Room(*(each(numbers) for numbers in batch.room.unbind(1)))
    height = each(batch.offset_m)
    far = torch.inf
    ground = torch.where(up < -_TINY, -height / up, far)
    ceiling = torch.where(up > _TINY, (room.ceiling - height) / up, far)
    side, side_number = _wall(right, up, height, room, 'right')
    end, end_number = _wall(front, up, height, room, 'front')
    depth = torch.minimum(torch.minimum(ground, ceiling), torch.minimum(side, end))
    on_side, on_end = side == depth, end == depth
    sky = depth > 5e4
    level = ~(on_side | on_end | sky)
    number = torch.where(on_side, side_number, end_number)
    number = torch.where(level, _either(up < 0, 'ground', 'ceiling'), number)
    number = number.masked_fill(sky, 0)
    reach = torch.where(sky, 1 / up.abs().clamp(min=0.03), depth)
    to_right, to_front = reach * right, reach * front
    path = (room.path_x * to_right + room.path_z * to_front - room.path_offset).abs()
    number = number.masked_fill(
        (number == _NUMBER['ground']) & (path < room.path_half_width), _NUMBER['path']
    )
    s = torch.where(on_side & ~sky, to_front, to_right)
    t = torch.where(level | sky, to_front, height + reach * up)
    slope = torch.where(level, up, torch.where(on_side, right, front)).abs()
    slope = (slope * torch.rsqrt(x * x + y * y + 1)).clamp(min=0.05)
    footprint = torch.where(sky, 0.002, depth * torch.rsqrt(slope) / each(k[:, 0, 0]))
    first = torch.arange(len(k), device=device) * len(SURROUNDINGS)
    surface = number.int() + each(first.int())
    sun, upward = (
        cosine.index_select(0, surface.flatten()).view(depth.shape) for cosine in _cosines(batch)
    )
    return Canvas(x, y, depth.masked_fill(sky, far), surface, s, t, footprint, sun, upward)


def _wall(
    along: Tensor, up: Tensor, height: Tensor, room: Room[Tensor], name: str
) -> tuple[Tensor, Tensor]:
    """Return depths of the right and left (front and back) walls, and which of them it is."""
    there, other = ('right', 'left') if name == 'right' else ('front', 'back')
    ahead = along > 0
    distance = torch.where(ahead, getattr(room, there), getattr(room, other))
    depth = distance / along.abs().clamp(min=_TINY)
    top = torch.where(ahead, getattr(room, f'{there}_height'), getattr(room, f'{other}_height'))
    depth = depth.masked_fill(height + depth * up > top, torch.inf)
    return depth, _either(ahead, there, other)


def _either(where: Tensor, name: str, other: str) -> Tensor:
    """Return the surfaces' numbers as single bytes."""
    step = _NUMBER[name] - _NUMBER[other]
    return where.to(torch.int8).mul_(step).add_(_NUMBER[other])


def _cosines(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return (B · len(SURROUNDINGS),) cosines of each surface with the light and with up."""
    right, up, front = batch.axes.unbind(1)
    normals = {
        'sky': up * 0,
        'ground': up,
        'path': up,
        'right': -right,
        'left': right,
        'front': -front,
        'back': front,
        'ceiling': -up,
    }
    table = torch.stack([normals[name] for name in SURROUNDINGS], 1)
    sun = (table * batch.to_light[:, None]).sum(2).flatten()
    return sun, (table * up[:, None]).sum(2).flatten()
