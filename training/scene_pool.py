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

"""Rendered scenes on the device, all of one shape, that new ones replace one after the other."""

from __future__ import annotations

from dataclasses import dataclass, fields
import threading

from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.config import ModelConfig
from mahmr_model.encoder.cells import morton_codes
from mahmr_model.preprocess import normalise
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.batches import DeviceBatch
from training.token_people import STRIDE_PX

MOST_PEOPLE = 10
"""Of a scene."""


@dataclass(frozen=True)
class PoolPictures:
    """B pictures and what their tokens can learn, of one shape whatever they show."""

    images: Tensor
    """(B, 3, S, S) normalised, black outside of the picture itself; float16 in the pool."""
    scale_map: Tensor
    """(B, N, 2) of all cells of the square in Morton order."""
    person_map: Tensor
    """(B, S/7 + 1, S/7 + 1) int8 who is seen at every seventh pixel, −1 nobody."""
    part_map: Tensor
    """The same of which part of a body is seen, as of `BatchTruth`."""
    depth_map: Tensor
    """The same of how far behind their root people are seen, as of `BatchTruth`; float16."""
    joints_px: Tensor
    """(B, 10, 45, 2)."""
    joints_m: Tensor
    """(B, 10, 45, 3) relative to the root."""
    fov_rad: Tensor
    """(B,) vertical, over the picture's own height."""
    size_hw: Tensor
    """(B, 2) of the pictures themselves."""
    focal_px: Tensor
    """(B,)."""
    present: Tensor
    """(B, 10) bool: which of the ten are there; the others' numbers mean nothing."""
    joints_camera_m: Tensor
    """(B, 10, 45, 3)."""
    boxes_cxcywh_norm: Tensor
    """(B, 10, 4)."""
    pose_axis_angle: Tensor
    """(B, 10, 72)."""
    betas: Tensor
    """(B, 10, S)."""
    depths: Tensor
    """(B, 10, 2)."""

    def at(self, places: Tensor) -> PoolPictures:
        """Return some of them."""
        return PoolPictures(*(getattr(self, f.name)[places] for f in fields(self)))


class ScenePool:
    """
    A ring of pictures: a batch takes the place of the oldest one.

    The places of the next batch are not drawn any more once the last one is there; who draws holds
    `guard` until the device has been told to read.
    """

    def __init__(self, config: ModelConfig, capacity: int, device: torch.device) -> None:
        """Take the memory for `capacity` pictures; none is there yet."""
        size, side = config.input_size, config.grid(1)
        self._side = side
        self._capacity, self._device = capacity, device
        black = normalise(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), 8)[0, :, :1, :1]
        self._black = black.to(device, torch.float16)
        order = morton_codes(side).flatten().argsort()
        self._places = torch.empty_like(order)
        self._places[order] = torch.arange(len(order))
        self._places = self._places.to(device)
        joints, rows = len(JOINT_NAMES_45), size // STRIDE_PX + 1

        def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(capacity, *shape, dtype=dtype, device=device)

        self.pictures = PoolPictures(
            new(3, size, size, dtype=torch.float16),
            new(side * side, 2, dtype=torch.float16),
            new(rows, rows, dtype=torch.int8),
            new(rows, rows, dtype=torch.int8),
            new(rows, rows, dtype=torch.float16),
            new(MOST_PEOPLE, joints, 2),
            new(MOST_PEOPLE, joints, 3),
            new(),
            new(2),
            new(),
            new(MOST_PEOPLE, dtype=torch.bool),
            new(MOST_PEOPLE, joints, 3),
            new(MOST_PEOPLE, 4),
            new(MOST_PEOPLE, 72),
            new(MOST_PEOPLE, config.shapes),
            new(MOST_PEOPLE, 2),
        )
        self._filled, self._next, self._locked = 0, 0, 0
        self.guard = threading.Lock()
        self._free: torch.cuda.Event | None = None
        """When nothing that was started before reads the next batch's places."""

    def __len__(self) -> int:
        """Return how many pictures can be drawn."""
        return self._filled - self._locked

    def draw(self, count: int) -> Tensor:
        """Return `count` places at random of pictures that are not about to be replaced."""
        start = self._next + self._locked if self._locked else 0
        places = torch.randint(len(self), (count,), device=self._device)
        return (start + places) % self._filled

    @torch.no_grad()
    def put(self, batch: DeviceBatch, yx: Tensor) -> None:
        """
        Put rendered pictures in the places of the oldest ones, all together.

        `yx` (N, 2): rows and columns of their packed cells (`encoder.cells`). Every batch is as
        large as the first one.
        """
        count, truth = len(batch.images), batch.truth
        assert truth.person_map is not None
        assert truth.part_map is not None
        assert truth.depth_map is not None
        if self._free is not None:
            torch.cuda.current_stream(self._device).wait_event(self._free)
        first = self._next
        places = slice(first, first + count)
        pool = self.pictures
        canvas = batch.images.canvas
        pool.images[places] = self._black
        pool.images[places, :, : canvas.shape[2], : canvas.shape[3]] = canvas.half()
        height, width = (
            on_device(np.asarray(truth.sizes_hw, np.int64)[:, axis], self._device)
            for axis in (0, 1)
        )
        pictures = torch.arange(count, device=self._device)
        of_cells = torch.repeat_interleave(
            pictures, on_device(np.asarray(truth.cells), self._device), output_size=len(yx)
        )
        pool.scale_map[places] = 0
        pool.scale_map[first + of_cells, self._places[yx[:, 0] * self._side + yx[:, 1]]] = (
            truth.scale_map.half()
        )
        picture = on_device(truth.picture, self._device)
        number = on_device(np.arange(len(truth)) - truth.first_person[truth.picture], self._device)
        numbers = torch.cat([number, number.new_full((1,), -1)])  # the last one for nobody
        seen = truth.person_map
        pool.person_map[places] = -1
        # Beside a picture, on the batch's canvas, nobody is seen either.
        on_canvas = (places, slice(seen.shape[1]), slice(seen.shape[2]))
        pool.person_map[on_canvas] = numbers[seen.long()].to(torch.int8)
        pool.part_map[places] = -1
        pool.part_map[on_canvas] = truth.part_map
        pool.depth_map[places] = torch.inf
        pool.depth_map[on_canvas] = truth.depth_map.half()
        joints_m, person = truth.joints_camera_m, (first + picture, number)
        pool.joints_px[person] = truth.joints_px
        pool.joints_m[person] = joints_m - joints_m[:, :1]
        pool.size_hw[places] = torch.stack([height, width], dim=1).float()
        pool.focal_px[places] = truth.picture_focal_px
        pool.present[places] = False
        pool.present[person] = True
        for name in ('joints_camera_m', 'boxes_cxcywh_norm', 'pose_axis_angle', 'betas'):
            getattr(pool, name)[person] = getattr(truth, name)
        pool.depths[places] = 1  # something to divide by
        pool.depths[person] = truth.depths
        pool.fov_rad[places] = 2 * (height / (2 * truth.picture_focal_px)).atan()
        if self._device.type == 'cuda':
            torch.cuda.current_stream(self._device).synchronize()
        with self.guard:
            self._filled = max(self._filled, first + count)
            self._next = first + count if first + 2 * count <= self._capacity else 0
            self._locked = count if self._filled > self._next else 0
            if self._device.type == 'cuda':
                self._free = torch.cuda.default_stream(self._device).record_event()
