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

"""Meshes to shaded pixels, with their depth and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.render.rasteriser import Orthographic, rasterise, Visible
from mahmr_model.types import Camera, FloatArray, ImageArray, IntArray
import numpy as np
import torch
from torch import Tensor

_AMBIENT, _DIFFUSE = 0.38, 0.66
_LIGHT = (-0.35, -0.55, -1.0)
"""Towards the lamp: over the viewer's left shoulder, so that round things look round."""


@dataclass(frozen=True)
class Rendering:
    """What a camera sees of some meshes; all arrays are of the picture's size."""

    colour: ImageArray
    """(H, W, 3) RGB, black where nothing is."""
    depth_m: FloatArray
    """(H, W) depth along the optical axis in metres, infinite where nothing is."""
    person: np.ndarray[tuple[int, int], np.dtype[np.int32]]
    """(H, W) which of the N meshes, -1 where nothing is."""


def render_meshes(
    vertices_camera_m: FloatArray,
    faces: IntArray,
    camera: Camera | Orthographic,
    colours: ImageArray,
    device: torch.device | str = 'cpu',
) -> Rendering:
    """
    Draw N meshes of the same faces, smoothly shaded under a head light.

    `vertices_camera_m` (N, V, 3) are metres in the frame of the camera (x right, y down,
    z forward), `faces` (F, 3) index V, `colours` (N, 3) are RGB in 0…255. N may be 0.
    """
    people, per_person = vertices_camera_m.shape[:2]
    points_m = torch.as_tensor(vertices_camera_m.reshape(-1, 3), device=device).float()
    first = torch.arange(people, device=device)[:, None, None] * per_person
    all_faces = (torch.as_tensor(faces, device=device).long() + first).reshape(-1, 3)
    seen = rasterise(points_m, all_faces, camera)
    pixel, face, weights = seen.corners()
    owner = face // max(len(faces), 1)
    shade = _shade(points_m, all_faces, face, weights, isinstance(camera, Camera))
    paint = torch.as_tensor(np.asarray(colours, np.float32).reshape(-1, 3), device=device)
    colour = torch.zeros((camera.height * camera.width, 3), dtype=torch.uint8, device=device)
    colour[pixel] = (paint[owner] * shade[:, None]).clamp(0, 255).byte()
    return _rendering(seen, colour, pixel, owner)


def _shade(
    points_m: Tensor, faces: Tensor, face: Tensor, weights: Tensor, perspective: bool
) -> Tensor:
    """Return the brightness (K,) of what K pixels see: ambient and diffuse (Lambert) light."""
    corners_m = points_m[faces]
    flat = torch.linalg.cross(corners_m[:, 1] - corners_m[:, 0], corners_m[:, 2] - corners_m[:, 0])
    # A triangle's cross product is twice its area long: the sum weights normals by area.
    smooth = torch.zeros_like(points_m)
    for corner in range(3):
        smooth.index_add_(0, faces[:, corner], flat)
    normal = (smooth[faces[face]] * weights[..., None]).sum(1)
    normal = torch.nn.functional.normalize(normal, dim=1)
    # Both sides are lit alike: turn the normals of triangles seen from their back.
    to_eye = -corners_m[face, 0] if perspective else -points_m.new_tensor([0.0, 0.0, 1.0])
    normal = normal * (flat[face] * to_eye).sum(1, keepdim=True).sign()
    light = torch.nn.functional.normalize(points_m.new_tensor(_LIGHT), dim=0)
    return _AMBIENT + _DIFFUSE * (normal @ light).clamp(min=0)


def _rendering(seen: Visible, colour: Tensor, pixel: Tensor, owner: Tensor) -> Rendering:
    """Bring the pixels back from the device."""
    height, width = seen.face.shape
    person = torch.full((height * width,), -1, dtype=torch.int32, device=pixel.device)
    person[pixel] = owner.int()
    return Rendering(
        colour.reshape(height, width, 3).cpu().numpy(),
        seen.depth_m.cpu().numpy(),
        person.reshape(height, width).cpu().numpy(),
    )
