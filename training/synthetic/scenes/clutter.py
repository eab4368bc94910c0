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

"""What stands about behind and beside people: cars, trees, poles, furniture; only for looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from training.data.annotation import Floats
from training.synthetic.scenes.scene import Scene, Thing, ThingShape
from training.synthetic.scenes.surface import Colour, hsv, linear, near, one_colour, surface

_TRIES = 4
_CLEAR_M = 0.7
"""Nothing is nearer to a person than this."""


@dataclass(frozen=True)
class Piece:
    """A solid of something: x right, y up from the ground, z towards its back, metres."""

    shape: ThingShape
    centre_m: tuple[float, float, float]
    half_sides_m: tuple[float, float, float]
    surface: Floats
    lean: float = 0.0
    """Turned around z, radians."""


Maker = Callable[[np.random.Generator], list[Piece]]


def _paint(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.55:
        return hsv(rng, (0, 1), (0, 0.12), (0.08, 0.95))
    return hsv(rng, (0, 1), (0.3, 0.8), (0.15, 0.85))


def _wood(rng: np.random.Generator) -> Floats:
    a = hsv(rng, (0.05, 0.1), (0.2, 0.65), (0.2, 0.8))
    return surface(rng, 'planks', (a, near(rng, a, 0.2), a * 0.4), rng.uniform(0.8, 1.5), 0.4)


def _finish(rng: np.random.Generator) -> Floats:
    return _wood(rng) if rng.random() < 0.4 else one_colour(rng, _paint(rng), 0.25)


def _leaves(rng: np.random.Generator) -> Floats:
    a = hsv(rng, (0.14, 0.36), (0.25, 0.75), (0.12, 0.45))
    return surface(rng, 'grass', (a, near(rng, a, 0.5), a * 0.3), rng.uniform(0.8, 2.0), 1.3)


def car(rng: np.random.Generator) -> list[Piece]:
    """Make a car or a van."""
    paint, glass = one_colour(rng, _paint(rng), 0.1), one_colour(rng, linear(0.15, 0.17, 0.2), 0.3)
    tyre = one_colour(rng, linear(0.12, 0.12, 0.12), 0.2)
    length, width = rng.uniform(1.8, 2.5), rng.uniform(0.78, 0.95)
    pieces = [Piece('box', (0, 0.58, 0), (length, 0.3, width), paint)]
    if rng.random() < 0.25:  # a van
        tall = rng.uniform(0.45, 0.7)
        pieces.append(
            Piece('box', (-0.25, 0.88 + tall, 0), (length - 0.25, tall, width - 0.03), paint)
        )
        pieces.append(
            Piece('box', (length * 0.55, 1.2, 0), (length * 0.3, 0.25, width + 0.01), glass)
        )
    else:
        cabin = length * rng.uniform(0.45, 0.6)
        pieces.append(Piece('box', (-0.15, 1.08, 0), (cabin, 0.22, width - 0.12), glass))
        pieces.append(Piece('box', (-0.15, 1.33, 0), (cabin * 0.9, 0.035, width - 0.14), paint))
    for x in (-0.6, 0.6):
        pieces.append(Piece('ellipsoid', (x * length, 0.32, 0), (0.32, 0.32, width + 0.05), tyre))
    lamp = one_colour(
        rng, linear(0.85, 0.8, 0.7) if rng.random() < 0.5 else linear(0.6, 0.08, 0.06)
    )
    for z in (-0.7, 0.7):
        pieces.append(Piece('box', (length, 0.65, z * width), (0.02, 0.07, 0.14), lamp))
    return pieces


def tree(rng: np.random.Generator) -> list[Piece]:
    """Make a tree with a crown of a few balls, or a bare one."""
    bark = surface(
        rng,
        'uprights',
        (linear(0.3, 0.24, 0.18), linear(0.22, 0.18, 0.14), linear(0.4, 0.35, 0.3)),
        0.5,
        0.6,
    )
    height, thick = rng.uniform(1.6, 4.0), rng.uniform(0.06, 0.22)
    leaves, size = _leaves(rng), rng.uniform(0.7, 1.8)
    pieces = [
        Piece(
            'cylinder', (0, height / 2, 0), (thick, height / 2, thick), bark, rng.normal(0, 0.04)
        )
    ]
    for _ in range(int(rng.integers(2, 5))):
        x, y, z = rng.normal(0, 0.45, 3) * size
        half = size * rng.uniform(0.5, 0.9, 3)
        pieces.append(
            Piece(
                'ellipsoid', (x, height + size * 0.6 + y, z), (half[0], half[1], half[2]), leaves
            )
        )
    return pieces


def bush(rng: np.random.Generator) -> list[Piece]:
    """Make a bush or a hedge."""
    half = rng.uniform(0.3, 0.9, 3) * (rng.uniform(1, 3), 1, 1)
    if rng.random() < 0.4:
        return [Piece('box', (0, half[1], 0), (half[0], half[1], half[2] * 0.6), _leaves(rng))]
    return [Piece('ellipsoid', (0, half[1] * 0.8, 0), (half[0], half[1], half[2]), _leaves(rng))]


def pole(rng: np.random.Generator) -> list[Piece]:
    """Make a lamp post, a sign post or a bollard."""
    metal, kind = one_colour(rng, hsv(rng, (0, 1), (0, 0.25), (0.1, 0.8)), 0.3), rng.random()
    height = rng.uniform(0.7, 1.1) if kind < 0.3 else rng.uniform(2.2, 6)
    thick = rng.uniform(0.03, 0.1)
    pieces = [Piece('cylinder', (0, height / 2, 0), (thick, height / 2, thick), metal)]
    if 0.3 <= kind < 0.65:
        side, board = rng.uniform(0.2, 0.45), _paint(rng)
        plate = surface(rng, 'clutter', (board, _paint(rng), linear(0.9, 0.9, 0.9)), 1.2, 0.3)
        pieces.append(
            Piece(
                'box', (0, height - side, -0.08), (side, side * rng.uniform(0.6, 1.2), 0.02), plate
            )
        )
    elif kind >= 0.65:
        pieces.append(Piece('ellipsoid', (0.3, height, 0), (0.4, 0.08, 0.12), metal))
    return pieces


def cabinet(rng: np.random.Generator) -> list[Piece]:
    """Make a cabinet, a shelf, a fridge, a counter."""
    half = (rng.uniform(0.25, 1.0), rng.uniform(0.4, 1.05), rng.uniform(0.2, 0.4))
    if rng.random() < 0.35:
        colours = (_paint(rng), _paint(rng), _paint(rng))
        skin = surface(rng, 'shelves', colours, half[1] * 2, 0.6, anchored=True)
    else:
        skin = _finish(rng)
    return [
        Piece('box', (0, half[1], 0), half, skin),
        Piece(
            'box',
            (0, half[1] * 1.2, -half[2]),
            (0.08, 0.012, 0.02),
            one_colour(rng, linear(0.5, 0.5, 0.5)),
        ),
    ]


def table(rng: np.random.Generator) -> list[Piece]:
    """Make a table or a desk, sometimes with things on it."""
    skin, legs = _finish(rng), _finish(rng)
    x, z, height = rng.uniform(0.35, 1.0), rng.uniform(0.3, 0.5), rng.uniform(0.68, 0.78)
    pieces = [Piece('box', (0, height, 0), (x, 0.02, z), skin)]
    for a in (-1, 1):
        for b in (-1, 1):
            pieces.append(
                Piece(
                    'box',
                    (a * (x - 0.05), height / 2, b * (z - 0.05)),
                    (0.025, height / 2, 0.025),
                    legs,
                )
            )
    if rng.random() < 0.5:  # a screen
        dark = one_colour(rng, hsv(rng, (0.5, 0.7), (0, 0.6), (0.03, 0.5)), 0.3)
        pieces.append(
            Piece('box', (rng.uniform(-0.2, 0.2), height + 0.3, 0), (0.28, 0.17, 0.02), dark)
        )
        pieces.append(Piece('box', (0, height + 0.06, 0), (0.03, 0.07, 0.03), dark))
    return pieces


def chair(rng: np.random.Generator) -> list[Piece]:
    """Make a chair."""
    skin, legs = _finish(rng), one_colour(rng, hsv(rng, (0, 1), (0, 0.2), (0.05, 0.7)), 0.2)
    pieces = [
        Piece('box', (0, 0.45, 0), (0.22, 0.025, 0.22), skin),
        Piece('box', (0, 0.72, 0.21), (0.21, 0.17, 0.02), skin),
    ]
    for a in (-0.2, 0.2):
        pieces.append(Piece('box', (a, 0.22, -0.2), (0.018, 0.22, 0.018), legs))
        pieces.append(Piece('box', (a, 0.4, 0.2), (0.018, 0.4, 0.018), legs))
    return pieces


def sofa(rng: np.random.Generator) -> list[Piece]:
    """Make a sofa or an armchair."""
    a = _paint(rng)
    kind = str(rng.choice(['creases', 'creases', 'flowers', 'checks']))
    skin = surface(rng, kind, (a, near(rng, a, 0.5), _paint(rng)), rng.uniform(0.4, 0.8), 0.4)
    wide = rng.uniform(0.4, 1.1)
    return [
        Piece('box', (0, 0.22, 0), (wide, 0.22, 0.4), skin),
        Piece('box', (0, 0.55, 0.35), (wide, 0.3, 0.1), skin),
        Piece('box', (-wide, 0.33, 0), (0.1, 0.33, 0.42), skin),
        Piece('box', (wide, 0.33, 0), (0.1, 0.33, 0.42), skin),
    ]


def plant(rng: np.random.Generator) -> list[Piece]:
    """Make a plant in a pot."""
    pot = one_colour(rng, hsv(rng, (0, 0.1), (0, 0.6), (0.2, 0.8)), 0.2)
    size = rng.uniform(0.2, 0.5)
    return [
        Piece('cylinder', (0, 0.2, 0), (0.17, 0.2, 0.17), pot),
        Piece('ellipsoid', (0, 0.4 + size, 0), (size * 0.7, size, size * 0.7), _leaves(rng)),
    ]


def bin_or_ball(rng: np.random.Generator) -> list[Piece]:
    """Make a bin, a box on the floor, a ball."""
    skin, kind = one_colour(rng, _paint(rng), 0.3), rng.random()
    half = rng.uniform(0.12, 0.45)
    if kind < 0.45:
        return [Piece('cylinder', (0, half, 0), (half * 0.6, half, half * 0.6), skin)]
    if kind < 0.85:
        return [Piece('box', (0, half, 0), (half * 1.2, half, half), skin)]
    return [Piece('ellipsoid', (0, 0.12, 0), (0.12, 0.12, 0.12), skin)]


def board(rng: np.random.Generator) -> list[Piece]:
    """Make a billboard, a whiteboard, a kiosk's wall, a stretch of fence."""
    kind = str(rng.choice(['clutter', 'plain', 'uprights', 'posters', 'print_on_chest']))
    skin = surface(rng, kind, (_paint(rng), _paint(rng), _paint(rng)), rng.uniform(0.8, 2), 0.4)
    x, y, foot = (
        rng.uniform(0.4, 1.8),
        rng.uniform(0.3, 0.8),
        rng.choice([0.0, rng.uniform(0, 1.2)]),
    )
    legs = one_colour(rng, _paint(rng), 0.2)
    pieces = [Piece('box', (0, foot + y, 0), (x, y, 0.03), skin)]
    if foot > 0.05:
        for a in (-0.8, 0.8):
            pieces.append(Piece('box', (a * x, foot / 2, 0), (0.03, foot / 2, 0.03), legs))
    return pieces


OUTDOORS: tuple[Maker, ...] = (
    car,
    car,
    tree,
    tree,
    tree,
    bush,
    bush,
    pole,
    pole,
    pole,
    board,
    bin_or_ball,
)
INDOORS: tuple[Maker, ...] = (
    cabinet,
    cabinet,
    table,
    table,
    chair,
    chair,
    chair,
    sofa,
    plant,
    bin_or_ball,
    board,
)


def draw_clutter(
    rng: np.random.Generator, scene: Scene, axes: Floats, walls_m: Floats, *, indoors: bool
) -> tuple[list[Thing], list[Floats]]:
    """
    Draw things and their surfaces where they hide nobody.

    `axes` as `Look.axes`; `walls_m` (4,) how far walls are to the right, left, front, back.
    """
    things: list[Thing] = []
    surfaces: list[Floats] = []
    people = scene.translation_m @ axes.T
    solids = np.array([axes @ thing.centre_m for thing in scene.things]).reshape(-1, 3)
    foot = -scene.ground_offset_m
    for _ in range(rng.poisson(4.0 if indoors else 5.0)):
        makers = INDOORS if indoors else OUTDOORS
        pieces = makers[int(rng.integers(len(makers)))](rng)
        radius = max(
            float(np.hypot(*piece.centre_m[::2]) + max(piece.half_sides_m[::2]))
            for piece in pieces
        )
        for _ in range(_TRIES):
            spot = _spot(rng, scene, axes, indoors)
            free = _free(spot, radius, people, solids, walls_m)
            if spot is not None and free:
                break
        else:
            continue
        assert spot is not None
        solids = np.vstack([solids, [spot[0], 0.0, spot[1]]])
        yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.15)
        for piece in pieces:
            things.append(_placed(piece, spot, foot, yaw, axes))
            surfaces.append(piece.surface)
    return things, surfaces


def _spot(
    rng: np.random.Generator, scene: Scene, axes: Floats, indoors: bool
) -> tuple[float, float] | None:
    """Draw where a pixel's ray is at some depth, to the right and to the front; None above it."""
    width = scene.size_hw[1]
    k = scene.intrinsics
    depth = 2.5 + rng.gamma(2.0, 1.5 if indoors else 6.0)
    x = (rng.uniform(-0.05, 1.05) * width - k[0, 2]) / k[0, 0]
    right, _, front = axes @ np.array([x, 0.0, 1.0])
    length = np.hypot(right, front)
    if length < 0.3:
        return None
    return float(right / length * depth), float(front / length * depth)


def _free(
    spot: tuple[float, float] | None,
    radius: float,
    people: Floats,
    solids: Floats,
    walls_m: Floats,
) -> bool:
    """Whether something may stand there: clear of all, within the walls, before nobody."""
    if spot is None:
        return False
    x, z = spot
    if not (-walls_m[1] < x - radius and x + radius < walls_m[0]):
        return False
    if not (-walls_m[3] < z - radius and z + radius < walls_m[2]):
        return False
    distance = np.hypot(x, z)
    if distance < radius + 1.0:
        return False
    if len(solids) and np.hypot(solids[:, 0] - x, solids[:, 2] - z).min() < radius + 0.5:
        return False
    if not len(people):
        return True
    if np.hypot(people[:, 0] - x, people[:, 2] - z).min() < radius + _CLEAR_M:
        return False
    beyond = np.hypot(people[:, 0], people[:, 2])
    angle = np.arctan2(people[:, 0], people[:, 2]) - np.arctan2(x, z)
    angle = np.abs((angle + np.pi) % (2 * np.pi) - np.pi)
    # A person takes a metre to each side where arms and legs reach out.
    overlaps = angle < np.arctan2(radius, distance) + np.arctan2(1.0, np.maximum(beyond, 0.3))
    return not bool((overlaps & (beyond > distance - radius - 0.3)).any())


def _placed(
    piece: Piece, spot: tuple[float, float], foot: float, yaw: float, axes: Floats
) -> Thing:
    cosine, sine = np.cos(yaw), np.sin(yaw)
    # Right, up, back make a right-handed frame.
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    frame = np.stack([axes[0], axes[1], -axes[2]], 1) @ turn
    a, b = np.cos(piece.lean), np.sin(piece.lean)
    lean = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
    origin = axes.T @ np.array([spot[0], foot, spot[1]])
    centre = origin + frame @ np.array(piece.centre_m)
    return Thing(piece.shape, centre, np.array(piece.half_sides_m), frame @ lean)
