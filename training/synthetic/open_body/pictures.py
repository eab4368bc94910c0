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

"""Pictures of the open body, drawn by the project's own renderer."""

from __future__ import annotations

from pathlib import Path

import cv2
from mahmr_model.body.data import BodyData
from mahmr_model.body.joints import SMPL_PARENTS
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_6d
from mahmr_model.render.meshes import render_meshes
from mahmr_model.render.rasteriser import Orthographic
from mahmr_model.types import FloatArray, ImageArray
import numpy as np
import torch
from training.synthetic.open_body.anny_source import Array
from training.synthetic.open_body.checks import as_tensor
from training.synthetic.open_body.poses import random_poses, scene_poses
from training.synthetic.open_body.refine import random_shapes
from training.synthetic.open_body.shape_space import ShapeSpace

_WIDTH_PX, _HEIGHT_PX, _PX_PER_M = 280, 330, 150.0
_SKIN = np.array([[205, 175, 150]], np.uint8)
# Body space (y up, facing +z) as a camera in front, at the left side or above sees it.
_FRONT = np.diag([1.0, -1.0, -1.0])
_SIDE = np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]])
_ABOVE = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def write_pictures(
    folder: Path, body: BodyData, children_m: Array, child_betas: Array, space: ShapeSpace
) -> None:
    """Write t_pose, shapes, children and poses, each a sheet of bodies, as PNG to `folder`."""
    layer = BodyLayer(body, kid=True)
    _save(folder / 't_pose.png', [_t_pose(layer)])
    generator = np.random.default_rng(5)
    shapes = generator.standard_normal((12, 11))
    shapes[:, 10] = 0
    axis = np.zeros((6, 11))
    axis[:, 10] = np.linspace(0, 1, 6)
    _save(folder / 'shapes.png', [_row(layer, s) for s in (shapes[:6], shapes[6:], axis)])
    fitted = space.bodies(child_betas)
    _save(folder / 'children.png', [_draw_all(layer, b) for b in (children_m, fitted)])
    betas = random_shapes(18, generator)
    poses = np.concatenate([random_poses(6, generator), scene_poses(12, generator)])
    poses[:, 0] = np.eye(3)
    rows = [_row(layer, betas[slice(i, i + 6)], poses[slice(i, i + 6)]) for i in (0, 6, 12)]
    _save(folder / 'poses.png', rows)
    _save(folder / 'mean_pose.png', [_mean_pose(layer, body)])


@torch.no_grad()
def _row(layer: BodyLayer, betas: Array, poses: Array | None = None) -> ImageArray:
    rotations = np.tile(np.eye(3), (len(betas), 24, 1, 1)) if poses is None else poses
    return _draw_all(layer, layer(as_tensor(rotations), as_tensor(betas)).vertices.numpy())


def _draw_all(layer: BodyLayer, bodies_m: Array | FloatArray) -> ImageArray:
    return np.hstack([_draw(layer, body, _FRONT) for body in bodies_m])


@torch.no_grad()
def _t_pose(layer: BodyLayer) -> ImageArray:
    """Draw the template from three sides, its 24 joints red, its 21 points blue."""
    still = torch.eye(3).expand(1, 24, 3, 3)
    out = layer(still, torch.zeros(1, layer.shape_count))
    body, joints = out.vertices[0].numpy(), out.joints[0].numpy()
    pictures = []
    for view in (_FRONT, _SIDE, _ABOVE):
        picture = _draw(layer, body, view, scale=2.0)
        pixels = (joints @ view.T)[:, :2] * _PX_PER_M * 2
        pixels += (_WIDTH_PX, _HEIGHT_PX)
        for joint, parent in enumerate(SMPL_PARENTS):
            if parent >= 0:
                ends = pixels[[joint, parent]].round().astype(int).tolist()
                cv2.line(picture, ends[0], ends[1], (230, 120, 120), 1, cv2.LINE_AA)
        for number, pixel in enumerate(pixels.round().astype(int).tolist()):
            colour = (220, 20, 20) if number < len(SMPL_PARENTS) else (20, 60, 220)
            cv2.circle(picture, pixel, 3, colour, -1, cv2.LINE_AA)
        pictures.append(picture)
    return np.hstack(pictures)


@torch.no_grad()
def _mean_pose(layer: BodyLayer, body: BodyData) -> ImageArray:
    """Draw the body that a network starts from, as its camera sees it: no view is applied."""
    rotations = rotation_from_6d(torch.tensor(body.mean_pose).reshape(1, 24, 6))
    vertices = layer(rotations, torch.zeros(1, layer.shape_count)).vertices[0].numpy()
    return _draw(layer, vertices, np.eye(3))


def _draw(
    layer: BodyLayer, body_m: Array | FloatArray, view: Array, scale: float = 1.0
) -> ImageArray:
    width, height = round(_WIDTH_PX * scale), round(_HEIGHT_PX * scale)
    lens = Orthographic(_PX_PER_M * scale, width / 2, height / 2, width, height)
    seen = (body_m @ view.T + [0, 0, 5]).astype(np.float32)
    drawn = render_meshes(seen[None], layer.faces.numpy(), lens, _SKIN)
    return np.where(drawn.person[..., None] < 0, np.uint8(255), drawn.colour)


def _save(file: Path, rows: list[ImageArray]) -> None:
    sheet = np.ascontiguousarray(np.vstack(rows)[..., ::-1])
    file.write_bytes(cv2.imencode('.png', sheet, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())
