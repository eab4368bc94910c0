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

"""Pose correctives: what linear blend skinning gets wrong at a bent joint, as SMPL stores it."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import SMPL_PARENTS
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from training.synthetic.open_body.anny_source import Array, Indices
from training.synthetic.open_body.skinning import (
    joint_transforms,
    neighbour_means,
    pose_skin,
    soften,
)
from training.synthetic.open_body.topology import edges_of

FEATURES = 9 * (len(SMPL_PARENTS) - 1)

_FIELD_ROUNDS = 20  # how much smoother than the weights the field of rotations is
_ANCHOR = 0.1  # pull towards plain skinning: the rest of the shape stays where it is
_DAMPING = 0.05  # where skinning collapses, it cannot be undone: go only part of the way
_RIDGE = 1e-3
_REACH_WEIGHT = 0.01
_REACH_ROUNDS = 4


@dataclass(frozen=True)
class Skinned:
    """A body to be corrected: template (V, 3), joints (24, 3), weights (V, 24), triangles."""

    template_m: Array
    joints_m: Array
    weights: Array
    triangles: Indices


def fit_correctives(body: Skinned, poses: Array) -> Array:
    """
    Return posedirs (V, 3, 207), fitted to `poses` (N, 24, 3, 3) whose root is not turned.

    The aim at each pose: every edge of the template turned by a smooth field of rotations, put
    together by a Poisson solve. The offsets from plain skinning are then fitted, vertex by
    vertex, by ridge regression on the rotations (less the identity) of the joints nearby.
    """
    offsets = _offsets(body, poses)
    features = (poses[:, 1:] - np.eye(3)).reshape(len(poses), FEATURES)
    groups: dict[bytes, list[int]] = {}
    reach = reached_vertices(body)
    for vertex, joints in enumerate(reach):
        groups.setdefault(joints.tobytes(), []).append(vertex)
    posedirs = np.zeros((len(reach), 3, FEATURES))
    for vertices in groups.values():
        columns = np.flatnonzero(np.repeat(reach[vertices[0], 1:], 9))
        if not len(columns):
            continue
        x = features[:, columns]
        y = offsets[:, vertices].reshape(len(poses), -1)
        ridge = _RIDGE * len(poses) * np.eye(len(columns))
        fitted = np.linalg.solve(x.T @ x + ridge, x.T @ y).T
        posedirs[np.ix_(np.array(vertices), np.arange(3), columns)] = fitted.reshape(
            len(vertices), 3, -1
        )
    return posedirs


def reached_vertices(body: Skinned) -> Array:
    """Mark (V, 24) where a joint's bend shows: it and its parent both weigh there, or nearby."""
    means = neighbour_means(body.triangles, len(body.weights))
    reach = np.zeros(body.weights.shape, bool)
    for joint, parent in enumerate(SMPL_PARENTS):
        if parent >= 0:
            both = np.minimum(body.weights[:, joint], body.weights[:, parent])
            near = (both > _REACH_WEIGHT).astype(float)
            for _ in range(_REACH_ROUNDS):
                near = near + means @ near
            reach[:, joint] = near > 0
    return reach


def _offsets(body: Skinned, poses: Array) -> Array:
    """Offsets (N, V, 3) of the template that bring skinning to the aim at each pose."""
    vertices = len(body.template_m)
    edges = edges_of(body.triangles)
    edges = edges[edges[:, 0] < edges[:, 1]]
    count = np.arange(len(edges))
    ends = sparse.csr_matrix((np.ones(len(edges)), (count, edges[:, 0])), (len(edges), vertices))
    ends -= sparse.csr_matrix((np.ones(len(edges)), (count, edges[:, 1])), (len(edges), vertices))
    solver = splu((ends.T @ ends + _ANCHOR * sparse.eye(vertices)).tocsc())
    field = soften(body.weights, neighbour_means(body.triangles, vertices), _FIELD_ROUNDS)
    field = (field[edges[:, 0]] + field[edges[:, 1]]) / 2
    spans = ends @ body.template_m
    offsets = np.empty((len(poses), vertices, 3))
    for i, pose in enumerate(poses):
        world, _ = joint_transforms(pose, body.joints_m)
        blend = np.tensordot(body.weights, world, 1)
        skinned = pose_skin(body.template_m, body.joints_m, body.weights, pose)
        turned = np.einsum('eab,eb->ea', _nearest_rotations(np.tensordot(field, world, 1)), spans)
        aim = solver.solve(ends.T @ turned + _ANCHOR * skinned)
        back = np.swapaxes(blend, 1, 2)
        squared = back @ blend + _DAMPING * np.eye(3)
        offsets[i] = np.linalg.solve(squared, back @ (aim - skinned)[..., None])[..., 0]
    return offsets


def _nearest_rotations(matrices: Array) -> Array:
    u, _, vt = np.linalg.svd(matrices)
    u[..., 2] *= np.linalg.det(u @ vt)[..., None]
    rotations: Array = u @ vt
    return rotations
