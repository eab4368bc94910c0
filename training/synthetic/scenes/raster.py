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

"""Many pictures' triangles to z-buffers in a few operations, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as functional
from training.synthetic.scenes.tables import rows_at

NEAR_M = 0.05
"""Nothing nearer than this is drawn: a lens shows no more of it than a blur."""

_EMPTY = torch.iinfo(torch.int64).max
_CHUNK_CPU, _CHUNK_GPU = 400_000, 16_000_000
"""Most fragments handled at once: about 100 bytes each are alive at a time."""


@dataclass(frozen=True)
class Triangles:
    """T triangles of all pictures of a batch."""

    points_m: Tensor
    """(N, 3) in the frame of their picture's camera."""
    faces: Tensor
    """(T, 3) int64 into the points."""
    picture: Tensor
    """(T,) int64 which picture each is of."""
    drawn: Tensor
    """(T,) bool: false ones are left out."""
    two_sided: Tensor
    """(T,) bool: whether the side whose corners run clockwise for the camera is seen as well."""


@dataclass(frozen=True)
class Lenses:
    """The pinhole cameras of B pictures that share one canvas."""

    focal_px: Tensor
    """(B, 2) fx, fy."""
    centre_px: Tensor
    """(B, 2) cx, cy."""
    size_px: Tensor
    """(B, 2) width and height of each picture on the canvas, from its upper left corner."""
    height: int
    width: int


@dataclass(frozen=True)
class Seen:
    """The nearest triangle behind the centres of the K pixels that see one."""

    pixel: Tensor
    """(K,) int64 index into the flattened (B, height, width), ascending."""
    triangle: Tensor
    """(K,) int64"""
    depth_m: Tensor
    """(K,) float32 along the optical axis."""
    weights: Tensor
    """(K, 3) perspective-correct weights of the corners, which add up to 1."""


def rasterise(triangles: Triangles, lenses: Lenses) -> Seen:
    """
    Find the nearest triangle behind each pixel's centre (pixel (0, 0) has (0.5, 0.5)).

    Every triangle is expanded to the pixels of its bounding box; homogeneous edge functions (Olano
    and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997) tell which are
    inside, so that triangles which reach behind the camera are drawn as far as they are in front.
    One integer minimum over (depth, triangle) is the z-buffer. No loop but over chunks that bound
    the memory; the host waits for the device four times, and once a chunk.
    """
    index, box = _culled(triangles, lenses)
    planes, columns, counts, first_pixel = _prepared(triangles, lenses, index, box)
    canvas = len(lenses.focal_px) * lenses.height * lenses.width
    nearest = torch.full((canvas,), _EMPTY, device=counts.device)
    ends = counts.cumsum(0, dtype=torch.int32)
    for start, owner in _runs(ends, counts):
        place = torch.arange(start, start + len(owner), dtype=torch.int32, device=owner.device)
        place -= (ends - counts).index_select(0, owner)
        across = columns.index_select(0, owner)
        row = torch.div(place, across, rounding_mode='floor')
        column = place.sub_(across.mul_(row))
        weights, volume = _weights(rows_at(planes, owner), column, row)
        hit = (weights.amin(1) >= 0).nonzero().squeeze(1)
        owner = owner[hit].long()
        depth_m = volume[hit] / weights[hit].sum(1)
        pixel = first_pixel[owner] + row[hit] * lenses.width + column[hit]
        # Depths above zero order like the integers of the same bits.
        key = (depth_m.view(torch.int32).long() << 32) | owner
        key.masked_fill_(~((depth_m >= NEAR_M) & depth_m.isfinite()), _EMPTY)
        nearest.scatter_reduce_(0, pixel, key, 'amin')
    return _seen(nearest, index, planes, first_pixel, lenses.width)


def _projected(triangles: Triangles, lenses: Lenses, index: Tensor | None = None) -> Tensor:
    """Return (T, 3, 3) corners X, Y, W, seen at the pixel (X/W, Y/W); W is their depth."""
    faces, picture = triangles.faces, triangles.picture
    if index is not None:
        faces, picture = faces[index], picture[index]
    corners_m = triangles.points_m[faces]
    z = corners_m[..., 2:]
    focal, centre = lenses.focal_px[picture], lenses.centre_px[picture]
    return torch.cat([focal[:, None] * corners_m[..., :2] + centre[:, None] * z, z], 2)


def _culled(triangles: Triangles, lenses: Lenses) -> tuple[Tensor, Tensor]:
    """
    Return (M,) which triangles may cover a pixel's centre, and (M, 4) float32 their boxes.

    A box is its first column and row and how many columns and rows it has.
    """
    corners = _projected(triangles, lenses)
    low, high = _bounds(corners[..., :2], corners[..., 2])
    size = lenses.size_px[triangles.picture]
    first = torch.minimum((low - 0.5).ceil_().clamp_(min=0), size)
    extent = torch.minimum((high - 0.5).floor_(), size - 1).sub_(first).add_(1)
    a, b, c = triangles.points_m[triangles.faces].unbind(1)
    facing = (torch.linalg.cross(b - a, c - a) * a).sum(1) < 0
    keep = triangles.drawn & (extent > 0).all(1) & (facing | triangles.two_sided)
    index = keep.nonzero().squeeze(1)
    return index, torch.cat([first[index], extent[index]], 1)


def _bounds(uv: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (T, 2) lowest and highest pixel coordinates of what is in front of the near plane."""
    behind = z < NEAR_M
    pixel = uv / z.clamp(min=NEAR_M)[..., None]
    low = pixel.masked_fill(behind[..., None], torch.inf).amin(1)
    high = pixel.masked_fill_(behind[..., None], -torch.inf).amax(1)
    crossing = (behind.any(1) & ~behind.all(1)).nonzero().squeeze(1)
    # Where an edge passes the near plane, its point there bounds the visible part.
    here, z_here = uv[crossing], z[crossing]
    there, z_there = here[:, [1, 2, 0]], z_here[:, [1, 2, 0]]
    passes = (z_here < NEAR_M) != (z_there < NEAR_M)
    step = torch.where(passes, z_there - z_here, 1.0)
    share = ((NEAR_M - z_here) / step)[..., None]
    point = (here + share * (there - here)) / NEAR_M
    point_low = point.masked_fill(~passes[..., None], torch.inf).amin(1)
    point_high = point.masked_fill(~passes[..., None], -torch.inf).amax(1)
    low[crossing] = torch.minimum(low[crossing], point_low)
    high[crossing] = torch.maximum(high[crossing], point_high)
    return low, high


def _prepared(
    triangles: Triangles, lenses: Lenses, index: Tensor, box: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """
    Prepare the M triangles of an index with their boxes (M, 4).

    Returns (M, 12): the weight of corner i at (u, v), pixels from the box's corner, is
    numbers[i]·u + numbers[3 + i]·v + numbers[6 + i], positive inside; number 9 is the depth times
    the sum of the weights, the same everywhere. Then (M,) columns and pixels of the box, int32,
    and its first pixel on the canvas, int64.
    """
    first, extent = box[:, :2], box[:, 2:].int()
    corners = _projected(triangles, lenses, index)
    z = corners[..., 2]
    local = corners[..., :2] - first[:, None] * z[..., None]
    edges = _edges(local[..., 0], local[..., 1], z)
    start = first.long()
    row = triangles.picture[index] * lenses.height + start[:, 1]
    return (
        edges,
        extent[:, 0],
        extent[:, 0] * extent[:, 1],
        row * lenses.width + start[:, 0],
    )


def _edges(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Return the (M, 12) of `_prepared` of homogeneous corners (M, 3) each."""
    x1, y1, w1 = (value[:, [1, 2, 0]] for value in (x, y, w))
    x2, y2, w2 = (value[:, [2, 0, 1]] for value in (x, y, w))
    a, b, c = y1 * w2 - w1 * y2, w1 * x2 - x1 * w2, x1 * y2 - y1 * x2
    determinant = x[:, :1] * a[:, :1] + y[:, :1] * b[:, :1] + w[:, :1] * c[:, :1]
    sign = determinant.sign()
    # The weights at a pixel are those that bring the corners to determinant · (u, v, 1).
    return functional.pad(torch.cat([a * sign, b * sign, c * sign, determinant.abs()], 1), (0, 2))


def _runs(ends: Tensor, counts: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Cut the fragments into runs; give the first of each, and which triangle each is of."""
    total = int(ends[-1]) if len(ends) else 0
    limit = _CHUNK_CPU if ends.device.type == 'cpu' else _CHUNK_GPU
    starts = range(0, total, limit)
    wanted = torch.tensor(starts, dtype=torch.int32, device=ends.device)
    firsts = [*torch.searchsorted(ends, wanted, right=True).tolist(), len(ends) - 1]
    for start, first, last in zip(starts, firsts[:-1], firsts[1:], strict=True):
        length = min(limit, total - start)
        # Each triangle marks its first fragment: the marks so far number the triangles.
        begins = (ends - counts)[slice(first + 1, last + 1)] - start
        marks = torch.zeros(length + 1, dtype=torch.int32, device=ends.device)
        marks[begins.long()] = 1
        yield start, marks[:length].cumsum(0, dtype=torch.int32).add_(first)


def _weights(numbers: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Return (K, 3) weights of the corners, and (K,) their sum times the depth."""
    u, v = (column + 0.5)[:, None], (row + 0.5)[:, None]
    weights = torch.addcmul(numbers[:, 6:9], numbers[:, 0:3], u)
    return weights.addcmul_(numbers[:, 3:6], v), numbers[:, 9]


def _seen(nearest: Tensor, index: Tensor, planes: Tensor, first_pixel: Tensor, width: int) -> Seen:
    """Take the keys of the z-buffer apart."""
    pixel = (nearest != _EMPTY).nonzero().squeeze(1)
    key = nearest[pixel]
    owner = key & 0xFFFFFFFF
    place = pixel - first_pixel[owner]
    # The box begins at or left of each of its pixels, but rows below begin a canvas width later.
    row = torch.div(place, width, rounding_mode='floor')
    weights, _ = _weights(rows_at(planes, owner), place - row * width, row)
    weights = weights / weights.sum(1, keepdim=True)
    depth_m = (key >> 32).to(torch.int32).view(torch.float32)
    return Seen(pixel, index[owner], depth_m, weights)
