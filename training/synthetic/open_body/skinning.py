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

"""Soft skinning weights, and the joints' transforms on plain arrays."""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_PARENTS
import numpy as np
from scipy import sparse
from training.synthetic.open_body.anny_source import Array, Indices
from training.synthetic.open_body.topology import edges_of

_LEAST_WEIGHT = 1e-3


def neighbour_means(triangles: Indices, vertices: int) -> sparse.csr_matrix:
    """Return the matrix (V, V) that gives each vertex the mean of its neighbours."""
    edges = edges_of(triangles)  # a closed skin has every edge in both directions
    ones = sparse.csr_matrix((np.ones(len(edges)), edges.T), (vertices, vertices))
    return sparse.diags(1 / np.asarray(ones.sum(1)).ravel()) @ ones


def soften(weights: Array, means: sparse.csr_matrix, rounds: int) -> Array:
    """
    Spread weights (V, 24) over the mesh; each round goes half the way to the neighbours' mean.

    Twenty-four joints bend where Anny's hundred do, so each must bend over a longer stretch.
    """
    soft = weights
    for _ in range(rounds):
        soft = (soft + means @ soft) / 2
    soft = np.where(soft < _LEAST_WEIGHT, 0, soft)
    softened: Array = soft / soft.sum(1, keepdims=True)
    return softened


def joint_transforms(rotations: Array, joints_m: Array) -> tuple[Array, Array]:
    """
    Chain `rotations` (24, 3, 3), each relative to its parent, of joints (24, 3) in metres.

    Returns rotations (24, 3, 3) and shifts (24, 3) of body space: x ↦ R·x + t.
    """
    world = rotations.copy()
    placed = joints_m.copy()
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            world[joint] = world[parent] @ rotations[joint]
            placed[joint] = placed[parent] + world[parent] @ (joints_m[joint] - joints_m[parent])
    return world, placed - np.einsum('jab,jb->ja', world, joints_m)


def pose_skin(template_m: Array, joints_m: Array, weights: Array, pose: Array) -> Array:
    """Linear blend skinning: the template (V, 3) in a pose (24, 3, 3), plain (V, 3)."""
    world, shifts = joint_transforms(pose, joints_m)
    blend = np.tensordot(weights, world, 1)
    skinned: Array = np.einsum('vab,vb->va', blend, template_m) + weights @ shifts
    return skinned
