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

"""The sample pipeline's costly parts written plainly: what tests and benchmark compare with."""

from __future__ import annotations

from mahmr_model.body.layer import BodyLayer
from mahmr_model.encoder.cells import morton_codes
import numpy as np
import torch
from training.data.annotation import Floats, Ints
from training.data.scale_map import CELL_PX


def subdivided(vertices: Floats, faces: Ints) -> Floats:
    """Return the vertices of a mesh after each triangle is cut into four, edge by edge."""
    pairs = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique = np.unique(pairs, axis=0)
    return np.concatenate([vertices, vertices[unique].mean(1)])


def scale_map_by_loops(
    meshes_m: Floats,
    faces: Ints,
    intrinsics: Floats,
    size_hw: tuple[int, int],
    diagonals: Floats,
    depths: Floats,
) -> Floats:
    """Return the scale map (N, 2) of meshes (P, V, 3) in Morton order, painted point by point."""
    rows, columns = -(-size_hw[0] // CELL_PX), -(-size_hw[1] // CELL_PX)
    painted = np.zeros((rows + rows % 2, columns + columns % 2, 2), np.float32)
    for person in np.argsort(-depths):
        points = subdivided(meshes_m[person], faces) @ intrinsics.T
        pixels = points[:, :2] / points[:, 2:]
        for x, y in pixels:
            column = min(max(int(x / CELL_PX), 0), columns - 1)
            row = min(max(int(y / CELL_PX), 0), rows - 1)
            painted[row, column] = (1, min(1.0, diagonals[person]))
    codes = morton_codes(max(painted.shape[:2])).numpy()
    cells = sorted(np.ndindex(painted.shape[:2]), key=lambda cell: codes[cell])
    return np.array([painted[cell] for cell in cells])


def posed_one_by_one(
    layer: BodyLayer, rotations: torch.Tensor, betas: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return joints, vertices and heights, each person posed twice: in pose and at rest."""
    joints, vertices, heights = [], [], []
    rest = torch.eye(3).expand(1, 24, 3, 3)
    for rotation, shape in zip(rotations.split(1), betas.split(1), strict=True):
        posed = layer(rotation, shape)
        still = layer(rest, shape).vertices[..., 1]
        joints.append(posed.joints)
        vertices.append(posed.vertices)
        heights.append(still.amax(1) - still.amin(1))
    return torch.cat(joints), torch.cat(vertices), torch.cat(heights)
