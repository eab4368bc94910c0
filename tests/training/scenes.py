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

"""Rendered people with everything that is true of them: the pictures behind the made datasets."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
from mahmr_model.body.data import BodyData, load_body, OPEN_BODY
from mahmr_model.geometry.rotations import axis_angle_from_rotation, rotation_from_axis_angle
from mahmr_model.render import render_meshes
from mahmr_model.types import Camera
import numpy as np
import torch
from training.data.posing import WorkerBodies

ARMS_DOWN = {16: (0, 0, -1.1), 17: (0, 0, 1.1), 18: (0, -0.3, 0), 19: (0, 0.3, 0)}
"""Axis-angle of shoulders and elbows that bring the rest pose's arms down."""
GENDERS = ('male', 'female')


@dataclass(frozen=True)
class Scene:
    """P people before a camera; metres, radians, camera frame x right, y down, z forward."""

    picture_rgb: np.ndarray
    intrinsics: np.ndarray
    """(3, 3)."""
    pose: np.ndarray
    """(P, 72)."""
    betas: np.ndarray
    """(P, 11)."""
    translation_m: np.ndarray
    """(P, 3)."""
    root_m: np.ndarray
    """(P, 3) the root joint before translation."""
    joints_m: np.ndarray
    """(P, 45, 3)."""
    vertices_m: np.ndarray
    """(P, V, 3)."""
    genders: tuple[str, ...]
    kids: np.ndarray
    """(P,) bool."""
    extrinsics: tuple[np.ndarray, np.ndarray] = field(default=(np.eye(3), np.zeros(3)), repr=False)
    """A world frame: world to camera (3, 3) and (3,)."""

    def __len__(self) -> int:
        return len(self.pose)

    def project(self, points_m: np.ndarray) -> np.ndarray:
        pixels = points_m @ self.intrinsics.T
        return pixels[..., :2] / pixels[..., 2:]

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """Return pose (P, 72) and translation (P, 3) in the world frame."""
        rotation, moved = self.extrinsics
        pose = self.pose.copy()
        root = rotation_from_axis_angle(torch.from_numpy(self.pose[:, :3])).numpy()
        pose[:, :3] = axis_angle_from_rotation(torch.from_numpy(rotation.T @ root)).numpy()
        return pose, (self.translation_m + self.root_m - moved) @ rotation - self.root_m


class SceneMaker:
    """Draws scenes of one body; the same seed gives the same scenes."""

    def __init__(
        self, seed: int = 0, size_wh: tuple[int, int] = (256, 192), kids: float = 0.0
    ) -> None:
        self.body: BodyData = load_body(OPEN_BODY)
        self._bodies = WorkerBodies(OPEN_BODY)
        self._rng = np.random.default_rng(seed)
        self.size_wh = size_wh
        self._kids = kids

    def scene(self, people: int | None = None) -> Scene:
        """Draw 1 to 3 people, or as many as asked for."""
        rng, (width, height) = self._rng, self.size_wh
        count = people or int(rng.integers(1, 4))
        focal = max(width, height) * rng.uniform(0.9, 1.4)
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        pose, betas, kids = self._people(count)
        rotations = rotation_from_axis_angle(torch.from_numpy(pose).float().view(-1, 24, 3))
        shapes, genders = torch.from_numpy(betas).float(), ('neutral',) * count
        joints = self._bodies.joints(rotations, shapes, genders)  # type: ignore[arg-type]
        joints = joints.double().numpy()
        meshes = self._bodies.meshes(rotations, shapes, genders)  # type: ignore[arg-type]
        translation = self._places(count, focal, width, height) - joints[:, 0]
        vertices = meshes.transpose(1, 2).double().numpy() + translation[:, None]
        return Scene(
            self._drawn(vertices, Camera.from_matrix(intrinsics, width, height)),
            intrinsics,
            pose,
            betas,
            translation,
            joints[:, 0],
            joints + translation[:, None],
            vertices,
            tuple(GENDERS[i] for i in rng.integers(0, 2, count)),
            kids,
            self._world(),
        )

    def _people(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = self._rng
        pose = rng.normal(0, 0.12, (count, 24, 3))
        for joint, angles in ARMS_DOWN.items():
            pose[:, joint] += angles
        yaw = np.zeros((count, 3))
        yaw[:, 1] = rng.uniform(-0.8, 0.8, count)
        turned = rotation_from_axis_angle(torch.from_numpy(yaw)).numpy()
        upside = np.diag([1.0, -1.0, -1.0])  # the body's y is up, the camera's down
        pose[:, 0] = axis_angle_from_rotation(torch.from_numpy(upside @ turned)).numpy()
        betas = np.zeros((count, 11))
        betas[:, :10] = rng.normal(0, 0.6, (count, 10))
        kids = rng.random(count) < self._kids
        betas[kids, 10] = rng.uniform(0.3, 0.7, kids.sum())
        return pose.reshape(count, 72), betas, kids

    def _places(self, count: int, focal: float, width: int, height: int) -> np.ndarray:
        """Return where the pelvises are: side by side, at depths that keep people in view."""
        rng = self._rng
        depth = focal / height * 2.0 * rng.uniform(1.15, 2.2, count)
        u = (np.arange(count) + rng.uniform(0.35, 0.65, count)) / count * width
        v = height * rng.uniform(0.45, 0.55, count)
        return np.stack(
            [(u - width / 2) * depth / focal, (v - height / 2) * depth / focal, depth], 1
        )

    def _world(self) -> tuple[np.ndarray, np.ndarray]:
        angles = torch.from_numpy(self._rng.normal(0, 0.5, 3))
        return rotation_from_axis_angle(angles).numpy(), self._rng.normal(0, 1.0, 3)

    def _drawn(self, vertices_m: np.ndarray, camera: Camera) -> np.ndarray:
        """Return people in colours of their own before rough blocks of colour."""
        rng = self._rng
        blocks = rng.integers(0, 256, (5, 7, 3), np.uint8)
        size = (camera.width, camera.height)
        picture = cv2.resize(blocks, size, interpolation=cv2.INTER_CUBIC)
        colours = rng.integers(60, 256, (len(vertices_m), 3), np.uint8)
        drawn = render_meshes(vertices_m.astype(np.float32), self.body.faces, camera, colours)
        seen = drawn.person >= 0
        picture[seen] = drawn.colour[seen]
        return picture
