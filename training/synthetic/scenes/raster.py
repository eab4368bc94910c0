"""Many pictures' triangles to z-buffers in a few operations, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

NEAR_M = 0.05
"""Nothing nearer than this is drawn: a lens shows no more of it than a blur."""

_EMPTY = torch.iinfo(torch.int64).max
_CHUNK_CPU, _CHUNK_GPU = 400_000, 16_000_000
"""Most fragments handled at once: about 100 bytes each are alive at a time."""


@dataclass(frozen=True)
class Triangles:
    """T triangles of all pictures of a batch."""

    corners_m: Tensor
    """(T, 3, 3) corners in the frame of their picture's camera."""
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


@dataclass(frozen=True)
class _Setup:
    """The M triangles that may cover a pixel's centre."""

    triangle: Tensor
    edges: Tensor
    """(M, 3, 3): the weight of corner i is edges[:, i] · (u, v, 1), from the box's corner."""
    corner_z: Tensor
    """(M, 3)"""
    box: Tensor
    """(M, 4) int64 first column, first row, columns, rows."""


def rasterise(triangles: Triangles, lenses: Lenses) -> Seen:
    """
    Find the nearest triangle behind each pixel's centre (pixel (0, 0) has (0.5, 0.5)).

    Every triangle is expanded to the pixels of its bounding box; homogeneous edge functions (Olano
    and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997) tell which are
    inside, so that triangles which reach behind the camera are drawn as far as they are in front.
    One integer minimum over (depth, triangle) is the z-buffer. No loop but over chunks that bound
    the memory; the host waits for the device four times, and once a chunk.
    """
    setup = _set_up(triangles, lenses)
    counts = setup.box[:, 2] * setup.box[:, 3]
    ends = counts.cumsum(0)
    canvas = len(lenses.focal_px) * lenses.height * lenses.width
    nearest = torch.full((canvas,), _EMPTY, device=counts.device)
    first_pixel = (
        triangles.picture[setup.triangle] * lenses.height + setup.box[:, 1]
    ) * lenses.width + setup.box[:, 0]
    for start, owner in _runs(ends, counts):
        place = torch.arange(start, start + len(owner), device=owner.device)
        place = place - (ends - counts)[owner]
        columns = setup.box[owner, 2]
        row = torch.div(place, columns, rounding_mode='floor')
        column = place - row * columns
        inside, depth_m = _cover(setup, owner, column, row)
        hit = inside.nonzero().squeeze(1)
        owner, depth_m = owner[hit], depth_m[hit]
        pixel = first_pixel[owner] + row[hit] * lenses.width + column[hit]
        # Depths above zero order like the integers of the same bits.
        key = (depth_m.view(torch.int32).long() << 32) | owner
        nearest.scatter_reduce_(0, pixel, key, 'amin')
    return _seen(nearest, setup, first_pixel, lenses.width)


def _set_up(triangles: Triangles, lenses: Lenses) -> _Setup:
    """Cull, and make the edge functions of what is left."""
    corners_m, picture = triangles.corners_m, triangles.picture
    z = corners_m[..., 2]
    homogeneous = torch.stack(
        [
            lenses.focal_px[picture, 0, None] * corners_m[..., 0]
            + lenses.centre_px[picture, 0, None] * z,
            lenses.focal_px[picture, 1, None] * corners_m[..., 1]
            + lenses.centre_px[picture, 1, None] * z,
        ],
        -1,
    )
    low, high = _bounds(homogeneous, z)
    size = lenses.size_px[picture]
    first = (low - 0.5).ceil().clamp(min=0)
    first = torch.minimum(first, size)
    last = torch.minimum((high - 0.5).floor(), size - 1)
    extent = last - first + 1
    a, b, c = corners_m.unbind(1)
    facing = (torch.linalg.cross(b - a, c - a) * a).sum(1)
    keep = triangles.drawn & (extent > 0).all(1) & ((facing < 0) | triangles.two_sided)
    index = keep.nonzero().squeeze(1)
    box = torch.cat([first[index], extent[index]], 1).long()
    w = z[index]
    local = homogeneous[index] - first[index, None] * w[..., None]
    return _Setup(index, _edges(local[..., 0], local[..., 1], w), w, box)


def _bounds(homogeneous: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return (T, 2) lowest and highest pixel coordinates of what is in front of the near plane."""
    behind = z < NEAR_M
    uv = homogeneous / z.clamp(min=NEAR_M)[..., None]
    low = uv.masked_fill(behind[..., None], torch.inf).amin(1)
    high = uv.masked_fill(behind[..., None], -torch.inf).amax(1)
    crossing = (behind.any(1) & ~behind.all(1)).nonzero().squeeze(1)
    # Where an edge passes the near plane, its point there bounds the visible part.
    here, z_here = homogeneous[crossing], z[crossing]
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


def _edges(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Return `_Setup.edges` of homogeneous corners (M, 3) each, turned positive inside."""
    x1, y1, w1 = (value[:, [1, 2, 0]] for value in (x, y, w))
    x2, y2, w2 = (value[:, [2, 0, 1]] for value in (x, y, w))
    edges = torch.stack([y1 * w2 - w1 * y2, w1 * x2 - x1 * w2, x1 * y2 - y1 * x2], 2)
    determinant = x[:, 0] * edges[:, 0, 0] + y[:, 0] * edges[:, 0, 1] + w[:, 0] * edges[:, 0, 2]
    return edges * determinant.sign()[:, None, None]


def _runs(ends: Tensor, counts: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Cut the fragments into runs; give the first of each, and which triangle each is of."""
    total = int(ends[-1]) if len(ends) else 0
    limit = _CHUNK_CPU if ends.device.type == 'cpu' else _CHUNK_GPU
    starts = range(0, total, limit)
    wanted = torch.tensor(starts, dtype=torch.int64, device=ends.device)
    firsts = [*torch.searchsorted(ends, wanted, right=True).tolist(), len(ends) - 1]
    for start, first, last in zip(starts, firsts[:-1], firsts[1:], strict=True):
        length = min(limit, total - start)
        # Each triangle marks its first fragment: the marks so far number the triangles.
        begins = (ends - counts)[first + 1 : last + 1] - start
        marks = torch.zeros(length + 1, dtype=torch.int32, device=ends.device)
        marks[begins] = 1
        yield start, marks[:length].cumsum(0) + first


def _cover(setup: _Setup, owner: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Return (K,) whether pixels are inside their triangle, and their depth in metres."""
    weights = _weights(setup.edges[owner], column, row)
    total = weights.sum(1)
    depth_m = (weights * setup.corner_z[owner]).sum(1) / total
    return (weights.amin(1) >= 0) & (total > 0) & (depth_m >= NEAR_M), depth_m


def _weights(edges: Tensor, column: Tensor, row: Tensor) -> Tensor:
    u, v = (column + 0.5)[:, None], (row + 0.5)[:, None]
    return edges[..., 0] * u + edges[..., 1] * v + edges[..., 2]


def _seen(nearest: Tensor, setup: _Setup, first_pixel: Tensor, width: int) -> Seen:
    """Take the keys of the z-buffer apart."""
    pixel = (nearest != _EMPTY).nonzero().squeeze(1)
    key = nearest[pixel]
    owner = key & 0xFFFFFFFF
    place = pixel - first_pixel[owner]
    # The box begins at or left of each of its pixels, but rows below begin a canvas width later.
    row = torch.div(place, width, rounding_mode='floor')
    weights = _weights(setup.edges[owner], place - row * width, row)
    weights = weights / weights.sum(1, keepdim=True)
    depth_m = (key >> 32).to(torch.int32).view(torch.float32)
    return Seen(pixel, setup.triangle[owner], depth_m, weights)
