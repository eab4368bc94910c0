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

"""Contact sheets of the library's poses, drawn by the project's own renderer."""

from __future__ import annotations

from pathlib import Path

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.files import written_beside
from mahmr_model.render.meshes import render_meshes
from mahmr_model.render.rasteriser import Orthographic
from mahmr_model.types import ImageArray
import numpy as np
from scipy.spatial.transform import Rotation
import torch
from training.data.annotation import Floats, Ints
from training.synthetic.scenes.pose_library import PoseLibrary

_CELL_PX, _PX_PER_M = 150, 66.0
_ROW_PX = 130
_SKIN = np.array([[205, 175, 150]], np.uint8)
# Body space (y up, facing +z) as a camera sees it from in front, 35° to the left, 15° above.
_VIEW = np.diag([1.0, -1, -1]) @ Rotation.from_euler('XY', [15, -35], degrees=True).as_matrix()


def write_sheet(file: Path, library: PoseLibrary, columns: int, seed: int = 0) -> None:
    """Write a JPEG with one row of random poses a category."""
    generator = np.random.default_rng(seed)
    rows = []
    for name, numbers in library.rows.items():
        picked = generator.choice(numbers, min(columns, len(numbers)), replace=False)
        row = np.full((_ROW_PX, _CELL_PX * columns, 3), 255, np.uint8)
        drawn = draw_poses(library.rotvecs[picked])[-_ROW_PX:]
        row[:, : drawn.shape[1]] = drawn
        cv2.putText(row, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        rows.append(row)
    sheet = np.ascontiguousarray(np.vstack(rows)[..., ::-1])
    with written_beside(file) as part:
        part.write_bytes(cv2.imencode('.jpg', sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())


@torch.no_grad()
def draw_poses(rotvecs: Floats) -> ImageArray:
    """Return a row of pictures (150, 150 N, 3) of poses (N, 24, 3), each on its ground line."""
    layer = BodyLayer(load_body(OPEN_BODY), kid=True)
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    betas = torch.zeros(len(rotvecs), layer.shape_count)
    bodies = layer(torch.from_numpy(matrices).float(), betas).vertices.numpy()
    return np.hstack([_draw(body, layer.faces.numpy()) for body in bodies])


def _draw(body_m: Floats, faces: Ints) -> ImageArray:
    lens = Orthographic(_PX_PER_M, _CELL_PX / 2, _CELL_PX * 0.9, _CELL_PX, _CELL_PX)
    middle = np.array([body_m[:, 0].mean(), body_m[:, 1].min(), body_m[:, 2].mean()])
    seen = ((body_m - middle) @ _VIEW.T + [0, 0, 5]).astype(np.float32)
    drawn = render_meshes(seen[None], faces, lens, _SKIN)
    picture = np.where(drawn.person[..., None] < 0, np.uint8(255), drawn.colour)
    disc = np.array([[np.cos(a), 0, np.sin(a)] for a in np.linspace(0, 2 * np.pi, 24)]) * 0.5
    line = (disc @ _VIEW.T)[:, :2] * _PX_PER_M + (lens.cx, lens.cy)
    cv2.polylines(picture, [line.round().astype(np.int32)], True, (150, 150, 150), 1, cv2.LINE_AA)
    return picture
