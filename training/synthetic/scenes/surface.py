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

"""Surfaces as rows of numbers, and colours drawn at random."""

from __future__ import annotations

import colorsys

import numpy as np
from training.data.annotation import Floats
from training.synthetic.scenes.patterns import pattern_number

COLUMNS = 15
"""
Three linear RGB colours (9), contrast, pattern, tiles per metre, where the tile begins in s and
t, and how much light matters (1; 0 shines by itself).
"""
Colour = Floats
"""(3,) RGB; linear unless said otherwise."""


def linear(red: float, green: float, blue: float) -> Colour:
    """Turn sRGB in 0…1 to linear light."""
    return np.array([min(max(value, 0.0), 1.0) ** 2.2 for value in (red, green, blue)])


def hsv(
    rng: np.random.Generator,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Colour:
    """
    Draw a colour within ranges of hue, saturation and value of sRGB.

    A little grey is mixed in, as no paint or dye is pure.
    """
    drawn = colorsys.hsv_to_rgb(
        rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value)
    )
    red, green, blue = (value**2.2 for value in drawn)
    grey = 0.1 * (red + green + blue) / 3
    return np.array([0.9 * red + grey, 0.9 * green + grey, 0.9 * blue + grey])


def near(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return the colour, brighter or darker as a whole and a little in each channel."""
    factors = np.exp(rng.normal(0, spread) + rng.normal(0, 0.25 * spread, 3))
    return np.clip(colour * factors, 0.004, 0.95)


def surface(
    rng: np.random.Generator,
    pattern: str,
    colours: tuple[Colour, Colour, Colour],
    tile_m: float,
    contrast: float,
    *,
    anchored: bool = False,
    lit: float = 1.0,
) -> Floats:
    """
    Return a row; `tile_m` is the side of the pattern's tile.

    An anchored tile's lower edge is at t = 0 and its middle at s = 0.
    """
    begin = np.array([0.5, 0.0]) if anchored else rng.random(2)
    return np.concatenate(
        [*colours, [contrast, pattern_number(pattern, rng), 1 / tile_m, *begin, lit]]
    ).astype(np.float32)


def one_colour(rng: np.random.Generator, colour: Colour, contrast: float = 0.15) -> Floats:
    """Return a row of nearly one colour."""
    return surface(rng, 'plain', (colour, colour, colour), 1.0, contrast)
