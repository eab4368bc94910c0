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

"""Everything about how a scene looks, drawn from its `look_seed` with numpy in a worker."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Generic, Literal

import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Floats
from training.synthetic.scenes.clutter import draw_clutter
from training.synthetic.scenes.outfit import draw_outfits, Number, Outfits
from training.synthetic.scenes.scene import Scene, Thing
from training.synthetic.scenes.sensor_look import draw_sensor, Sensor
from training.synthetic.scenes.surface import COLUMNS, hsv, linear, near, one_colour, surface

SURROUNDINGS = ('sky', 'ground', 'path', 'right', 'left', 'front', 'back', 'ceiling')
"""Surfaces that each scene has, in their order; some may be out of sight."""


@dataclass(frozen=True)
class Room(Generic[Number]):
    """Where walls stand, in metres from the camera's foot along the room's axes."""

    right: Number
    left: Number
    front: Number
    back: Number
    right_height: Number
    left_height: Number
    front_height: Number
    back_height: Number
    ceiling: Number
    path_x: Number
    path_z: Number
    path_offset: Number
    path_half_width: Number
    """The path is where |x·path_x + z·path_z − offset| is below its half width."""


@dataclass(frozen=True)
class Light(Generic[Number]):
    """Light of the scene, linear RGB around 1."""

    sun_red: Number
    sun_green: Number
    sun_blue: Number
    sky_red: Number
    sky_green: Number
    sky_blue: Number
    bounce_red: Number
    bounce_green: Number
    bounce_blue: Number
    haze_red: Number
    haze_green: Number
    haze_blue: Number
    haze_m: Number
    """After this many metres haze takes 63 % of the colour."""
    cover: Number
    """How much darker it is below something."""
    gradient_x: Number
    gradient_y: Number
    """Relative change of light from the middle to the edge of the picture."""

    def rgb(self: Light[Tensor], kind: Literal['sun', 'sky', 'bounce', 'haze']) -> Tensor:
        """Return a colour along the last axis, which is 1 long for each number."""
        return torch.cat(
            [getattr(self, f'{kind}_{name}') for name in ('red', 'green', 'blue')], -1
        )


@dataclass(frozen=True)
class Look:
    """How one scene looks; a few kB of numpy."""

    surfaces: Floats
    """(len(SURROUNDINGS), COLUMNS)"""
    things: Floats
    """(number of the scene's things + extras, COLUMNS)"""
    extras: tuple[Thing, ...]
    """What stands about beside the scene's own things, where it hides nobody."""
    axes: Floats
    """(3, 3) rows: the room's x (right), up, z (front) in the camera's frame."""
    room: Room[float]
    light: Light[float]
    outfits: Outfits
    sensor: Sensor


def row(numbers: Room[float] | Light[float]) -> list[float]:
    """Return the numbers of a record in order."""
    return [float(getattr(numbers, field.name)) for field in fields(numbers)]


def draw_look(scene: Scene) -> Look:
    """Draw how a scene looks, from its `look_seed` alone."""
    rng = np.random.default_rng(scene.look_seed)
    axes = _axes(rng, scene)
    reach = _reach(scene, axes)
    indoors = reach.max() < 9 and scene.ground_offset_m < 3.5 and rng.random() < 0.85
    room, surfaces = _inside(rng, reach, scene) if indoors else _outside(rng, reach, scene)
    walls_m = np.array([room.right, room.left, room.front, room.back])
    extras, skins = draw_clutter(rng, scene, axes, walls_m, indoors=indoors)
    rows = [*_things(rng, len(scene.things)), *skins]
    return Look(
        np.stack([surfaces[name] for name in SURROUNDINGS]).astype(np.float32),
        np.array(rows, np.float32).reshape(-1, COLUMNS),
        tuple(extras),
        axes.astype(np.float32),
        room,
        _light(rng, indoors, surfaces['sky']),
        draw_outfits(rng, len(scene.betas)),
        draw_sensor(rng),
    )


def _axes(rng: np.random.Generator, scene: Scene) -> Floats:
    up = scene.ground_normal / np.linalg.norm(scene.ground_normal)
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < 0.7 else rng.normal(0, 0.05)
    forward = np.array([np.sin(angle), 0.0, np.cos(angle)])
    forward -= up * (forward @ up)
    if np.linalg.norm(forward) < 0.1:  # the camera looks straight down
        forward = np.array([0.0, -1.0, 0.0]) - up * -up[1]
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(-up, forward), up, forward])


def _reach(scene: Scene, axes: Floats) -> Floats:
    """Return how far people and things reach to the right, left, front, back of the camera."""
    points = [*scene.translation_m, *(thing.centre_m for thing in scene.things)]
    sizes = [1.3] * len(scene.translation_m)
    sizes += [float(np.linalg.norm(thing.half_sides_m)) for thing in scene.things]
    reach = np.zeros(4)
    for point, size in zip(points, sizes, strict=True):
        x, _, z = axes @ point
        reach = np.maximum(reach, np.array([x, -x, z, -z]) + size)
    return reach


_FAR_M = 1e5


def _path(rng: np.random.Generator, share: float) -> tuple[float, float, float, float]:
    angle = rng.uniform(0, np.pi)
    there = rng.random() < share
    return (
        float(np.cos(angle)),
        float(np.sin(angle)),
        rng.uniform(-4, 8),
        rng.uniform(0.6, 4) if there else -1.0,
    )


def _inside(
    rng: np.random.Generator, reach: Floats, scene: Scene
) -> tuple[Room[float], dict[str, Floats]]:
    distances = np.maximum(reach, 0.8) + rng.exponential(1.2, 4)
    height = max(rng.uniform(2.3, 3.6), scene.ground_offset_m + 0.4)
    paint = hsv(rng, (0, 1), (0, 0.35), (0.35, 0.95))
    kind = str(
        rng.choice(
            ['posters', 'doors', 'plain', 'bricks', 'clutter', 'uprights'],
            p=[0.3, 0.22, 0.2, 0.08, 0.1, 0.1],
        )
    )
    surfaces = {'sky': one_colour(rng, paint), 'path': _floor(rng), 'ground': _floor(rng)}
    for name in ('right', 'left', 'front', 'back'):
        own = (
            kind
            if rng.random() < 0.5
            else str(rng.choice(['posters', 'doors', 'shelves', 'windows', 'clutter', 'plain']))
        )
        colours = (
            near(rng, paint, 0.08),
            hsv(rng, (0, 1), (0, 0.6), (0.1, 0.9)),
            hsv(rng, (0, 1), (0, 0.5), (0.1, 0.95)),
        )
        tile_m = (
            height if own in ('doors', 'posters', 'shelves', 'windows') else rng.uniform(1.5, 4)
        )
        surfaces[name] = surface(rng, own, colours, tile_m, rng.uniform(0.3, 0.9), anchored=True)
        surfaces[name][12] = rng.random()
    ceiling = hsv(rng, (0.1, 0.2), (0, 0.1), (0.5, 0.95))
    kind = str(rng.choice(['plain', 'tiles', 'planks'], p=[0.6, 0.3, 0.1]))
    surfaces['ceiling'] = surface(
        rng, kind, (ceiling, ceiling, ceiling * 0.6), rng.uniform(1.5, 3), 0.2
    )
    numbers = [*distances, *([height + 0.01] * 4), height, *_path(rng, 0.1)]
    return Room(*numbers), surfaces


def _floor(rng: np.random.Generator) -> Floats:
    kind = str(
        rng.choice(
            ['planks', 'tiles', 'speckle', 'plain', 'blotches'], p=[0.3, 0.2, 0.3, 0.15, 0.05]
        )
    )
    if kind == 'planks':
        a = hsv(rng, (0.05, 0.1), (0.3, 0.65), (0.25, 0.8))
        return surface(
            rng,
            kind,
            (a, near(rng, a, 0.3), a * 0.3),
            rng.uniform(0.9, 1.6),
            rng.uniform(0.2, 0.6),
        )
    a = hsv(rng, (0, 1), (0, 0.2), (0.2, 0.85))
    return surface(
        rng,
        kind,
        (a, near(rng, a, 0.4), near(rng, a, 0.7)),
        rng.uniform(1, 3),
        rng.uniform(0.1, 0.5),
    )


def _outside(
    rng: np.random.Generator, reach: Floats, scene: Scene
) -> tuple[Room[float], dict[str, Floats]]:
    distances = np.maximum(reach, 2.0) + rng.gamma(1.5, 9.0, 4)
    high = rng.uniform(3, 14, 4)
    surfaces = {
        'sky': _sky(rng),
        'ground': _earth(rng),
        'path': _earth(rng),
        'ceiling': one_colour(rng, linear(1, 1, 1)),
    }
    style = str(rng.choice(['windows', 'bricks', 'trees', 'skyline']))
    for index, name in enumerate(('right', 'left', 'front', 'back')):
        own = (
            style
            if rng.random() < 0.5
            else str(
                rng.choice(
                    ['windows', 'bricks', 'trees', 'skyline', 'clutter', 'uprights', 'open']
                )
            )
        )
        if own == 'open':
            distances[index], own = _FAR_M, 'plain'
        surfaces[name], high[index] = _front(rng, own, high[index])
        if own in ('trees', 'skyline'):
            distances[index] += rng.uniform(5, 60)
    numbers = [*distances, *high, _FAR_M, *_path(rng, 0.5)]
    return Room(*numbers), surfaces


def _front(rng: np.random.Generator, kind: str, height: float) -> tuple[Floats, float]:
    """Draw a house front, a wall or trees, and how high it is."""
    a = hsv(rng, (0, 0.14), (0, 0.55), (0.3, 0.9))
    b, c = hsv(rng, (0.5, 0.65), (0, 0.4), (0.08, 0.6)), hsv(rng, (0, 1), (0, 0.5), (0.2, 0.95))
    tile_m = rng.uniform(4, 9)
    if kind == 'trees':
        a = hsv(rng, (0.13, 0.36), (0.2, 0.7), (0.15, 0.5))
        b, c = near(rng, a, 0.5), hsv(rng, (0.05, 0.1), (0.2, 0.5), (0.1, 0.4))
        height = max(height, 5.0)
        tile_m = height
    elif kind == 'skyline':
        height = tile_m = height * 3
    elif kind in ('bricks', 'uprights'):
        a, tile_m = hsv(rng, (0, 0.1), (0.1, 0.6), (0.25, 0.75)), rng.uniform(1.2, 2.5)
        b, c = near(rng, a, 0.4), near(rng, a * 1.5, 0.4)
        height = rng.choice([height, rng.uniform(0.8, 2.5)])
    row = surface(rng, kind, (a, b, c), tile_m, rng.uniform(0.4, 0.9), anchored=True)
    row[12] = rng.random()
    return row, float(height)


def _sky(rng: np.random.Generator) -> Floats:
    overcast = rng.random() < 0.5
    a = hsv(rng, (0.55, 0.64), (0, 0.12) if overcast else (0.25, 0.65), (0.6, 0.95))
    b = hsv(rng, (0.55, 0.64), (0, 0.1), (0.75, 1.0))
    row = surface(rng, 'clouds', (a * 1.6, b * 1.6, b), rng.uniform(2, 6), 0.0, lit=0.0)
    return row


def _earth(rng: np.random.Generator) -> Floats:
    kind = str(
        rng.choice(
            [
                'grass',
                'speckle',
                'flagstones',
                'pebbles',
                'blotches',
                'tiles',
                'bricks',
                'water',
                'plain',
            ],
            p=[0.25, 0.27, 0.1, 0.08, 0.1, 0.07, 0.03, 0.06, 0.04],
        )
    )
    if kind == 'grass':
        a = hsv(rng, (0.17, 0.33), (0.3, 0.75), (0.25, 0.6))
        b, c = (
            hsv(rng, (0.14, 0.3), (0.3, 0.7), (0.25, 0.65)),
            hsv(rng, (0.08, 0.14), (0.2, 0.5), (0.3, 0.6)),
        )
        return surface(rng, kind, (a, b, c), rng.uniform(2, 5), rng.uniform(0.4, 1.0))
    a = hsv(rng, (0.05, 0.15), (0, 0.35), (0.2, 0.8))
    if rng.random() < 0.4:
        a = hsv(rng, (0, 1), (0, 0.15), (0.2, 0.8))
    return surface(
        rng,
        kind,
        (a, near(rng, a, 0.25), near(rng, a, 0.6)),
        rng.uniform(1.5, 5),
        rng.uniform(0.2, 0.8),
    )


def _things(rng: np.random.Generator, count: int) -> list[Floats]:
    rows = []
    for _ in range(count):
        kind = str(
            rng.choice(
                [
                    'plain',
                    'planks',
                    'clutter',
                    'uprights',
                    'stripes',
                    'blotches',
                    'shelves',
                    'bricks',
                    'windows',
                ],
                p=[0.34, 0.16, 0.12, 0.06, 0.04, 0.1, 0.06, 0.06, 0.06],
            )
        )
        a = hsv(rng, (0, 1), (0, 0.65), (0.06, 0.9))
        colours = (a, near(rng, a, 0.6), hsv(rng, (0, 1), (0, 0.6), (0.05, 0.95)))
        rows.append(surface(rng, kind, colours, rng.uniform(0.5, 1.6), rng.uniform(0.2, 0.8)))
    return rows


def _light(rng: np.random.Generator, indoors: bool, sky: Floats) -> Light[float]:
    warm = linear(1.0, rng.uniform(0.8, 1.0), rng.uniform(0.6, 1.0))
    ambient = near(rng, np.full(3, 0.5), 0.1)
    if indoors:
        sun, cover, haze_m = warm * rng.uniform(0.0, 0.7), rng.uniform(0.35, 0.85), _FAR_M
        ambient = ambient * near(rng, warm, 0.1)
    else:
        sunny = rng.random() < 0.55
        sun = warm * (rng.uniform(0.7, 2.2) if sunny else rng.uniform(0.0, 0.25))
        cover, haze_m = rng.uniform(0.35, 0.85), 600.0
        if rng.random() < 0.12:
            haze_m = rng.uniform(25, 200)
    bounce = ambient * rng.uniform(0.3, 0.9)
    haze = sky[3:6] * 0.7
    gradient = rng.normal(0, 0.25 if indoors else 0.08, 2)
    numbers = [*sun, *ambient, *bounce, *haze, haze_m, cover, *gradient.clip(-0.5, 0.5)]
    return Light(*numbers)
