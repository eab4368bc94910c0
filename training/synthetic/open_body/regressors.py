"""Joints as weighted means of vertices: SMPL's 24, Human3.6M's 17 and nine extra ones."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from mahmr_model.body.joints import EXTRA_JOINT_VERTICES, SMPL_JOINT_NAMES
from training.synthetic.open_body.anny_source import Array, Indices
from training.synthetic.open_body.shape_space import ShapeSpace

_NEIGHBOURS = 250
_TEMPLATE_WEIGHT = 100.0
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


def fit_joints(space: ShapeSpace, bodies_m: Array, joints_m: Array) -> Array:
    """
    Return the regressor (24, V) of joints (B, 24, 3) in `bodies_m` (B, V, 3), pelvis at 0.

    Weights are positive, sum to 1 and sit near their joint. They are fitted to where the joint
    goes along each axis of shape, and much more strongly to where it lies in the template.
    """
    betas = space.fit(bodies_m)
    ones = np.column_stack([np.ones(len(betas)), betas])
    flat = np.linalg.lstsq(ones, joints_m.reshape(len(betas), -1), rcond=None)[0].astype(
        np.float64
    )
    paths = flat.reshape(len(flat), -1, 3)  # (12, 24, 3): in the template, along each axis
    basis = np.concatenate([space.template_m[None], np.moveaxis(space.axes_m, 2, 0)])
    return np.stack([_fit_one(basis, paths[:, j]) for j in range(paths.shape[1])])


def _fit_one(basis: Array, path: Array) -> Array:
    near = np.argsort(np.linalg.norm(basis[0] - path[0], axis=1))[:_NEIGHBOURS]
    scale = np.ones(len(basis))
    scale[0] = _TEMPLATE_WEIGHT
    # Seen from the joint, so that the weighted sum is 0 in the template whatever the weights' sum.
    seen = basis[:, near] - np.where(np.arange(len(basis)) == 0, 1, 0)[:, None, None] * path[0]
    wanted = path.copy()
    wanted[0] = 0
    rows = (seen * scale[:, None, None]).transpose(0, 2, 1).reshape(-1, len(near))
    target = (wanted * scale[:, None]).ravel()
    sums = np.full((1, len(near)), _TEMPLATE_WEIGHT)
    rows = np.concatenate([rows, sums, np.eye(len(near)) * _SPREAD])
    target = np.concatenate([target, [_TEMPLATE_WEIGHT], np.zeros(len(near))])
    weights = nnls(rows, target)[0]
    regressor = np.zeros(basis.shape[1])
    regressor[near] = weights / weights.sum()
    return regressor


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
