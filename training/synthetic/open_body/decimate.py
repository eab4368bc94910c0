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

"""Fewer triangles by collapsing edges onto one of their ends, left and right alike."""

from __future__ import annotations

import heapq

import numpy as np
from training.synthetic.open_body.anny_source import Array, Indices
from training.synthetic.open_body.topology import Skin

# Weight of an edge's squared length beside the quadric error: keeps triangles of like size.
_LENGTH_WEIGHT = 2e-3
_LEAST_NEIGHBOURS, _MOST_NEIGHBOURS = 3, 9
_LEAST_NORMAL_DOT = 0.3
_LEAST_ROUNDNESS = 0.12


def decimate(vertices_m: Array, skin: Skin, target: int) -> Indices:
    """
    Collapse edges until `target` vertices are left; return the triangles (F, 3).

    Half-edge collapses by the quadric error (Garland and Heckbert, SIGGRAPH 1997) choose which
    vertices of the source survive, so that all its shapes carry over as they are.
    """
    return _Collapser(vertices_m, skin).run(target)


class _Collapser:
    """Collapses edges, the cheapest first, on both sides of the body alike."""

    def __init__(self, vertices_m: Array, skin: Skin) -> None:
        self._v = vertices_m
        self._mirror = skin.mirror
        self._alive = len(skin.used)
        self._faces: list[tuple[int, int, int] | None] = [
            (int(a), int(b), int(c)) for a, b, c in skin.triangles
        ]
        self._at: dict[int, set[int]] = {int(i): set() for i in skin.used}
        for n, face in enumerate(self._faces):
            for i in face or ():
                self._at[i].add(n)
        self._quadrics = self._make_quadrics(skin.triangles)
        self._stamp = dict.fromkeys(self._at, 0)
        self._heap: list[tuple[float, int, int, int, int]] = []

    def _make_quadrics(self, triangles: Indices) -> Array:
        a, b, c = (self._v[triangles[:, i]] for i in range(3))
        cross = np.cross(b - a, c - a)
        area2 = np.linalg.norm(cross, axis=1, keepdims=True)
        normal = cross / np.maximum(area2, 1e-12)
        plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], 1)
        each = plane[:, :, None] * plane[:, None] * (area2[..., None] / 6)
        quadrics = np.zeros((len(self._v), 4, 4))
        for i in range(3):
            np.add.at(quadrics, triangles[:, i], each)
        return quadrics

    def run(self, target: int) -> Indices:
        for u in self._at:
            self._push(u)
        while self._alive > target and self._heap:
            _, u, v, stamp_u, stamp_v = heapq.heappop(self._heap)
            if self._stamp.get(u) != stamp_u or self._stamp.get(v) != stamp_v:
                continue
            pair = (int(self._mirror[u]), int(self._mirror[v]))
            near = self._neighbours(u)
            if pair[0] != u and (pair[0] in near or not near.isdisjoint({pair[1]} - {v})):
                continue
            if self._allowed(u, v):
                self._collapse(u, v)
                if pair[0] != u and self._allowed(*pair):
                    self._collapse(*pair)
        return np.array([f for f in self._faces if f is not None])

    def _neighbours(self, u: int) -> set[int]:
        return {i for n in self._at[u] for i in self._faces[n] or ()} - {u}

    def _push(self, u: int) -> None:
        """Offer every collapse of `u`; of two mirrored ones only the left."""
        on_middle = self._mirror[u] == u
        if self._v[u, 0] < 0:
            return
        for v in self._neighbours(u):
            if on_middle and self._mirror[v] != v:
                continue
            q = self._quadrics[u] + self._quadrics[v]
            p = np.append(self._v[v], 1.0)
            gap = self._v[u] - self._v[v]
            length2 = float(gap @ gap)
            cost = float(p @ q @ p) + _LENGTH_WEIGHT * length2**2
            heapq.heappush(self._heap, (cost, u, v, self._stamp[u], self._stamp[v]))

    def _allowed(self, u: int, v: int) -> bool:
        if u not in self._at or v not in self._at:
            return False
        near_u, near_v = self._neighbours(u), self._neighbours(v)
        if v not in near_u or len(near_u & near_v) != 2:
            return False
        if not _LEAST_NEIGHBOURS <= len(near_u | near_v) - 2 <= _MOST_NEIGHBOURS:
            return False
        moved = [f for n in self._at[u] if (f := self._faces[n]) and v not in f]
        old = self._v[np.array(moved)]
        new = self._v[np.array([[v if i == u else i for i in f] for f in moved])]
        before, after = (np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]) for t in (old, new))
        sizes = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        if ((before * after).sum(1) < _LEAST_NORMAL_DOT * sizes).any():
            return False
        longest = np.linalg.norm(new - np.roll(new, 1, axis=1), axis=2).max(1)
        was_longest = np.linalg.norm(old - np.roll(old, 1, axis=1), axis=2).max(1)
        round_new = np.linalg.norm(after, axis=1) / longest**2
        round_old = np.linalg.norm(before, axis=1) / was_longest**2
        return bool((round_new > np.minimum(_LEAST_ROUNDNESS, round_old)).all())

    def _collapse(self, u: int, v: int) -> None:
        around = self._neighbours(u) | self._neighbours(v)
        for n in list(self._at[u]):
            face = self._faces[n]
            assert face is not None
            if v in face:
                for i in face:
                    self._at[i].discard(n)
                self._faces[n] = None
            else:
                a, b, c = (v if i == u else i for i in face)
                self._faces[n] = (a, b, c)
                self._at[v].add(n)
        self._quadrics[v] += self._quadrics[u]
        del self._at[u], self._stamp[u]
        self._alive -= 1
        around.discard(u)
        for i in around:
            self._stamp[i] += 1
        for i in around:
            self._push(i)
