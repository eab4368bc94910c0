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

"""The truth of a batch, packed: the people of all pictures one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Bools, Ints
from training.target import Target

LAYERS_UNKNOWN = -2
"""In place of a depth layer: the picture says nothing of layers."""


@dataclass(frozen=True)
class BatchTruth:
    """
    P people of B pictures and N cells, packed picture after picture; fields as of `Target`.

    What says how things are packed is on the host, so that nobody has to ask the device.
    """

    sizes_hw: tuple[tuple[int, int], ...]
    """(B,) sizes of the pictures without padding."""
    people: tuple[int, ...]
    """(B,) how many people each picture has."""
    cells: tuple[int, ...]
    """(B,) how many cells each picture's scale map has."""
    valid_3d: tuple[bool, ...]
    """(B,)."""
    detect_all_people: tuple[bool, ...]
    """(B,)."""
    pose_axis_angle: Tensor
    """(P, 72)."""
    betas: Tensor
    """(P, 10) or (P, 11)."""
    joints_camera_m: Tensor
    """(P, 45, 3)."""
    joints_px: Tensor
    """(P, 45, 2)."""
    joints_mask: Tensor
    """(P, 45, 2) bool."""
    boxes_cxcywh_norm: Tensor
    """(P, 4)."""
    depths: Tensor
    """(P, 2)."""
    focal_px: Tensor
    """(P,)."""
    depth_layers: Tensor
    """(P,) int64: -1 where a person has none, `LAYERS_UNKNOWN` where the picture has none."""
    scale_map: Tensor
    """(N, 2)."""
    picture_focal_px: Tensor
    """(B,) fx of each picture: its first person's, or its own where nobody is in it."""
    person_map: Tensor | None = None
    """
    (B, rows, columns) int64, the person seen at every seventh pixel, -1 nobody; where it is known.
    """
    part_map: Tensor | None = None
    """The same of which part of a body is seen, anybody's: `Rendered.part`, int8."""
    depth_map: Tensor | None = None
    """
    The same of how far behind their root the person of `person_map` is seen, metres along the
    optical axis; infinite where nobody is.
    """

    def __len__(self) -> int:
        """Return the number of people."""
        return sum(self.people)

    @cached_property
    def first_person(self) -> Ints:
        """(B,) the number of each picture's first person."""
        counts = np.asarray(self.people, np.int64)
        return counts.cumsum() - counts

    @cached_property
    def picture(self) -> Ints:
        """(P,) the picture of each person."""
        return np.repeat(np.arange(len(self.people)), self.people)

    @cached_property
    def person_valid_3d(self) -> Bools:
        """(P,) whether pose, shape, 3-D joints and depths of a person are labels."""
        return np.repeat(np.asarray(self.valid_3d, bool), self.people)

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.boxes_cxcywh_norm.device

    def to(self, device: torch.device) -> BatchTruth:
        """Return the same with its tensors on another device."""
        return self._with_tensors(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> BatchTruth:
        """Return the same in memory that a device can fetch from by itself."""
        return self._with_tensors(Tensor.pin_memory)

    def _with_tensors(self, change: Callable[[Tensor], Tensor]) -> BatchTruth:
        changed: dict[str, Any] = {
            name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **changed)


def packed(targets: Sequence[Target] | BatchTruth) -> BatchTruth:
    """Return the truth of a batch of at least one picture; what is packed stays as it is."""
    if isinstance(targets, BatchTruth):
        return targets

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(target, name) for target in targets])

    layers = [
        torch.full_like(t.depths[:, 0], LAYERS_UNKNOWN, dtype=torch.int64)
        if t.depth_layers is None
        else t.depth_layers
        for t in targets
    ]
    return BatchTruth(
        sizes_hw=tuple(t.size_hw for t in targets),
        people=tuple(len(t) for t in targets),
        cells=tuple(len(t.scale_map) for t in targets),
        valid_3d=tuple(t.valid_3d for t in targets),
        detect_all_people=tuple(t.detect_all_people for t in targets),
        pose_axis_angle=joined('pose_axis_angle'),
        betas=joined('betas'),
        joints_camera_m=joined('joints_camera_m'),
        joints_px=joined('joints_px'),
        joints_mask=joined('joints_mask'),
        boxes_cxcywh_norm=joined('boxes_cxcywh_norm'),
        depths=joined('depths'),
        focal_px=joined('focal_px'),
        depth_layers=torch.cat(layers),
        scale_map=joined('scale_map'),
        picture_focal_px=torch.cat(
            [t.focal_px[:1] if len(t) else t.intrinsics[:1, 0, 0] for t in targets]
        ),
    )
