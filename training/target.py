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

"""The truth of one picture, as the losses and the evaluation read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """
    The P people of one resized and augmented picture, in its own camera frame and pixels.

    Lengths in metres, angles in radians, S the network's input size.
    """

    size_hw: tuple[int, int]
    """(H', W') of the picture without padding."""
    pose_axis_angle: Tensor
    """(P, 72); joint 0 relative to the camera frame."""
    betas: Tensor
    """(P, 10) or (P, 11)."""
    translation_m: Tensor
    """(P, 3)."""
    joints_camera_m: Tensor
    """(P, 45, 3)."""
    joints_px: Tensor
    """(P, 45, 2)."""
    joints_mask: Tensor
    """(P, 45, 2) bool: which coordinates are labelled."""
    boxes_cxcywh_norm: Tensor
    """(P, 4) relative to S."""
    depths: Tensor
    """(P, 2): z of the root joint in metres, and z over the focal length."""
    focal_px: Tensor
    """(P,) fx of each person's camera."""
    heights_m: Tensor
    """(P,) stature at zero pose."""
    scale_map: Tensor
    """(N, 2) of the padded picture's cells in Morton order; see `encoder.cells`."""
    intrinsics: Tensor
    """(1, 3, 3), or (P, 3, 3) where every person has a camera of their own."""
    valid_3d: bool
    """Whether poses, shapes, 3-D joints and depths are labels."""
    detect_all_people: bool
    """Whether everybody in the picture is labelled, so that other detections are wrong."""
    depth_layers: Tensor | None = None
    """(P,) int64: Relative Human's depth layers, -1 where a person has none."""

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.boxes_cxcywh_norm)

    def to(self, device: torch.device) -> Target:
        """Return the same with its tensors on another device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)
