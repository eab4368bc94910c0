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

"""Coarser meshes for messages: fewer triangles, over a choice of the vertices."""

from __future__ import annotations

from dataclasses import replace
import importlib.util

from mahmr_model.errors import UserError
from mahmr_model.types import FloatArray, IntArray, People
import numpy as np

PACKAGE = 'fast_simplification'

# How fast the library lets collapses become worse. Its default of 7 turns 41 of 3000 triangles of
# the open body inside out, 4 turns 7; below that it ends before few triangles are left.
AGGRESSIVENESS = 4

MISSING = (
    'mesh_faces needs the Python package fast-simplification, which is not installed; install it '
    'with pip, or set mesh_faces to 0'
)


def can_reduce() -> bool:
    """Whether the library that makes coarser meshes is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


class MeshReducer:
    """
    Brings the meshes of people to fewer triangles.

    Which vertices stay and how triangles join them is found once, by quadric edge collapses
    (Garland and Heckbert, "Surface simplification using quadric error metrics", 1997) of the
    body at rest; in each pose the vertices that stay are then exactly where the network has them.
    """

    def __init__(self, rest_vertices_m: FloatArray, faces: IntArray) -> None:
        """Take the body at rest: its vertices (V, 3) in metres, and its triangles (F, 3)."""
        self._rest_vertices_m = rest_vertices_m
        self._faces = faces
        self._target = 0
        self._reduced: tuple[IntArray, IntArray] | None = None

    def __call__(self, people: People, target: int) -> People:
        """
        Return the people with meshes of about `target` triangles; 0 leaves them as they are.

        :raises UserError: where the library that does it is not installed.
        """
        if not target or target >= len(self._faces):
            return people
        if self._reduced is None or self._target != target:
            self._reduced = reduce_mesh(self._rest_vertices_m, self._faces, target)
            self._target = target
        kept, faces = self._reduced
        return replace(people, vertices_camera_m=people.vertices_camera_m[:, kept], faces=faces)


def reduce_mesh(vertices_m: FloatArray, faces: IntArray, target: int) -> tuple[IntArray, IntArray]:
    """
    Return which vertices (K,) a mesh of about `target` triangles keeps, and those triangles.

    The triangles (T, 3) index the K vertices. Of the vertices that were collapsed into one, the
    one nearest to it stands for them.
    """
    if not can_reduce():
        raise UserError(f'{MISSING}.')
    import fast_simplification

    points = np.ascontiguousarray(vertices_m, np.float32)
    triangles = np.ascontiguousarray(faces, np.int32)
    *_, collapses = fast_simplification.simplify(
        points, triangles, target_count=target, return_collapses=True, agg=AGGRESSIVENESS
    )
    merged, reduced, owner = fast_simplification.replay_simplification(
        points, triangles, collapses
    )
    far_first = np.argsort(-np.linalg.norm(points - merged[owner], axis=1), kind='stable')
    kept = np.zeros(len(merged), np.int64)
    kept[owner[far_first]] = far_first
    return kept, reduced.astype(np.int64)
