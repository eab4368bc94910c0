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

"""Joints as weighted means of vertices: SMPL's 24, Human3.6M's 17 and nine extra ones."""

from __future__ import annotations

from mahmr_model.body.joints import EXTRA_JOINT_VERTICES, SMPL_JOINT_NAMES
import numpy as np
from scipy.optimize import nnls
from training.synthetic.open_body.anny_source import Array, Indices
from training.synthetic.open_body.shape_space import ShapeSpace

_NEIGHBOURS = 600
_TEMPLATE_WEIGHT = 100.0
_POSED_WEIGHT = 0.1
_SPREAD = 1e-3  # prefers many small weights to few large ones

_CROWN = 'crown'
# Human3.6M's joints in its own order (right leg first), from SMPL's joints and picked points.
H36M_JOINTS: tuple[tuple[str, ...], ...] = (
    ('pelvis',),
    ('right_hip',), ('right_knee',), ('right_ankle',),
    ('left_hip',), ('left_knee',), ('left_ankle',),
    ('spine2',), ('neck',), ('head', 'nose'), (_CROWN,),
    ('left_shoulder',), ('left_elbow',), ('left_wrist',),
    ('right_shoulder',), ('right_elbow',), ('right_wrist',),
)  # fmt: skip
# LSP's hips, neck and top of the head; MPII's pelvis and thorax; H36M's spine, jaw and head.
EXTRA_JOINTS: tuple[tuple[str, ...], ...] = (
    ('right_hip',), ('left_hip',), ('neck',), (_CROWN,),
    ('left_hip', 'right_hip'), ('neck', 'neck', 'left_shoulder', 'right_shoulder'),
    ('spine2',), ('head', 'nose'), (_CROWN,),
)  # fmt: skip


def joint_paths(space: ShapeSpace, bodies_m: Array, joints_m: Array) -> Array:
    """
    Return (12, 24, 3) where joints lie in the template, then how far they go along each axis.

    Fitted to joints (B, 24, 3) of `bodies_m` (B, V, 3), all with the pelvis at the origin.
    """
    betas = space.fit(bodies_m)
    ones = np.column_stack([np.ones(len(betas)), betas])
    flat = np.linalg.lstsq(ones, joints_m.reshape(len(betas), -1), rcond=None)[0]
    return flat.astype(np.float64).reshape(len(flat), -1, 3)


def fit_joints(space: ShapeSpace, paths: Array, posed_m: Array, posed_joints_m: Array) -> Array:
    """
    Return the regressor (24, V) of the joints with the `paths` (12, 24, 3).

    Weights are positive, sum to 1 and sit near their joint. Most of all they give the joint's
    place in the template, then its way along each axis of shape, and where it is in posed
    templates (P, V, 3) and (P, 24, 3): regressors are also used on posed people.
    """
    axes = np.moveaxis(space.axes_m, 2, 0)
    return np.stack(
        [
            _fit_one(space.template_m, axes, path, posed_m, posed)
            for path, posed in zip(
                np.moveaxis(paths, 1, 0), np.moveaxis(posed_joints_m, 1, 0), strict=True
            )
        ]
    )


def _fit_one(template: Array, axes: Array, path: Array, posed: Array, at: Array) -> Array:
    near = np.argsort(np.linalg.norm(template - path[0], axis=1))[:_NEIGHBOURS]
    # Points are seen from the joint, so that the weighted sum is 0 whatever the weights' sum.
    rows = np.concatenate(
        [
            _TEMPLATE_WEIGHT * (template[near] - path[0]).T,
            _by_coordinate(axes[:, near]),
            _POSED_WEIGHT * _by_coordinate(posed[:, near] - at[:, None]),
            np.full((1, len(near)), _TEMPLATE_WEIGHT),
            np.eye(len(near)) * _SPREAD,
        ]
    )
    target = np.zeros(len(rows))
    target[slice(3, 3 + path[1:].size)] = path[1:].ravel()
    target[-len(near) - 1] = _TEMPLATE_WEIGHT
    weights = nnls(rows, target)[0]
    regressor = np.zeros(len(template))
    regressor[near] = weights / weights.sum()
    return regressor


def _by_coordinate(points: Array) -> Array:
    """Return rows (3·K, V) of points (K, V, 3)."""
    return points.transpose(0, 2, 1).reshape(-1, points.shape[1])


def combine(
    recipes: tuple[tuple[str, ...], ...], joint_regressor: Array, extra_ids: Indices, crown: int
) -> Array:
    """Return a regressor (len(recipes), V): each row the mean of named joints and points."""
    vertices = joint_regressor.shape[1]
    rows = dict(zip(SMPL_JOINT_NAMES, joint_regressor, strict=True))
    points = dict(zip(EXTRA_JOINT_VERTICES, extra_ids, strict=True)) | {_CROWN: crown}
    for name, vertex in points.items():
        rows[name] = np.eye(1, vertices, int(vertex))[0]
    return np.stack([np.mean([rows[name] for name in recipe], axis=0) for recipe in recipes])
