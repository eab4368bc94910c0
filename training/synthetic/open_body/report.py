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

"""How good the open body is, in numbers (report.json) and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mahmr_model.body.data import BodyData
from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.body.layer import BodyLayer
import numpy as np
import torch
from training.synthetic.open_body.anny_source import (
    ADULT_AGES_YEARS,
    ANNY_VERSION,
    Array,
    CHILD_AGES_YEARS,
)
from training.synthetic.open_body.build import OpenBody, Sampler
from training.synthetic.open_body.checks import as_tensor, damage, winding_numbers
from training.synthetic.open_body.pictures import write_pictures
from training.synthetic.open_body.poses import random_poses
from training.synthetic.open_body.refine import random_shapes
from training.synthetic.open_body.shape_space import SHAPES, ShapeSpace
from training.synthetic.open_body.topology import is_closed, volume_m3
from training.synthetic.scenes.people import draw_people
from training.synthetic.scenes.rotations import matrices

ADULTS, CHILDREN, POSES, SHAPES_DRAWN = 1000, 300, 1000, 5000
_BRACKETS_YEARS = ((0.5, 2.0), (2.0, 6.0), (6.0, 12.0), (12.0, 17.0))
_BRACKET_SIZE = 100
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Other people and poses than the body was made from, whatever its seed.
_SEED = 20_240_607
_GROUP = 4
"""People of a scene, who lean to the same categories of poses."""


def write_report(folder: Path, made: OpenBody) -> None:
    """Write report.json and the pictures to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(_SEED)
    adults, adult_joints = made.sampler.draw(ADULTS, ADULT_AGES_YEARS)
    children, child_joints = made.sampler.draw(CHILDREN, CHILD_AGES_YEARS)
    adult_betas, child_betas = made.space.fit_adults(adults), made.space.fit(children)
    numbers = {
        'source': f'anny {ANNY_VERSION}',
        'mesh': _mesh(made.body),
        'adults': _fit(made, adults, adult_joints, adult_betas),
        'children': _fit(made, children, child_joints, child_betas),
        'children_by_age_years': _brackets(made.space, made.sampler),
        'child_axis': {
            'stature_at_0_m': _heights(made.body, np.zeros((1, 11)))[0],
            'stature_at_1_m': _heights(made.body, np.eye(11)[10:])[0],
        },
        'stature_quantiles_m': _statures(made.body, adults),
        'poses': _poses(made.body, *_random_people()),
        'scene_poses': _poses(made.body, *_people_of_scenes()),
        'joints_inside': _inside(made.body),
    }
    text = json.dumps(_rounded(numbers), indent=2) + '\n'
    (folder / 'report.json').write_text(text, encoding='utf-8')
    write_pictures(folder, made.body, children[:6], child_betas[:6], made.space)


def _mesh(body: BodyData) -> dict[str, Any]:
    template = body.v_template.astype(np.float64)
    return {
        'vertices': len(template),
        'triangles': len(body.faces),
        'closed_two_manifold': is_closed(body.faces),
        'volume_l': 1000 * volume_m3(template, body.faces),
    }


def _fit(made: OpenBody, bodies: Array, joints: Array, betas: Array) -> dict[str, Any]:
    """Compare people with the nearest bodies of the shape space, both with the pelvis at 0."""
    fitted = made.space.bodies(betas)
    errors = 1000 * np.linalg.norm(fitted - bodies, axis=2)
    fitted_joints = np.einsum('jv,bvc->bjc', made.body.joint_regressor, fitted)
    joint_errors = 1000 * np.linalg.norm(fitted_joints - joints, axis=2)
    own_joints = np.einsum('jv,bvc->bjc', made.body.joint_regressor, bodies)
    return {
        'people': len(bodies),
        'mean_vertex_error_mm': errors.mean(),
        'mean_vertex_error_of_the_worst_twentieth_mm': np.quantile(errors.mean(1), 0.95),
        'mean_joint_error_mm': joint_errors.mean(),
        'joint_regressor_error_mm': 1000 * np.linalg.norm(own_joints - joints, axis=2).mean(),
        'joint_error_mm': dict(zip(SMPL_JOINT_NAMES, joint_errors.mean(0), strict=True)),
        'betas_mean': betas.mean(0),
        'betas_std': betas.std(0),
    }


def _brackets(space: ShapeSpace, sampler: Sampler) -> dict[str, Any]:
    found = {}
    for low, high in _BRACKETS_YEARS:
        bodies = sampler.draw(_BRACKET_SIZE, (low, high))[0]
        betas = space.fit(bodies)
        errors = np.linalg.norm(space.bodies(betas) - bodies, axis=2)
        found[f'{low:g}-{high:g}'] = {
            'mean_vertex_error_mm': 1000 * errors.mean(),
            'mean_along_child_axis': betas[:, SHAPES].mean(),
        }
    return found


def _heights(body: BodyData, betas: Array) -> Array:
    return BodyLayer(body, kid=True).heights(as_tensor(betas)).double().numpy()


def _statures(body: BodyData, adults: Array) -> dict[str, Any]:
    """Quantiles of Anny's adults, and of random shapes of standard normal betas."""
    betas = np.random.default_rng(_SEED).standard_normal((SHAPES_DRAWN, SHAPES + 1))
    betas[:, SHAPES] = 0
    ours = np.concatenate([_heights(body, part) for part in np.array_split(betas, 20)])
    theirs = np.ptp(adults[..., 1], axis=1)
    return {
        'quantiles': _QUANTILES,
        'anny_adults': np.quantile(theirs, _QUANTILES),
        'random_shapes': np.quantile(ours, _QUANTILES),
        'anny_mean_std': [theirs.mean(), theirs.std()],
        'random_mean_std': [ours.mean(), ours.std()],
    }


def _random_people() -> tuple[Array, Array]:
    """Draw poses (N, 24, 3, 3) and shapes (N, 11)."""
    generator = np.random.default_rng(_SEED)
    return random_poses(POSES, generator), random_shapes(POSES, generator)


def _people_of_scenes() -> tuple[Array, Array]:
    """Draw poses and shapes as scenes have them."""
    generator = np.random.default_rng(_SEED)
    groups = [draw_people(_GROUP, generator) for _ in range(POSES // _GROUP)]
    rotvecs = np.concatenate([group.rotvecs for group in groups])
    return np.asarray(matrices(rotvecs), float), np.concatenate([group.betas for group in groups])


@torch.no_grad()
def _poses(body: BodyData, poses: Array, shapes: Array) -> dict[str, Any]:
    """Count the damage over posed bodies."""
    layer = BodyLayer(body, kid=True)
    rotations, betas = as_tensor(poses), as_tensor(shapes)
    flipped, torn, gaps = [], [], []
    for pose, beta in zip(rotations.split(20), betas.split(20), strict=True):
        still = torch.eye(3).expand(len(pose), 24, 3, 3)
        rest, out = layer(still, beta).vertices, layer(pose, beta)
        found = damage(rest, out.vertices, layer.faces, layer.skin_weights, pose)
        gaps.append(layer.joint_regressor @ out.vertices - out.joints[:, :24])
        flipped.append(found.flipped)
        torn.append(found.torn)
    inside_out, tears = torch.cat(flipped), torch.cat(torn)
    return {
        'bodies': POSES,
        'triangles_each': len(body.faces),
        'bodies_without_a_triangle_inside_out': (inside_out == 0).sum().item(),
        'triangles_inside_out_in_all': inside_out.sum().item(),
        'share_of_triangles_inside_out': inside_out.sum().item() / POSES / len(body.faces),
        'most_in_one_body': inside_out.max().item(),
        'bodies_without_a_torn_edge': (tears == 0).sum().item(),
        'torn_edges_in_all': tears.sum().item(),
        'joint_regressor_error_posed_mm': 1000 * torch.cat(gaps).norm(dim=-1).mean().item(),
    }


def _inside(body: BodyData) -> dict[str, bool]:
    """Whether each joint of the template lies inside the skin."""
    template = torch.from_numpy(body.v_template).double()
    joints = torch.from_numpy(body.joint_regressor).double() @ template
    winding = winding_numbers(joints, template, torch.from_numpy(body.faces))
    return {n: bool(w > 0.5) for n, w in zip(SMPL_JOINT_NAMES, winding, strict=True)}


def _rounded(value: Any) -> Any:
    """Make plain numbers of four significant digits for the file."""
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_rounded(v) for v in value]
    if isinstance(value, (bool, int, str)):
        return value
    return float(f'{float(value):.4g}')
