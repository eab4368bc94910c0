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

"""How each person looks: skin, hair, clothes, drawn at random with numpy."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np
from training.data.annotation import Floats
from training.synthetic.scenes.costume import FIELDS
from training.synthetic.scenes.hangings import HANGINGS, PARAMETERS
from training.synthetic.scenes.surface import (
    Colour,
    COLUMNS,
    hsv,
    linear,
    near,
    one_colour,
    surface,
)

PARTS = ('skin', 'hair', 'top', 'inner', 'bottom', 'shoes', 'hat', 'bag', 'mouth', 'eye', 'sole')
"""What a person's pixels are of; each has a surface."""

Number = TypeVar('Number')


@dataclass(frozen=True)
class Cut(Generic[Number]):
    """
    Where clothes end on the mean body's T-pose, and how far they stand off; metres.

    Heights are y (0 near the pelvis, neck 0.46, knees −0.47, soles −0.98); sleeves end at an |x|
    (shoulder 0.18, elbow 0.44, wrist 0.67).
    """

    hem: Number
    sleeve: Number
    neck: Number
    neck_radius: Number
    vee: Number
    collar: Number
    opening: Number
    leg_end: Number
    shoe_top: Number
    hair_line: Number
    beard: Number
    hat_line: Number
    skirt_part: Number
    top_off: Number
    top_drape: Number
    sleeve_off: Number
    bottom_off: Number
    flare: Number
    hair_off: Number
    fold: Number

    def row(self: Cut[float]) -> list[float]:
        """Return the numbers in order."""
        return [getattr(self, field.name) for field in fields(self)]


CUTS = len(fields(Cut))


@dataclass(frozen=True)
class Outfits:
    """What P people wear."""

    surfaces: Floats
    """(P, len(PARTS), surface.COLUMNS)"""
    cut: Floats
    """(P, CUTS)"""
    hanging: Floats
    """(P, len(PARAMETERS))"""
    present: Floats
    """(P, 1 + len(HANGINGS)) 1 where the body (always) and each hanging is there."""
    folds: Floats
    """(P, FIELDS) shares of the random functions on the skin."""


_SKIN = (
    (0.93, 0.76, 0.66), (0.87, 0.68, 0.55), (0.80, 0.60, 0.46), (0.70, 0.50, 0.36),
    (0.56, 0.38, 0.27), (0.43, 0.28, 0.20), (0.31, 0.20, 0.15),
)  # fmt: skip
_HAIR = (
    (0.07, 0.06, 0.06), (0.13, 0.09, 0.07), (0.25, 0.16, 0.10), (0.38, 0.25, 0.15),
    (0.62, 0.47, 0.28), (0.80, 0.68, 0.47), (0.45, 0.20, 0.10), (0.55, 0.54, 0.53),
    (0.82, 0.81, 0.79),
)  # fmt: skip
_HAIR_SHARE = np.array([0.27, 0.22, 0.17, 0.1, 0.07, 0.05, 0.03, 0.06, 0.03])


def draw_outfits(rng: np.random.Generator, people: int) -> Outfits:
    """Draw what each of some people wears; at times all wear much the same."""
    each = [_draw(rng) for _ in range(people)]
    if people > 1 and rng.random() < 0.06:  # a team, a choir, workers
        shirts = each[0][0]
        for surfaces, *_ in each[1:]:
            surfaces[PARTS.index('top')] = shirts[PARTS.index('top')]

    def stack(index: int, *shape: int) -> Floats:
        rows = [np.asarray(person[index], np.float32) for person in each]
        return np.stack(rows) if rows else np.zeros((0, *shape), np.float32)

    return Outfits(
        stack(0, len(PARTS), COLUMNS),
        stack(1, CUTS),
        stack(2, len(PARAMETERS)),
        stack(3, 1 + len(HANGINGS)),
        stack(4, FIELDS),
    )


def _cloth_colour(rng: np.random.Generator) -> Colour:
    kind = rng.random()
    if kind < 0.27:  # black, charcoal
        return hsv(rng, (0, 1), (0, 0.15), (0.06, 0.25))
    if kind < 0.45:  # white, grey, beige
        return hsv(rng, (0.05, 0.15), (0, 0.2), (0.45, 0.95))
    if kind < 0.62:  # navy, blue
        return hsv(rng, (0.56, 0.68), (0.3, 0.85), (0.15, 0.6))
    if kind < 0.78:  # muted
        return hsv(rng, (0, 1), (0.15, 0.45), (0.2, 0.7))
    if kind < 0.88:  # red, maroon
        return hsv(rng, (-0.04, 0.04), (0.5, 0.95), (0.3, 0.85))
    return hsv(rng, (0, 1), (0.5, 0.95), (0.3, 0.9))


def _cloth(rng: np.random.Generator, printed: float) -> Floats:
    a = _cloth_colour(rng)
    b = _cloth_colour(rng) if rng.random() < 0.6 else near(rng, a, 0.8)
    colours = (a, b, _cloth_colour(rng))
    if rng.random() > printed:
        return surface(rng, 'creases', colours, rng.uniform(0.5, 0.9), rng.uniform(0.2, 0.8))
    pattern = str(
        rng.choice(
            [
                'stripes',
                'uprights',
                'checks',
                'dots',
                'flowers',
                'camouflage',
                'print_on_chest',
                'clutter',
            ],
            p=[0.17, 0.1, 0.2, 0.06, 0.15, 0.05, 0.22, 0.05],
        )
    )
    if pattern == 'print_on_chest':
        row = surface(rng, pattern, colours, 0.45, rng.uniform(0.2, 0.7), anchored=True)
        row[13] = 0.144  # the middle of the tile at y = 0.29 m
        return row
    return surface(rng, pattern, colours, rng.uniform(0.25, 0.7), rng.uniform(0.3, 0.9))


def _trousers(rng: np.random.Generator) -> Floats:
    if rng.random() < 0.4:
        a = hsv(rng, (0.57, 0.65), (0.2, 0.65), (0.15, 0.6))
        return surface(rng, 'denim', (a, near(rng, a * 1.8, 0.3), a), 0.6, rng.uniform(0.4, 1.0))
    a = (
        hsv(rng, (0, 1), (0, 0.2), (0.05, 0.35))
        if rng.random() < 0.6
        else hsv(rng, (0.05, 0.15), (0.1, 0.4), (0.3, 0.8))
    )
    return surface(rng, 'creases', (a, a, a), rng.uniform(0.5, 0.9), rng.uniform(0.2, 0.7))


def _draw(rng: np.random.Generator) -> tuple[Any, ...]:
    """Draw one person: surfaces, cut, hanging, present, folds."""
    skin = near(rng, linear(*_SKIN[rng.integers(len(_SKIN))]), 0.15)
    hair = near(
        rng, linear(*_HAIR[rng.choice(len(_HAIR), p=_HAIR_SHARE / _HAIR_SHARE.sum())]), 0.25
    )
    hanging = dict.fromkeys(PARAMETERS, 0.0)
    present = dict.fromkeys(HANGINGS, False)
    top, bottom = _cloth(rng, 0.45), _trousers(rng)
    cut = _top_cut(rng) | _bottom_cut(rng, hanging, present) | _head_cut(rng, hanging, present)
    if cut['skirt_part'] == PARTS.index('bottom'):
        bottom = _cloth(rng, 0.3)
    if rng.random() < 0.1:  # all of one cloth
        bottom = top.copy()
    _bags(rng, hanging, present)
    shoe = hsv(rng, (0, 1), (0, 0.3), (0.04, 0.3)) if rng.random() < 0.65 else _cloth_colour(rng)
    surfaces = {
        'skin': surface(rng, 'plain', (skin, skin, skin * [1, 0.75, 0.7]), 0.5, 0.18),
        'hair': surface(rng, 'hair', (hair, near(rng, hair * 1.3, 0.2), hair), 0.3, 0.7),
        'top': top,
        'inner': _cloth(rng, 0.2),
        'bottom': bottom,
        'shoes': one_colour(rng, skin if rng.random() < 0.06 else shoe, 0.3),
        'hat': _cloth(rng, 0.15),
        'bag': _cloth(rng, 0.1),
        'mouth': one_colour(rng, skin * [0.75, 0.42, 0.42]),
        'eye': one_colour(rng, linear(0.16, 0.13, 0.12)),
        'sole': one_colour(
            rng, near(rng, linear(0.7, 0.7, 0.68) if rng.random() < 0.4 else shoe * 0.6, 0.3)
        ),
    }
    folds = rng.normal(0, 1, FIELDS) / np.sqrt(FIELDS) * 2
    return (
        np.stack([surfaces[part] for part in PARTS]),
        Cut(**cut).row(),
        [hanging[name] for name in PARAMETERS],
        [1.0, *(float(value) for value in present.values())],
        folds,
    )


def _top_cut(rng: np.random.Generator) -> dict[str, float]:
    jacket = rng.random() < 0.35
    sleeve = (
        rng.uniform(0.6, 0.68)
        if jacket or rng.random() < 0.45
        else rng.choice([rng.uniform(0.15, 0.2), rng.uniform(0.28, 0.42)], p=[0.15, 0.85])
    )
    loose = rng.random() ** 1.5 + 0.4 * jacket
    return {
        'hem': rng.uniform(-0.22, 0.04) if not jacket else rng.uniform(-0.3, -0.02),
        'sleeve': float(sleeve),
        'neck': rng.uniform(0.38, 0.44),
        'neck_radius': rng.uniform(0.06, 0.11),
        'vee': rng.choice([0.0, rng.uniform(0.5, 2.5)], p=[0.6, 0.4]),
        'collar': rng.uniform(0.44, 0.5),
        'opening': float(rng.uniform(0.02, 0.1) * (jacket and rng.random() < 0.6)),
        'top_off': 0.004 + 0.022 * loose * rng.random() + 0.012 * jacket,
        'top_drape': 0.035 * loose * rng.random(),
        'sleeve_off': 0.004 + 0.02 * loose * rng.random() + 0.01 * jacket,
        'fold': 0.002 + 0.008 * loose,
    }


def _bottom_cut(
    rng: np.random.Generator, hanging: dict[str, float], present: dict[str, bool]
) -> dict[str, float]:
    cut = {
        'leg_end': -0.92 + rng.uniform(-0.03, 0.04),
        'shoe_top': rng.uniform(-0.93, -0.86),
        'skirt_part': float(PARTS.index('bottom')),
        'bottom_off': 0.004 + 0.02 * rng.random() ** 2,
        'flare': rng.choice([0.0, rng.uniform(0, 0.04)]),
    }
    kind = rng.random()
    if kind < 0.2:  # shorts
        cut['leg_end'] = rng.uniform(-0.55, -0.25)
        cut['flare'] = 0.0
    elif kind < 0.36:  # skirt, dress, coat
        present['skirt'] = True
        length = rng.uniform(0.35, 1.0)
        hanging['skirt_length'] = length - 0.55
        hanging['skirt_flare'] = rng.uniform(-0.02, 0.16) * min(length / 0.5, 1)
        hanging['skirt_ripple'] = rng.uniform(0, 0.025)
        hanging['skirt_rise'] = rng.uniform(0, 0.06)
        if kind > 0.27:  # a dress or a coat; a coat is worn over trousers
            cut['skirt_part'] = float(PARTS.index('top'))
        if kind < 0.32:
            cut['leg_end'] = rng.choice([-0.2, -0.95], p=[0.75, 0.25])
        cut['bottom_off'] = 0.003
    if rng.random() < 0.1:  # boots
        cut['shoe_top'] = rng.uniform(-0.85, -0.6)
    return cut


def _head_cut(
    rng: np.random.Generator, hanging: dict[str, float], present: dict[str, bool]
) -> dict[str, float]:
    bald = rng.random() < 0.06
    cut = {
        'hair_line': 0.3 if bald else rng.uniform(-0.015, 0.02),
        'beard': rng.uniform(0.53, 0.57) if rng.random() < 0.15 else 0.0,
        'hat_line': 1.0,
        'hair_off': 0.004 + 0.03 * rng.random() ** 1.5 + 0.04 * (rng.random() < 0.06),
    }
    kind = rng.random()
    if kind < 0.27 and not bald:
        present['long_hair'] = True
        hanging['hair_length'] = rng.uniform(-0.1, 0.22)
        hanging['hair_volume'] = cut['hair_off'] * 0.7 + rng.uniform(0, 0.02)
    elif kind < 0.36 and not bald:
        present['bun'] = True
        hanging['bun_height'] = rng.uniform(-0.05, 0.1)
        hanging['bun_size'] = rng.uniform(-0.4, 0.4)
    if rng.random() < 0.16:
        cut['hat_line'] = rng.uniform(0.625, 0.66)
        cut['hair_off'] = min(cut['hair_off'], 0.01)
        hanging['hair_volume'] = min(hanging['hair_volume'], 0.015)
        brim = rng.random()
        present['brim'] = brim < 0.75
        hanging['brim_front'] = rng.uniform(0.05, 0.09) * (brim < 0.5)
        hanging['brim_around'] = rng.uniform(0.04, 0.12) * (brim >= 0.5)
    return cut


def _bags(rng: np.random.Generator, hanging: dict[str, float], present: dict[str, bool]) -> None:
    kind = rng.random()
    if kind < 0.09:
        present['pack'] = True
        hanging['pack_size'] = rng.uniform(-0.3, 0.25)
    elif kind < 0.16:
        present['bag'] = True
        hanging['bag_side'] = rng.choice([-1.0, 1.0])
        hanging['bag_height'] = rng.uniform(-0.15, 0.1)
        hanging['bag_size'] = rng.uniform(-0.45, 0.2)
