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

"""From queries to metric bodies: only those that are wanted are posed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from mahmr_model.body.layer import BodyLayer, BodyOutput
from mahmr_model.geometry.placement import Lens, project, translation_m
from mahmr_model.geometry.rotations import (
    read_rotations,
    rotation_from_axis_angle,
)
from mahmr_model.network import LayerPrediction
from mahmr_model.types import FloatArray, People
import torch
from torch import Tensor


class Body(Protocol):
    """What poses bodies: `BodyLayer`, or its quicker equal."""

    def __call__(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """Pose P bodies: rotations (P, 24, 3, 3), betas (P, S)."""

    def heights(self, betas: Tensor) -> Tensor:
        """Return statures (P,) in metres."""


@dataclass(frozen=True)
class PosedQueries:
    """P chosen queries as bodies: metres, camera frame, pixels of the resized picture."""

    confidence: Tensor
    """(P,)."""
    boxes_cxcywh_norm: Tensor
    """(P, 4) relative to S."""
    pose_axis_angle: Tensor
    """(P, 24, 3)."""
    betas: Tensor
    """(P, S)."""
    translation_m: Tensor
    """(P, 3)."""
    joints_camera_m: Tensor
    """(P, 45, 3)."""
    joints_px: Tensor
    """(P, 45, 2)."""
    vertices_camera_m: Tensor
    """(P, V, 3)."""
    height_m: Tensor
    """(P,) stature."""


def pose_queries(
    prediction: LayerPrediction,
    body: Body,
    lens: Lens,
    input_size: int,
    picture: Tensor,
    query: Tensor,
    read_rotations: Callable[[Tensor], tuple[Tensor, Tensor]] = read_rotations,
) -> PosedQueries:
    """
    Pose chosen queries, each given by its picture and its number (P,) int64, in float32.

    `read_rotations` may be replaced by something quicker that gives the same.
    """

    def chosen(x: Tensor) -> Tensor:
        return x[picture, query].float()

    rotations, axis_angles = read_rotations(chosen(prediction.pose_6d))
    betas = chosen(prediction.betas)
    translation = chosen(translation_m(prediction.camera_abc.float(), lens, input_size))
    posed = body(rotations, betas)
    joints = posed.joints + translation[:, None]
    return PosedQueries(
        chosen(prediction.confidence_logits).sigmoid(),
        chosen(prediction.boxes_cxcywh_norm),
        axis_angles,
        betas,
        translation,
        joints,
        project(joints, lens.focal_xy_px[picture], lens.centre_xy_px[picture]),
        posed.vertices + translation[:, None],
        body.heights(betas),
    )


def repose(people: People, body: BodyLayer) -> People:
    """Return the people with joints, meshes and heights made anew from pose, shape and place."""

    def on_device(array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(body.v_template.device)

    with torch.inference_mode():
        betas = on_device(people.betas)
        posed = body(rotation_from_axis_angle(on_device(people.pose_axis_angle)), betas)
        translation = on_device(people.translation_m)[:, None]
        joints = (posed.joints + translation).cpu().numpy()
        return replace(
            people,
            joints_camera_m=joints,
            joints_px=people.camera.project(joints),
            vertices_camera_m=(posed.vertices + translation).cpu().numpy(),
            height_m=body.heights(betas).cpu().numpy(),
        )
