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

"""The scale map and the worker's body against the straightforward way."""

from __future__ import annotations

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import numpy as np
import pytest
import torch
from training.data.posing import WorkerBodies
from training.data.scale_map import box_cells, covered_cells, edges, grid_size, scale_map
from training.data.straightforward import posed_one_by_one, scale_map_by_loops, subdivided


@pytest.fixture(scope='module')
def crowd() -> tuple[torch.Tensor, torch.Tensor]:
    """Give rotations and shapes of seven people."""
    generator = torch.Generator().manual_seed(3)
    angles = 0.3 * torch.randn(7, 24, 3, generator=generator)
    return rotation_from_axis_angle(angles), torch.randn(7, 11, generator=generator)


def test_worker_body_is_the_body_layer(
    open_bodies: WorkerBodies, crowd: tuple[torch.Tensor, torch.Tensor]
) -> None:
    rotations, betas = crowd
    layer = BodyLayer(load_body(OPEN_BODY), kid=True)
    expected_joints, expected_vertices, expected_heights = posed_one_by_one(
        layer, rotations, betas
    )
    genders = ('male', 'female', 'neutral', 'male', 'neutral', 'female', 'male')
    meshes = open_bodies.meshes(rotations, betas, genders)
    torch.testing.assert_close(meshes.transpose(1, 2), expected_vertices, atol=3e-6, rtol=0)
    joints = open_bodies.joints(rotations, betas, genders)
    torch.testing.assert_close(joints, expected_joints, atol=3e-6, rtol=0)
    heights = open_bodies.heights(betas, genders)
    torch.testing.assert_close(heights, expected_heights, atol=3e-6, rtol=0)


@pytest.mark.parametrize('size_hw', [(252, 448), (448, 299), (448, 448), (28, 448)])
def test_scale_map_equals_the_straightforward_one(
    size_hw: tuple[int, int], open_bodies: WorkerBodies, crowd: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """People overlap, stand behind one another, and reach over every border."""
    rotations, betas = crowd
    rng = np.random.default_rng(size_hw[0])
    depth = rng.uniform(2, 9, 7)
    place = np.stack([rng.uniform(-0.5, 0.5, 7) * depth, rng.uniform(-0.3, 0.3, 7) * depth, depth])
    meshes = open_bodies.meshes(rotations, betas, ('neutral',) * 7)
    meshes = meshes + torch.from_numpy(place.T).float()[:, :, None]
    intrinsics = torch.tensor(
        [[[400.0, 0, size_hw[1] / 2], [0, 400.0, size_hw[0] / 2], [0, 0, 1]]]
    )
    diagonals = rng.uniform(0.1, 1.3, 7)

    grid = grid_size(size_hw)
    cells = covered_cells(meshes, edges(open_bodies.faces), intrinsics, grid)
    fast = scale_map(cells, diagonals, depth, grid)
    slow = scale_map_by_loops(
        meshes.transpose(1, 2).numpy(),
        open_bodies.faces.numpy(),
        intrinsics[0].numpy(),
        size_hw,
        diagonals,
        depth,
    )
    assert fast.shape == slow.shape
    np.testing.assert_allclose(fast, slow, atol=1e-6)
    assert fast[:, 0].sum() > 0
    assert len(np.unique(fast[:, 1])) > 3  # several people are in sight


def test_edges_are_those_of_the_subdivided_mesh(open_bodies: WorkerBodies) -> None:
    vertices = load_body(OPEN_BODY).v_template
    faces = open_bodies.faces.numpy()
    first, last = edges(open_bodies.faces).numpy()
    ours = np.concatenate([vertices, (vertices[first] + vertices[last]) / 2])
    theirs = subdivided(vertices, faces)
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


def test_the_nearer_person_is_painted_over_the_farther() -> None:
    cells = np.array([[0, 1], [1, 2]])
    painted = scale_map(cells, np.array([0.2, 1.7]), np.array([3.0, 4.0]), (1, 3))
    # One row of three cells becomes 2 × 4; Morton order goes through 2 × 2 blocks.
    expected = [[1, 0.2], [1, 0.2], [0, 0], [0, 0], [1, 1], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_allclose(painted, expected)


def test_boxes_cover_their_cells_and_no_others() -> None:
    cells = box_cells(np.array([[42.0, 28.0, 20.0, 100.0], [300.0, 10.0, 2.0, 2.0]]), (2, 4))
    assert set(cells[0]) == {1, 5}
    assert set(cells[1]) == {3}
