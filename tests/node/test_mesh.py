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

from __future__ import annotations

from mahmr_model.body.data import BodyData, load_body, OPEN_BODY
from mahmr_model.errors import UserError
from mahmr_msgs.msg import HumanArray
from mahmr_node import mesh
from mahmr_node.mesh import reduce_mesh
import numpy as np
import pytest
from ros_tools import Rig
import stand_in
from visualization_msgs.msg import MarkerArray


@pytest.mark.parametrize('target', [10_000, 3000, 300])
def test_reduced_mesh(target: int) -> None:
    """As many triangles as asked for, closed, over vertices of the body, of the body's size."""
    body = load_body(OPEN_BODY)
    kept, faces = reduce_mesh(body.v_template, body.faces, target)
    assert target * 0.9 <= len(faces) <= target
    assert len(np.unique(kept)) == len(kept) == faces.max() + 1 == len(np.unique(faces))
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, sides = np.unique(edges, axis=0, return_counts=True)
    assert (sides % 2 == 0).all(), 'the surface has holes'
    reduced = body.v_template[kept]
    for extent in (np.min, np.max):
        assert np.abs(extent(reduced, axis=0) - extent(body.v_template, axis=0)).max() < 0.03
    assert turned(body, kept, faces) < 20, 'triangles are inside out'
    assert volume(reduced, faces) == pytest.approx(volume(body.v_template, body.faces), rel=0.15)


def turned(body: BodyData, kept: np.ndarray, faces: np.ndarray) -> int:
    """Return how many triangles look another way than the body does where their corners are."""

    def normals(points_m: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        a, b, c = (points_m[triangles[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    at_vertices = np.zeros_like(body.v_template)
    for corner in range(3):
        np.add.at(at_vertices, body.faces[:, corner], normals(body.v_template, body.faces))
    wanted = at_vertices[kept][faces].mean(axis=1)
    return int(((normals(body.v_template[kept], faces) * wanted).sum(axis=1) < 0).sum())


def volume(points_m: np.ndarray, faces: np.ndarray) -> float:
    """Return what a closed mesh holds, cubic metres; negative where it is inside out."""
    a, b, c = (points_m[faces[:, i]].astype(np.float64) for i in range(3))
    return float(np.einsum('ij,ij->', a, np.cross(b, c)) / 6)


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library it is said what to install."""
    monkeypatch.setattr(mesh, 'PACKAGE', 'no_such_package')
    with pytest.raises(UserError, match='needs the Python package fast-simplification'):
        reduce_mesh(stand_in.SHAPE_M, stand_in.FACES, 2)


def test_published(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameter acts on markers and HumanArray, while the node runs and both ways."""
    monkeypatch.setenv(stand_in.BODY, 'open')
    stand_in.mesh.cache_clear()
    shape_m, all_faces = stand_in.mesh()
    stand_in.mesh.cache_clear()
    rig.start_node()
    camera, humans = rig.camera(), rig.humans()
    markers = rig.collect(MarkerArray, '/mahmr/camera/markers')
    for wanted in (0, 600, 0):
        assert rig.set(mesh_faces=wanted).successful
        message: HumanArray = rig.exchange(camera, humans, people=1)
        faces = np.array(message.faces).reshape(-1, 3)
        vertices_m = np.array(message.humans[0].vertices_m).reshape(-1, 3)
        assert len(faces) == (len(all_faces) if not wanted else 600)
        assert faces.max() + 1 == len(vertices_m)
        full_m = (stand_in.PLACES_M[0] + shape_m).astype(np.float32)
        assert set(map(tuple, vertices_m.astype(np.float32))) <= set(map(tuple, full_m))
        triangles = rig.exchange(camera, markers, people=1).markers[1].points
        assert len(triangles) == 3 * len(faces)
