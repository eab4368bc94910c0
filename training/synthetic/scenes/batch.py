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
from training.synthetic.scenes.sensor_look import Sensor

SHAPES: tuple[ThingShape, ...] = ('box', 'cylinder', 'ellipsoid')
_ROUND = 8
"""Canvases are multiples of JPEG's blocks."""


@dataclass(frozen=True)
class Batch:
    """B scenes with P people and T things in all; tensors on one device."""

    sizes_hw: tuple[tuple[int, int], ...]
    height: int
    width: int
    """The canvas: the largest height and width, rounded up to a multiple of 8."""
    person_counts: tuple[int, ...]
    shape_counts: tuple[int, int, int]
    """How many of the T things are of each of SHAPES, in whose order they lie."""
    sensors: tuple[Sensor, ...]
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

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its tensors on `device`."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name).to(device, non_blocking=True)
                for field in fields(self)
                if isinstance(getattr(self, field.name), Tensor)
            },
        )

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, for a data loader's `pin_memory`."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name).pin_memory()
                for field in fields(self)
                if isinstance(getattr(self, field.name), Tensor)
            },
        )


def pack(
    scenes: Sequence[Scene],
    looks: Sequence[Look] | None = None,
    canvas_hw: tuple[int, int] | None = None,
) -> Batch:
    """
    Pack at least one scene; for a data loader's `collate_fn`.

    `looks` are drawn here where they are not given. `canvas_hw`, where given, must hold all
    scenes; it is the largest height and width otherwise.
    """
    looks = [draw_look(scene) for scene in scenes] if looks is None else looks
    if canvas_hw is None:
        canvas_hw = canvas_of(scenes)
    things = sorted(
        (
            (SHAPES.index(thing.shape), picture, thing, look.things[number])
            for picture, (scene, look) in enumerate(zip(scenes, looks, strict=True))
            for number, thing in enumerate(scene.things)
        ),
        key=lambda item: item[:2],
    )
    counts = [len(scene.betas) for scene in scenes]
    numbers = [np.arange(count) for count in counts]
    outfits = [look.outfits for look in looks]
    return Batch(
        tuple(scene.size_hw for scene in scenes),
        *canvas_hw,
        tuple(counts),
        _shape_counts([item[0] for item in things]),
        tuple(look.sensor for look in looks),
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


def canvas_of(scenes: Sequence[Scene]) -> tuple[int, int]:
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
