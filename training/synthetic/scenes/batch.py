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

"""Scenes and their looks, packed into few tensors that cross to the device at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Floats, Ints
from training.synthetic.scenes.look import draw_look, Look, row
from training.synthetic.scenes.scene import Scene, ThingShape
from training.synthetic.scenes.sensor import pack_sensors, SensorBatch

SHAPES: tuple[ThingShape, ...] = ('box', 'cylinder', 'ellipsoid')
_BATCH_COST_PX = 5_000_000
"""How many pixels a GPU could draw in the time that it takes to start a batch's operations."""
_ROUND = 8
"""Canvases are multiples of JPEG's blocks."""


@dataclass(frozen=True)
class Batch:
    """B scenes with P people and T things in all; tensors on one device."""

    sizes_hw: tuple[tuple[int, int], ...]
    person_counts: tuple[int, ...]
    shape_counts: tuple[int, int, int]
    """How many of the T things are of each of SHAPES, in whose order they lie."""
    sensors: SensorBatch
    column_px: Tensor
    """(W,) the middles of the canvas's columns, whose number is a multiple of 8."""
    row_px: Tensor
    """(H,)"""
    intrinsics: Tensor
    """(B, 3, 3)"""
    size_px: Tensor
    """(B, 2) width and height."""
    axes: Tensor
    """(B, 3, 3) `Look.axes`."""
    offset_m: Tensor
    """(B,) the camera's height above the ground."""
    to_light: Tensor
    """(B, 3)"""
    room: Tensor
    """(B, numbers of Room)"""
    light: Tensor
    """(B, numbers of Light)"""
    surroundings: Tensor
    """(B, len(SURROUNDINGS), COLUMNS)"""
    pose_axis_angle: Tensor
    """(P, 72)"""
    betas: Tensor
    """(P, S)"""
    translation_m: Tensor
    """(P, 3)"""
    person_picture: Tensor
    """(P,) int64"""
    person_number: Tensor
    """(P,) int64 within its scene."""
    clothes: Tensor
    """(P, len(PARTS), COLUMNS)"""
    cut: Tensor
    hanging: Tensor
    present: Tensor
    folds: Tensor
    thing_centre_m: Tensor
    """(T, 3)"""
    thing_half_m: Tensor
    """(T, 3)"""
    thing_rotation: Tensor
    """(T, 3, 3)"""
    thing_picture: Tensor
    """(T,) int64"""
    thing_surface: Tensor
    """(T, COLUMNS)"""

    @property
    def height(self) -> int:
        """Return the canvas's."""
        return len(self.row_px)

    @property
    def width(self) -> int:
        """Return the canvas's."""
        return len(self.column_px)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its tensors on `device`."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name).to(device, non_blocking=True)
                for field in fields(self)
                if isinstance(getattr(self, field.name), Tensor | SensorBatch)
            },
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, for a data loader's `pin_memory`."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name).pin_memory()
                for field in fields(self)
                if isinstance(getattr(self, field.name), Tensor | SensorBatch)
            },
        )


@dataclass(frozen=True)
class Packed:
    """Scenes in batches of like sizes, so that little of a canvas is left empty."""

    batches: tuple[Batch, ...]
    places: tuple[tuple[int, ...], ...]
    """For each batch, which of the scenes it holds."""
    canvas_hw: tuple[int, int]
    """Height and width that hold every scene, multiples of 8."""

    def pin_memory(self) -> Packed:
        """Return the same in page-locked memory, for a data loader's `pin_memory`."""
        return replace(self, batches=tuple(batch.pin_memory() for batch in self.batches))


def pack(
    scenes: Sequence[Scene], looks: Sequence[Look] | None = None, at_once: int = 128
) -> Packed:
    """
    Pack at least one scene; for a data loader's `collate_fn`.

    `looks` are drawn here where they are not given. A device draws `at_once` scenes at a time.
    """
    looks = [draw_look(scene) for scene in scenes] if looks is None else looks
    places = _grouped([scene.size_hw for scene in scenes], at_once)
    batches = tuple(
        _batch([scenes[number] for number in part], [looks[number] for number in part])
        for part in places
    )
    return Packed(batches, places, _canvas(scenes))


def _grouped(sizes_hw: Sequence[tuple[int, int]], at_once: int) -> tuple[tuple[int, ...], ...]:
    """
    Return which scenes to draw together, so that canvases hold little more than the scenes.

    Scenes are sorted by their aspect and cut where the least time is lost, counted in pixels.
    """
    order = sorted(range(len(sizes_hw)), key=lambda i: sizes_hw[i][0] / sizes_hw[i][1])
    sizes = np.array([sizes_hw[i] for i in order])
    count = len(order)
    # least[k, n]: the smallest area of canvases for the first n scenes in k batches.
    most = min(-(-count // at_once) + 1, count)
    least = np.full((most + 1, count + 1), np.inf)
    begin = np.zeros((most + 1, count + 1), np.int64)
    least[0, 0] = 0
    for stop in range(1, count + 1):
        first = max(stop - at_once, 0)
        # Largest height and width of the scenes from each possible begin to here.
        largest = np.maximum.accumulate(sizes[first:stop][::-1])[::-1]
        area = largest.prod(1) * np.arange(stop - first, 0, -1) + _BATCH_COST_PX
        for batches in range(1, most + 1):
            total = least[batches - 1, first:stop] + area
            begin[batches, stop] = first + int(total.argmin())
            least[batches, stop] = total.min()
    batches, stop = int(least[:, count].argmin()), count
    groups = []
    while stop:
        start = int(begin[batches, stop])
        groups.append(tuple(order[start:stop]))
        batches, stop = batches - 1, start
    return tuple(groups)


def _batch(scenes: Sequence[Scene], looks: Sequence[Look]) -> Batch:
    canvas_hw = _canvas(scenes)
    things = sorted(
        (
            (SHAPES.index(thing.shape), picture, thing, look.things[number])
            for picture, (scene, look) in enumerate(zip(scenes, looks, strict=True))
            for number, thing in enumerate((*scene.things, *look.extras))
        ),
        key=lambda item: item[:2],
    )
    counts = [len(scene.betas) for scene in scenes]
    numbers = [np.arange(count) for count in counts]
    outfits = [look.outfits for look in looks]
    return Batch(
        tuple(scene.size_hw for scene in scenes),
        tuple(counts),
        _shape_counts([item[0] for item in things]),
        pack_sensors([look.sensor for look in looks]),
        torch.arange(canvas_hw[1]) + 0.5,
        torch.arange(canvas_hw[0]) + 0.5,
        _stack([scene.intrinsics for scene in scenes]),
        _stack([np.array(scene.size_hw[::-1]) for scene in scenes]),
        _stack([look.axes for look in looks]),
        _stack([np.array(scene.ground_offset_m) for scene in scenes]),
        _stack([scene.light_direction for scene in scenes]),
        _stack([np.array(row(look.room)) for look in looks]),
        _stack([np.array(row(look.light)) for look in looks]),
        _stack([look.surfaces for look in looks]),
        _join([scene.pose_axis_angle for scene in scenes]),
        _join([scene.betas for scene in scenes]),
        _join([scene.translation_m for scene in scenes]),
        _integers(np.repeat(np.arange(len(scenes)), counts)),
        _integers(np.concatenate(numbers)),
        _join([outfit.surfaces for outfit in outfits]),
        _join([outfit.cut for outfit in outfits]),
        _join([outfit.hanging for outfit in outfits]),
        _join([outfit.present for outfit in outfits]),
        _join([outfit.folds for outfit in outfits]),
        _stack([item[2].centre_m for item in things], 3),
        _stack([item[2].half_sides_m for item in things], 3),
        _stack([item[2].rotation for item in things], 3, 3),
        _integers(np.array([item[1] for item in things], np.int64)),
        _stack([item[3] for item in things], looks[0].things.shape[1]),
    )


def _canvas(scenes: Sequence[Scene]) -> tuple[int, int]:
    """Return the smallest height and width, multiples of 8, that hold each of the scenes."""
    height, width = (max(scene.size_hw[axis] for scene in scenes) for axis in (0, 1))
    return -(-height // _ROUND) * _ROUND, -(-width // _ROUND) * _ROUND


def _shape_counts(shapes: list[int]) -> tuple[int, int, int]:
    return shapes.count(0), shapes.count(1), shapes.count(2)


def _stack(arrays: Sequence[Floats], *empty: int) -> Tensor:
    stacked = np.stack(arrays) if arrays else np.zeros((0, *empty))
    return torch.from_numpy(stacked.astype(np.float32))


def _join(arrays: Sequence[Floats]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.float32))


def _integers(array: Ints) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))
