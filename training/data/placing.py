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

"""Steps 4 to 6 of the recipe: where a draw puts the people and what their camera becomes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mahmr_model.body.data import Gender
from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.geometry.rotations import axis_angle_from_rotation, rotation_from_axis_angle
import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Annotation, Bools, Floats
from training.data.augmentation import Draw
from training.data.camera import (
    augmented_extrinsics,
    augmented_intrinsics,
    cropped_intrinsics,
    projected,
)
from training.data.pixels import PixelMap
from training.data.posing import WorkerBodies

SPINE3 = SMPL_JOINT_NAMES.index('spine3')


def mirrored_name(name: str) -> str:
    """Return the name of the joint on the other side; of one in the middle, its own."""
    sides = {'left_': 'right_', 'right_': 'left_'}
    return next(
        (other + name.removeprefix(s) for s, other in sides.items() if name.startswith(s)), name
    )


MIRRORED_JOINTS = [SMPL_JOINT_NAMES.index(mirrored_name(name)) for name in SMPL_JOINT_NAMES]
MIRRORED_CROWDPOSE = [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13]
"""CrowdPose lists left and right in turn, then the top of the head and the neck."""


@dataclass(frozen=True)
class Placed:
    """
    P people of an augmented picture, in its pixels and its camera's frame, metres and radians.

    Without bodies there is no more than 2-D joints and boxes; the rest is zero.
    """

    pixel_map: PixelMap
    intrinsics: Floats
    """(1 or P, 3, 3)."""
    joints_px: Floats
    """(P, K, 2): 45 joints, or CrowdPose's 14."""
    visible: Bools
    """(P, K) annotated, inside the picture and on its pixels."""
    labelled: Bools
    """(P, K) annotated."""
    joints_camera_m: Floats
    """(P, K, 3)."""
    pose_axis_angle: Floats
    """(P, 72)."""
    betas: Floats
    """(P, B)."""
    translation_m: Floats
    """(P, 3)."""
    rotations: Tensor | None = None
    """(P, 24, 3, 3) of the bodies, or None without."""
    genders: tuple[Gender, ...] = ()
    boxes_xyxy_px: Floats | None = None
    """(P, 4) where the dataset has boxes of its own."""

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.joints_px)

    def of(self, people: Bools) -> Placed:
        """Return some of the people."""
        if people.all():
            return self
        kept = np.flatnonzero(people)
        everyones = len(self.intrinsics) == 1
        return replace(
            self,
            intrinsics=self.intrinsics if everyones else self.intrinsics[kept],
            joints_px=self.joints_px[kept],
            visible=self.visible[kept],
            labelled=self.labelled[kept],
            joints_camera_m=self.joints_camera_m[kept],
            pose_axis_angle=self.pose_axis_angle[kept],
            betas=self.betas[kept],
            translation_m=self.translation_m[kept],
            rotations=None if self.rotations is None else self.rotations[torch.from_numpy(kept)],
            genders=tuple(self.genders[i] for i in kept) if self.genders else (),
            boxes_xyxy_px=None if self.boxes_xyxy_px is None else self.boxes_xyxy_px[kept],
        )


def place(
    annotation: Annotation,
    original_hw: tuple[int, int],
    resized_hw: tuple[int, int],
    draw: Draw,
    bodies: WorkerBodies,
) -> Placed:
    """Return the people of a picture as a draw puts them."""
    if annotation.bodies is None:
        return _place_keypoints(annotation, original_hw, resized_hw, draw)
    return _crop(_place_bodies(annotation, original_hw, resized_hw, draw, bodies), draw)


def augmented_pose(pose_axis_angle: Floats, camera_rotation: Floats, draw: Draw) -> Floats:
    """Return poses (P, 72) relative to the turned camera, mirrored if drawn (step 5)."""
    pose = np.array(pose_axis_angle, np.float64).reshape(-1, 24, 3)
    root = rotation_from_axis_angle(torch.from_numpy(pose[:, 0])).numpy()
    turned = torch.from_numpy(camera_rotation @ root)
    pose[:, 0] = axis_angle_from_rotation(turned).numpy()
    if draw.flip:
        pose = pose[:, MIRRORED_JOINTS] * (1, -1, -1)
    return pose.reshape(-1, 72)


def augmented_translation(
    translation_m: Floats, root_m: Floats, rotation: Floats, camera_m: Floats, draw: Draw
) -> Floats:
    """Return translations (P, 3) in the camera frame, `root_m` the untranslated root (step 5)."""
    moved = np.einsum('pij,pj->pi', rotation, root_m + translation_m) + camera_m - root_m
    return moved * (-1, 1, 1) if draw.flip else moved


def _place_bodies(
    annotation: Annotation,
    original_hw: tuple[int, int],
    resized_hw: tuple[int, int],
    draw: Draw,
    bodies: WorkerBodies,
) -> Placed:
    """Place people who have bodies, before any crop."""
    raw = annotation.bodies
    assert raw is not None
    assert annotation.intrinsics is not None
    rate = max(resized_hw) / max(original_hw)
    intrinsics = augmented_intrinsics(annotation.intrinsics, rate, resized_hw, draw)
    rotation, camera_m = augmented_extrinsics(
        np.asarray(raw.camera_rotation, np.float64), raw.camera_translation_m, draw
    )
    pose = augmented_pose(raw.pose_axis_angle, rotation, draw)
    rotations = rotation_from_axis_angle(torch.from_numpy(pose).float().view(-1, 24, 3))
    betas = fitted(raw.betas, bodies.shape_count)
    joints = bodies.joints(rotations, torch.from_numpy(betas), raw.genders).double().numpy()
    translation = augmented_translation(
        np.asarray(raw.translation_m, np.float64), joints[:, 0], rotation, camera_m, draw
    )
    joints = joints + translation[:, None]
    pixels = projected(joints, intrinsics)
    pixel_map = PixelMap.of(resized_hw, draw)
    return Placed(
        pixel_map,
        intrinsics,
        pixels,
        pixel_map.visible(pixels),
        np.ones(pixels.shape[:2], bool),
        joints,
        pose,
        betas,
        translation,
        rotations,
        raw.genders,
    )


def _crop(placed: Placed, draw: Draw) -> Placed:
    """Keep the upper rows of the picture, at least down to everybody's chest (step 6)."""
    height = placed.pixel_map.resized_hw[0]
    if draw.crop is None or len(placed) == 0:
        return placed
    lowest = max(height // 2, float(placed.joints_px[:, SPINE3, 1].max()))
    if not lowest < height:
        return placed
    pixel_map = placed.pixel_map.cropped(int(draw.crop * (height - lowest) + lowest))
    pixels = placed.joints_px * pixel_map.crop_rate
    return replace(
        placed,
        pixel_map=pixel_map,
        intrinsics=cropped_intrinsics(placed.intrinsics, pixel_map.crop_rate),
        joints_px=pixels,
        visible=pixel_map.visible(pixels),
    )


def fitted(betas: Floats, count: int) -> Floats:
    """Return shapes (P, `count`): padded by 0, or without the child axis."""
    result = np.zeros((len(betas), count), np.float32)
    both = min(count, betas.shape[1])
    result[:, :both] = betas[:, :both]
    return result


def _place_keypoints(
    annotation: Annotation,
    original_hw: tuple[int, int],
    resized_hw: tuple[int, int],
    draw: Draw,
) -> Placed:
    """
    Place people who have CrowdPose's 14 joints and a box each; they are never cropped.

    A crop goes by the chest of a body, and the recipe crops no dataset without bodies. Where no
    people can be placed (evaluation sets with 3-D keypoints of their own) nobody is.
    """
    rate = max(resized_hw) / max(original_hw)
    pixel_map = PixelMap.of(resized_hw, draw)
    pixels: Floats = np.zeros((0, 14, 2))
    seen: Bools = np.zeros((0, 14), bool)
    boxes: Floats = np.zeros((0, 4))
    if annotation.keypoints is not None and annotation.boxes_xyxy_px is not None:
        seen = annotation.keypoints.visible
        known = np.where(seen[..., None], annotation.keypoints.joints_px, 0)
        pixels = pixel_map.moved_points(known * rate)
        boxes = _moved_boxes(annotation.boxes_xyxy_px * rate, pixel_map)
        if draw.flip:
            pixels, seen = pixels[:, MIRRORED_CROWDPOSE], seen[:, MIRRORED_CROWDPOSE]
    count = len(pixels)
    raw = annotation.intrinsics if annotation.intrinsics is not None else _assumed(original_hw)
    return Placed(
        pixel_map,
        augmented_intrinsics(raw, rate, resized_hw, draw),
        pixels,
        seen & pixel_map.visible(pixels),
        seen,
        np.zeros((count, 14, 3)),
        np.zeros((count, 72)),
        np.zeros((count, 10), np.float32),
        np.zeros((count, 3)),
        boxes_xyxy_px=boxes,
    )


def _moved_boxes(boxes_xyxy_px: Floats, pixel_map: PixelMap) -> Floats:
    """Return the extents (P, 4) of the warped ellipses that boxes enclose."""
    centre = pixel_map.moved_points((boxes_xyxy_px[:, :2] + boxes_xyxy_px[:, 2:]) / 2)
    half = (boxes_xyxy_px[:, 2:] - boxes_xyxy_px[:, :2]) / 2
    # The corners of a turned box lie outside of the person; the ellipse inside it turns well.
    half = np.sqrt(half**2 @ (pixel_map.matrix[:, :2] ** 2).T)
    return np.concatenate([centre - half, centre + half], axis=1)


def _assumed(size_hw: tuple[int, int]) -> Floats:
    """Return the camera (1, 3, 3) assumed where none is known: 60° over the longer side."""
    height, width = size_hw
    focal = max(size_hw) / (2 * np.tan(np.pi / 6))
    return np.array([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]])
