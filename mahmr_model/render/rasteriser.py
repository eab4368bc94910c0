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

"""Which triangle each pixel sees: a z-buffer rasteriser made of tensor operations, CPU or GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mahmr_model.types import Camera, FloatArray
import numpy as np
import torch
from torch import Tensor

NEAR_M = 0.05
"""Nothing nearer than this is drawn in perspective: a lens shows no more of it than a blur."""

_CHUNK_CPU, _CHUNK_GPU = 30_000, 4_000_000
"""
Most rows or pixels handled at once. On a CPU they fit into its cache and stay below the 32,768
elements from which torch starts threads, whose waiting for each other costs ten times the work
where the cores are busy; a GPU needs about 1 GB for its chunk.
"""
_EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Orthographic:
    """
    A view by parallel rays along +z: u = px_per_m·x + cx, v = px_per_m·y + cy, in pixels.

    It has the width, height, `project` and `resized` of `Camera`, so that either can look at a
    mesh.
    """

    px_per_m: float
    cx: float
    cy: float
    width: int
    height: int

    def resized(self, width: int, height: int) -> Orthographic:
        """Return the same view in a picture `width` wide; the aspect is that of the old one."""
        x, y = width / self.width, height / self.height
        return Orthographic(self.px_per_m * x, self.cx * x, self.cy * y, width, height)

    def project(self, points_m: FloatArray) -> FloatArray:
        """Project points (..., 3) in metres to pixels (..., 2)."""
        pixels = points_m[..., :2] * self.px_per_m + np.array([self.cx, self.cy])
        return pixels.astype(np.float32)


@dataclass(frozen=True)
class Visible:
    """The nearest triangle behind the centre of each pixel (pixel (0, 0) has (0.5, 0.5))."""

    depth_m: Tensor
    """(H, W) float32 depth along z, infinite where nothing is."""
    face: Tensor
    """(H, W) int64 index into the faces, -1 where nothing is."""
    edges: Tensor
    """(F, 3, 3) float64: the weight of corner i at pixel (u, v) is edges[:, i] · (u, v, 1)."""

    def corners(self) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return what the K pixels with something in them see, in row-major order.

        Their index in the flattened picture (K,), their face (K,) and the perspective-correct
        weights of its three corners (K, 3) float32, which add up to 1.
        """
        pixel = (self.face.flatten() >= 0).nonzero().squeeze(1)
        face = self.face.flatten()[pixel]
        width = self.face.shape[1]
        u, v = pixel % width + 0.5, pixel // width + 0.5
        edges = self.edges[face]
        weights = edges[..., 0] * u[:, None] + edges[..., 1] * v[:, None] + edges[..., 2]
        return pixel, face, (weights / weights.sum(1, keepdim=True)).float()


def rasterise(points_m: Tensor, faces: Tensor, lens: Camera | Orthographic) -> Visible:
    """
    Find the nearest triangle behind each pixel's centre.

    `points_m` (P, 3) are metres in the frame of the lens (x right, y down, z forward), `faces`
    (F, 3) int64 index them; both sides of a triangle are seen. The tensors' device does the work.

    The edge functions are those of homogeneous coordinates (Olano and Greer, "Triangle scan
    conversion using 2D homogeneous coordinates", 1997): triangles that reach behind the camera
    need no clipping. Each row of each triangle is solved for the pixels within, so that the cost
    is that of the covered pixels and not of bounding boxes. Neighbours compute their common edge
    from the same products, so no crack opens between them.
    """
    edges, solid = _edge_functions(_homogeneous_px(points_m.double(), lens)[faces])
    planes = torch.stack([(edges * points_m.double()[faces, 2:]).sum(1), edges.sum(1)])
    first_row, rows = _rows(points_m, faces, lens)
    rows = torch.where(solid, rows, 0)
    near_m = NEAR_M if isinstance(lens, Camera) else 0.0
    nearest = torch.full((lens.height * lens.width,), _EMPTY, device=faces.device)
    limit = _CHUNK_CPU if faces.device.type == 'cpu' else _CHUNK_GPU
    for part in _parts(rows, limit):
        face, offset = _expand(rows, part)
        row = first_row[face] + offset
        start, length = _spans(edges[face], row, lens.width)
        for piece in _parts(length, limit):
            span, offset = _expand(length, piece)
            f, u, v = face[span], start[span] + offset, row[span]
            numerator, denominator = _at(planes[:, f], u, v)
            depth_m = (numerator / denominator).float()
            # Depths above zero order like the integers of the same bits, so that one integer
            # minimum finds the nearest and, among equals, the first face: the same on each device.
            key = (depth_m.view(torch.int32).long() << 32) | f
            key = torch.where(depth_m >= near_m, key, _EMPTY)
            nearest.scatter_reduce_(0, v * lens.width + u, key, 'amin')
    return _visible(nearest, edges, lens)


def _homogeneous_px(points_m: Tensor, lens: Camera | Orthographic) -> Tensor:
    """Return (P, 3) numbers X, Y, W such that a point is seen at the pixel (X/W, Y/W)."""
    x, y, z = points_m.unbind(1)
    if isinstance(lens, Camera):
        return torch.stack([lens.fx * x + lens.cx * z, lens.fy * y + lens.cy * z, z], 1)
    s = lens.px_per_m
    return torch.stack([s * x + lens.cx, s * y + lens.cy, torch.ones_like(z)], 1)


def _edge_functions(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return `Visible.edges` of corners (F, 3, 3), turned positive inside; and (F,) has area."""
    x, y, w = corners[:, [1, 2, 0]].unbind(2)
    other_x, other_y, other_w = corners[:, [2, 0, 1]].unbind(2)
    # The cross product, each product rounded by itself: torch.linalg.cross fuses them, and then
    # a × b is not exactly -(b × a), which opens cracks where pixel centres lie on an edge.
    edges = torch.stack(
        [y * other_w - w * other_y, w * other_x - x * other_w, x * other_y - y * other_x], 2
    )
    determinant = (corners[:, 0] * edges[:, 0]).sum(1)
    solid = (determinant.abs() > 1e-12) & determinant.isfinite()
    return edges * determinant.sign()[:, None, None], solid


def _rows(points_m: Tensor, faces: Tensor, lens: Camera | Orthographic) -> tuple[Tensor, Tensor]:
    """Return (F,) the first row of pixels whose centres a triangle may cover, and how many."""
    homogeneous = _homogeneous_px(points_m.double(), lens)
    v = homogeneous[:, 1] / homogeneous[:, 2]
    if isinstance(lens, Camera):
        behind = points_m[:, 2] < NEAR_M
        # A triangle that reaches behind the camera may reach any row.
        low, high = v.masked_fill(behind, -torch.inf), v.masked_fill(behind, torch.inf)
    else:
        behind, low, high = torch.zeros_like(v, dtype=torch.bool), v, v
    first = (low[faces].amin(1) - 0.5).ceil().clamp(0, lens.height).long()
    last = (high[faces].amax(1) - 0.5).floor().clamp(-1, lens.height - 1).long()
    rows = (last - first + 1).clamp(min=0)
    return first, torch.where(behind[faces].all(1), 0, rows)


def _spans(edges: Tensor, row: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return (R,) the first pixel and the number of pixels of a row inside all three edges."""
    slope, rest = edges[..., 0], edges[..., 1] * (row + 0.5)[:, None] + edges[..., 2]
    crossing = -rest / slope
    low = torch.where(slope > 0, crossing, -torch.inf)
    low = torch.where((slope == 0) & (rest < 0), torch.inf, low).amax(1)
    high = torch.where(slope < 0, crossing, torch.inf).amin(1)
    first = (low - 0.5).ceil().clamp(0, width).long()
    last = (high - 0.5).floor().clamp(-1, width - 1).long()
    return first, (last - first + 1).clamp(min=0)


def _at(planes: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return affine functions (..., K, 3) at the centres of the pixels u, v (K,)."""
    return planes[..., 0] * (u + 0.5) + planes[..., 1] * (v + 0.5) + planes[..., 2]


def _parts(counts: Tensor, limit: int) -> Iterator[slice]:
    """Cut (M,) counts into runs that add up to `limit` at most, or are one alone."""
    ends = counts.cumsum(0)
    start, done = 0, 0
    while start < len(counts):
        stop = int(torch.searchsorted(ends, done + limit, right=True))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start, done = stop, int(ends[stop - 1])


def _expand(counts: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """Return for the K items of a run which index of `counts` each is of, and its place there."""
    counts = counts[part]
    owner = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    place = torch.arange(len(owner), device=counts.device) - (counts.cumsum(0) - counts)[owner]
    return owner + part.start, place


def _visible(nearest: Tensor, edges: Tensor, lens: Camera | Orthographic) -> Visible:
    """Take the keys of the z-buffer apart."""
    empty = nearest == _EMPTY
    depth_m = (nearest >> 32).to(torch.int32).view(torch.float32)
    depth_m = depth_m.masked_fill(empty, torch.inf).reshape(lens.height, lens.width)
    face = (nearest & 0xFFFFFFFF).masked_fill(empty, -1).reshape(lens.height, lens.width)
    return Visible(depth_m, face, edges)
