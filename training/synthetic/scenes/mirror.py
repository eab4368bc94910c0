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

"""Rendered scenes mirrored left to right: twice the pictures for one rendering, truth as exact."""

from __future__ import annotations

from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.data.placing import MIRRORED_JOINTS, mirrored_name
from training.synthetic.scenes.renderer import Rendered
from training.synthetic.scenes.truth import SceneNumbers

MIRRORED_JOINTS_45 = [JOINT_NAMES_45.index(mirrored_name(name)) for name in JOINT_NAMES_45]


def with_mirror_images(scenes: SceneNumbers, rendered: Rendered) -> tuple[SceneNumbers, Rendered]:
    """
    Return scenes and what was rendered of them, the mirror image of each after all of them.

    Left and right joints change places, as in the recipe's flip (step 5); the body is taken to be
    as symmetric as it is.
    """
    device = rendered.images.device
    widths = on_device(np.asarray(scenes.sizes_hw, np.int64)[:, 1], device)
    across = torch.tensor([-1.0, 1.0, 1.0]).to(device, non_blocking=True)
    order = on_device(np.asarray(MIRRORED_JOINTS_45), device)
    columns = torch.arange(rendered.images.shape[2], device=device)
    inside = columns < widths[:, None]
    source = torch.where(inside, widths[:, None] - 1 - columns, columns)

    def flipped(pixels: Tensor) -> Tensor:
        pictures = torch.arange(len(pixels), device=device)[:, None, None]
        rows = torch.arange(pixels.shape[1], device=device)[:, None]
        return pixels[pictures, rows, source[:, None]]

    def both(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one, other])

    intrinsics = scenes.intrinsics.clone()
    intrinsics[:, 0, 2] = widths - intrinsics[:, 0, 2]
    pose = scenes.pose_axis_angle.unflatten(1, (24, 3))
    pose = pose.index_select(1, on_device(np.asarray(MIRRORED_JOINTS), device))
    signs = torch.tensor([1.0, -1.0, -1.0]).to(device, non_blocking=True)
    joints = rendered.joints_camera_m.index_select(1, order)
    # A last one for none, which -1 finds.
    parts = on_device(np.array([*MIRRORED_JOINTS, -1], np.int8), device)
    numbers = SceneNumbers(
        scenes.sizes_hw * 2,
        scenes.person_counts * 2,
        both(scenes.intrinsics, intrinsics),
        both(scenes.pose_axis_angle, (pose * signs).flatten(1)),
        both(scenes.betas, scenes.betas),
    )
    return numbers, Rendered(
        both(rendered.images, flipped(rendered.images)),
        both(rendered.person, flipped(rendered.person)),
        both(rendered.part, parts[flipped(rendered.part).long()]),
        both(rendered.depth_m, flipped(rendered.depth_m)),
        both(rendered.vertices_camera_m, rendered.vertices_camera_m * across),
        both(rendered.joints_camera_m, joints * across),
        rendered.person_counts * 2,
        rendered.sizes_hw * 2,
    )
