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

"""
From an annotation and its picture to a sample: the recipe's twelve steps in order.

Steps 1 to 6 and 9 are in `camera`, `pixels` and `placing`, 10 to 12 in `appearance` and
`scale_map`; here they are put together, with who is kept (7) and the boxes (8). The last of 12,
padding and normalising, is left to the training step, which does it for the whole batch on the
device (`preprocess.pad_and_normalise`): a sample's picture stays 8-bit.
"""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.preprocess import resize
from mahmr_model.types import ImageArray
import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Annotation, Bools, Floats
from training.data.appearance import jitter_colours, occlude
from training.data.augmentation import AugmentationConfig, Draw, draw_augmentation
from training.data.pixels import moved_picture
from training.data.placing import fitted, place, Placed
from training.data.posing import WorkerBodies
from training.data.scale_map import box_cells, covered_cells, edges, grid_size, scale_map
from training.target import Target

REDRAWS = 10
FEWEST_VISIBLE_JOINTS = 4
MAIN_JOINTS = SMPL_JOINT_NAMES.index('left_hand')
"""SMPL's joints without the hands, which are the last two; one of them has to be visible."""
BOX_MARGIN = 1.2
SMALLEST_CORNER = 1e-6


@dataclass(frozen=True)
class SampleConfig:
    """What all samples of a run share."""

    input_size: int = 1288
    """S, the longer side."""
    shapes: int = 11
    """Shape parameters of a target: 10, or 11 with the child axis."""
    augmentation: AugmentationConfig | None = None
    """None for pictures of an evaluation: nothing is drawn and nobody is left out."""


class SampleMaker:
    """Makes samples; holds the bodies and what follows from their faces."""

    def __init__(self, bodies: WorkerBodies, config: SampleConfig) -> None:
        self.config = config
        self.bodies = bodies
        self._edges = edges(bodies.faces)

    def training_sample(
        self, picture_rgb: ImageArray, annotation: Annotation, rng: np.random.Generator
    ) -> tuple[Tensor, Target] | None:
        """
        Return an augmented picture, uint8 (H', W', 3) RGB, and its truth; None if nobody is seen.

        Draws again up to 10 times where step 7 is not met, then without rotation and scale.
        """
        augmentation = self.config.augmentation
        assert augmentation is not None
        resized = resize(picture_rgb, self.config.input_size)
        for attempt in range(REDRAWS + 2):
            draw = draw_augmentation(rng, augmentation)
            if attempt > REDRAWS:
                draw = draw.upright()
            placed = place(annotation, picture_rgb.shape[:2], resized.shape[:2], draw, self.bodies)
            kept = placed.visible.sum(1) >= FEWEST_VISIBLE_JOINTS
            placed = placed.of(kept)
            if len(placed) and placed.visible[:, :MAIN_JOINTS].any(1).all():
                break
        else:
            return None
        target = self.target(annotation, placed, kept, counts_every_joint=True)
        picture = moved_picture(resized, placed.pixel_map)
        corners = target.boxes_cxcywh_norm.double().numpy() * self.config.input_size
        corners = np.concatenate(
            [corners[:, :2] - corners[:, 2:] / 2, corners[:, :2] + corners[:, 2:] / 2], axis=1
        )
        picture = occlude(picture, corners, augmentation.occlusion, rng)
        picture = jitter_colours(picture, augmentation.jitter, rng)
        return torch.from_numpy(np.ascontiguousarray(picture)), target

    def plain_sample(
        self, picture_rgb: ImageArray, annotation: Annotation, draw: Draw | None = None
    ) -> tuple[Tensor, Target, Placed]:
        """
        Return a picture, its truth and its people with nobody left out, for evaluation.

        Nothing is changed but the size, unless a `draw` is given. The mask of joints says which
        are visible.
        """
        resized = resize(picture_rgb, self.config.input_size)
        placed = place(
            annotation, picture_rgb.shape[:2], resized.shape[:2], draw or Draw(), self.bodies
        )
        everybody = np.ones(len(placed), bool)
        target = self.target(annotation, placed, everybody, counts_every_joint=False)
        picture = np.ascontiguousarray(moved_picture(resized, placed.pixel_map))
        return torch.from_numpy(picture), target, placed

    def target(
        self, annotation: Annotation, placed: Placed, kept: Bools, *, counts_every_joint: bool
    ) -> Target:
        """
        Return the truth of the `kept` people of an annotation as they are placed.

        With `counts_every_joint` the mask is true everywhere that is annotated, as published, else
        where a joint is visible.
        """
        size_hw, input_size = placed.pixel_map.size_hw, self.config.input_size
        boxes = people_boxes(placed, size_hw, input_size)
        focal = np.broadcast_to(placed.intrinsics[:, 0, 0], len(placed))
        root_z = placed.joints_camera_m[:, 0, 2]
        depths = np.stack([root_z, root_z / focal], axis=1)
        mask = placed.labelled if counts_every_joint else placed.visible
        layers = annotation.depth_layers
        return Target(
            size_hw=size_hw,
            pose_axis_angle=_float(placed.pose_axis_angle),
            betas=_float(fitted(placed.betas, self.config.shapes)),
            translation_m=_float(placed.translation_m),
            joints_camera_m=_float(placed.joints_camera_m),
            joints_px=_float(placed.joints_px),
            joints_mask=torch.from_numpy(np.repeat(mask[..., None], 2, axis=2)),
            boxes_cxcywh_norm=_float(boxes),
            depths=_float(depths),
            focal_px=_float(np.array(focal)),
            heights_m=self._heights(placed),
            scale_map=torch.from_numpy(self._scale_map(placed, boxes, depths[:, 1])),
            intrinsics=_float(placed.intrinsics),
            valid_3d=annotation.valid_3d,
            detect_all_people=annotation.detect_all_people,
            depth_layers=None if layers is None else torch.from_numpy(layers[kept]),
        )

    def meshes_camera_m(self, placed: Placed) -> Tensor:
        """Return meshes (P, 3, V) in the camera frame, one row a coordinate."""
        assert placed.rotations is not None
        betas = torch.from_numpy(placed.betas)
        meshes = self.bodies.meshes(placed.rotations, betas, placed.genders)
        return meshes + _float(placed.translation_m)[:, :, None]

    def _heights(self, placed: Placed) -> Tensor:
        if placed.rotations is None:
            return torch.zeros(len(placed))
        return self.bodies.heights(torch.from_numpy(placed.betas), placed.genders)

    def _scale_map(self, placed: Placed, boxes: Floats, depths: Floats) -> Floats:
        """Return the map (N, 2) of step 11; people without a mesh paint their box."""
        grid = grid_size(placed.pixel_map.size_hw)
        if placed.rotations is None:
            cells = box_cells(boxes * self.config.input_size, grid)
        else:
            meshes = self.meshes_camera_m(placed)
            cells = covered_cells(meshes, self._edges, _float(placed.intrinsics), grid)
        return scale_map(cells, np.hypot(boxes[:, 2], boxes[:, 3]), depths, grid)


def people_boxes(placed: Placed, size_hw: tuple[int, int], input_size: int) -> Floats:
    """
    Return boxes (P, 4), centre and sides relative to S (step 8).

    Around all joints and a fifth larger, or the dataset's own; clamped to the picture.
    """
    if placed.boxes_xyxy_px is not None:
        low, high = placed.boxes_xyxy_px[:, :2], placed.boxes_xyxy_px[:, 2:]
    else:
        low, high = placed.joints_px.min(1), placed.joints_px.max(1)
        centre, half = (low + high) / 2, (high - low) * BOX_MARGIN / 2
        low, high = centre - half, centre + half
    largest = (np.array([size_hw[1], size_hw[0]]) - 1) / input_size
    low = np.clip(low / input_size, SMALLEST_CORNER, largest)
    high = np.clip(high / input_size, SMALLEST_CORNER, largest)
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def _float(values: Floats) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
