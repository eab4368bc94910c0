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

"""Square patterns that tile, painted once by numpy: bricks, grass, windows, checks, clouds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import os
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.spatial import cKDTree

SIZE = 512
Plane = npt.NDArray[np.floating[Any]]
Painter = Callable[[np.random.Generator], tuple[Plane, Plane, Plane, Plane]]
"""
Shares (SIZE, SIZE) of the second and the third colour, relative brightness (−1 … 1 around 0) and
openness (1 where one sees through to the sky).
"""

_y, _x = ((np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE).astype(np.float32)
_ZERO = np.zeros((SIZE, SIZE))


def noise(rng: np.random.Generator, power: float, low: float = 1.0, stretch: float = 1.0) -> Plane:
    """Return noise of unit deviation whose amplitude falls as frequency^−power above `low`."""
    fy = np.fft.fftfreq(SIZE)[:, None].astype(np.float32) * SIZE
    fx = np.fft.rfftfreq(SIZE)[None].astype(np.float32) * SIZE
    frequency = np.hypot(fy * stretch, fx)
    amplitude = np.where(frequency < low, 0.0, np.maximum(frequency, 1) ** -power)
    phase = 2 * np.pi * rng.random(frequency.shape, np.float32)
    spectrum = np.empty(frequency.shape, np.complex64)
    spectrum.real, spectrum.imag = amplitude * np.cos(phase), amplitude * np.sin(phase)
    field = scipy.fft.irfft2(spectrum, (SIZE, SIZE))
    return np.asarray((field - field.mean()) / field.std())


def _soft(value: Plane, width: float) -> Plane:
    """Return 0 below −width, 1 above width, and a ramp between."""
    return np.clip(value / (2 * width) + 0.5, 0, 1)


def _repeat(value: Plane, count: int) -> Plane:
    return value * count % 1.0


def _cells(rng: np.random.Generator, count: int) -> tuple[Plane, Plane]:
    """Return Voronoi cells of count² jittered points: numbers, distances to borders."""
    points = (np.mgrid[0:count, 0:count].reshape(2, -1).T + rng.random((count * count, 2))) / count
    number = rng.random(count * count)
    places = np.stack([_y, _x], -1).reshape(-1, 2)
    distance, owner = cKDTree(points % 1.0, boxsize=1.0).query(places, k=2)
    border = (distance[:, 1] - distance[:, 0]) * count
    return number[owner[:, 0]].reshape(SIZE, SIZE), border.reshape(SIZE, SIZE)


def plain(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Paint: one colour, faintly uneven."""
    return _ZERO, _soft(noise(rng, 1.4), 3.0) * 0.3, 0.25 * noise(rng, 1.3), _ZERO


def blotches(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Three colours in soft patches: earth, worn concrete, dirty walls."""
    return (
        _soft(noise(rng, 1.3), 1.0),
        _soft(noise(rng, 1.2), 1.5) * 0.5,
        0.4 * noise(rng, 0.7),
        _ZERO,
    )


def speckle(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Asphalt, carpet: fine grains on faint patches, with some stains and cracks."""
    grain = noise(rng, 0.1, 30)
    crack = 1 - _soft(np.abs(noise(rng, 1.1)) - 0.03, 0.02)
    stain = _soft(noise(rng, 1.5) - 1.3, 0.3)
    return (
        _soft(grain - 1, 0.5),
        0.5 * crack * _soft(noise(rng, 1.6) - 0.5, 0.5) + 0.4 * stain,
        (0.35 * grain + 0.3 * noise(rng, 1.4)),
        _ZERO,
    )


def grass(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Grass: blades, patches of another green, some bare spots."""
    blades = noise(rng, 0.35, 8, 0.6)
    return _soft(noise(rng, 1.1), 1.2), _soft(noise(rng, 1.1) - 1.4, 0.5), 0.55 * blades, _ZERO


def pebbles(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Gravel or flagstones, by the tile's size."""
    number, border = _cells(rng, 24)
    return number, 1 - _soft(border - 0.1, 0.06), 0.3 * noise(rng, 0.5) + (number - 0.5), _ZERO


def flagstones(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Uneven stones with joints."""
    number, border = _cells(rng, 6)
    return number, 1 - _soft(border - 0.05, 0.02), 0.25 * noise(rng, 0.7), _ZERO


def bricks(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Rows of bricks, each of its own brightness."""
    rows, columns = 16, 6
    row = (_y * rows).astype(int)
    x = (_x * columns + 0.5 * (row % 2)) % columns
    number = rng.random((rows, columns))[row, x.astype(int)]
    joint = np.minimum(
        np.minimum(x % 1, 1 - x % 1) * rows / columns, np.minimum(_y * rows % 1, 1 - _y * rows % 1)
    )
    return number, 1 - _soft(joint - 0.09, 0.05), 0.3 * noise(rng, 0.8), _ZERO


def tiles(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Square tiles, some of another colour."""
    count = int(rng.choice([4, 6, 8]))
    x, y = _x * count, _y * count
    number = rng.random((count, count))[y.astype(int), x.astype(int)]
    chess = (x.astype(int) + y.astype(int)) % 2
    joint = np.minimum(np.minimum(x % 1, 1 - x % 1), np.minimum(y % 1, 1 - y % 1))
    second = chess if rng.random() < 0.4 else 0.4 * number
    return (
        second * np.ones_like(_x),
        1 - _soft(joint - 0.025, 0.012),
        0.12 * noise(rng, 1.0),
        _ZERO,
    )


def planks(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Boards with grain."""
    count = int(rng.choice([5, 8]))
    row = (_y * count).astype(int)
    x = (_x + rng.random(count)[row]) % 1.0
    number = rng.random((count, 2))[row, (x * 2).astype(int)]
    grain = noise(rng, 0.7, 2, 0.08)
    joint = np.minimum(
        np.minimum(_y * count % 1, 1 - _y * count % 1), np.minimum(x * 2 % 1, 1 - x * 2 % 1) * 3
    )
    return number, 0.7 * (1 - _soft(joint - 0.02, 0.015)), 0.35 * grain, _ZERO


def stripes(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Stripes, two colours and a thin third."""
    count = int(rng.integers(4, 14))
    wave = _repeat(_y, count)
    thin = np.abs(wave - 0.75) < 0.06
    return (
        _soft(np.abs(wave - 0.5) - rng.uniform(0.1, 0.35), 0.02),
        thin * float(rng.random() < 0.4),
        0.15 * noise(rng, 0.8),
        _ZERO,
    )


def uprights(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Stripes that run up and down: shirts, curtains, fences, panelling."""
    second, third, bright, _ = stripes(rng)
    return second.T, third.T, 0.3 * noise(rng, 0.9, 1, 6.0) + bright, _ZERO


def checks(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Plaid."""
    count = int(rng.integers(4, 9))
    a, b = (_soft(np.abs(_repeat(v, count) - 0.5) - 0.25, 0.02) for v in (_x, _y))
    thin = (np.abs(_repeat(_x, count) - 0.2) < 0.03) | (np.abs(_repeat(_y, count) - 0.2) < 0.03)
    return (a + b) / 2, thin * 0.7, 0.12 * noise(rng, 0.6), _ZERO


def dots(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Dots in a grid."""
    count = int(rng.integers(8, 16))
    distance = np.hypot(_repeat(_x, count) - 0.5, _repeat(_y, count) - 0.5)
    return _soft(0.28 - distance, 0.05), _ZERO, 0.1 * noise(rng, 0.8), _ZERO


def flowers(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Large irregular figures, as on printed shirts and dresses."""
    number, border = _cells(rng, 7)
    shape = noise(rng, 1.0, 6)
    return (
        _soft(number - 0.55, 0.01) * _soft(border - 0.25 + 0.15 * shape, 0.06),
        _soft(shape - 1.2, 0.2),
        0.2 * noise(rng, 0.6),
        _ZERO,
    )


def camouflage(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Hard patches of three colours."""
    return (
        _soft(noise(rng, 1.3, 3), 0.03),
        _soft(noise(rng, 1.3, 3) - 0.6, 0.03),
        0.1 * noise(rng, 0.6),
        _ZERO,
    )


def denim(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Woven cloth, washed out in patches and creased."""
    return (
        _soft(noise(rng, 1.4) - 0.8, 0.8) * 0.6,
        _ZERO,
        0.3 * noise(rng, 0.3, 20) + 0.35 * noise(rng, 1.2, 3, 0.5),
        _ZERO,
    )


def creases(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Cloth of one colour with creases."""
    ridge = np.abs(noise(rng, 1.3, 2, 0.6))
    return _ZERO, _ZERO, 0.45 * (ridge - ridge.mean()) + 0.15 * noise(rng, 0.4, 10), _ZERO


def print_on_chest(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Plain cloth with letters or a figure once a tile, which is as large as a chest."""
    inside = (np.abs(_x - 0.5) < rng.uniform(0.12, 0.3)) & (
        np.abs(_y - 0.5) < rng.uniform(0.05, 0.25)
    )
    letters = _soft(noise(rng, 0.9, 10), 0.1)
    _, _, bright, _ = creases(rng)
    return inside * letters, inside * _soft(noise(rng, 1.2, 4) - 0.7, 0.1), bright * 0.8, _ZERO


def _rectangles(rng: np.random.Generator, count: int, widest: float) -> tuple[Plane, Plane, Plane]:
    second, third, bright = np.zeros((3, SIZE, SIZE))
    for _ in range(count):
        height, width = (rng.uniform(0.02, widest, 2) * SIZE).astype(int) + 2
        top, left = rng.integers(0, SIZE - height), rng.integers(0, SIZE - width)
        where = np.s_[slice(top, top + height), slice(left, left + width)]
        mix = rng.random(2)
        second[where], third[where] = mix[0], mix[1] * (1 - mix[0])
        bright[where] = rng.uniform(-0.8, 0.5) + rng.uniform(-0.3, 0.3) * _y[where] * 3
        if rng.random() < 0.3:
            edge = np.s_[slice(top, top + height), slice(left, left + 3)]
            bright[edge] = -0.7
    return second, third, bright


def clutter(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Rectangles over each other: boxes, screens, signs, furniture far away."""
    second, third, bright = _rectangles(rng, 90, 0.3)
    return second, third, bright + 0.1 * noise(rng, 0.9), _ZERO


def posters(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Paint a wall with a few pictures, notices, switches."""
    second, third, bright = _rectangles(rng, 7, 0.22)
    return second, third, bright + 0.1 * noise(rng, 1.5), _ZERO


def shelves(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Shelves full of things."""
    second, third, bright = np.zeros((3, SIZE, SIZE))
    boards = int(rng.integers(4, 8))
    step = SIZE // boards
    for board in range(boards):
        x, bottom = 0, (board + 1) * step - 5
        while x < SIZE:
            width = int(rng.integers(4, 40))
            height = int(step * rng.uniform(0.35, 0.9))
            where = np.s_[slice(bottom - height, bottom), slice(x, x + width)]
            if rng.random() < 0.9:
                mix = rng.random(2)
                second[where], third[where] = mix[0], mix[1] * (1 - mix[0])
                bright[where] = rng.uniform(-0.6, 0.6)
            x += width
        bright[slice(bottom, bottom + 5)] = 0.4
        bright[slice(board * step, board * step + 12)] -= 0.4
    return second, third, bright, _ZERO


def windows(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Paint a front with rows of windows: glass in the second colour, frames in the third."""
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    x, y = _repeat(_x, columns), _repeat(_y, rows)
    half_w, half_h = rng.uniform(0.2, 0.46), rng.uniform(0.22, 0.4)
    glass = (np.abs(x - 0.5) < half_w) & (np.abs(y - 0.5) < half_h)
    frame = glass & (
        (np.abs(x - 0.5) > half_w - 0.03)
        | (np.abs(y - 0.5) > half_h - 0.03)
        | (np.abs(x - 0.5) < 0.012)
    )
    number = rng.random((rows, columns))[(_y * rows).astype(int), (_x * columns).astype(int)]
    _, joint, brick, _ = bricks(rng) if rng.random() < 0.5 else plain(rng)
    wall = np.where(glass, 0.9 * (number - 0.6) + 0.3 * (0.5 - y), brick * 0.6 - 0.3 * joint)
    return glass & ~frame, frame, wall, _ZERO


def doors(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Paint an inner wall with a door and a skirting board."""
    left, width = rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.3)
    door = (_x > left) & (_x < left + width) & (_y > 0.25)
    inner = (_x > left + 0.02) & (_x < left + width - 0.02) & (_y > 0.27)
    panel = (_x > left + 0.06) & (_x < left + width - 0.06) & (_y > 0.34) & (_y < 0.6)
    board = (_y > 0.965) & ~door
    bright = 0.1 * noise(rng, 1.5) - 0.5 * panel * float(rng.random() < 0.5)
    return inner, (door & ~inner) | board, bright, _ZERO


def trees(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Paint a row of crowns before the sky, trunks and a hedge at the foot."""
    leaves = noise(rng, 0.8, 5)
    inside, shadow, trunks = np.full((3, SIZE, SIZE), 0.0)
    inside += (_y > rng.uniform(0.7, 0.95) + 0.01 * leaves) * 1.0
    for _ in range(int(rng.integers(4, 16))):
        x, y, size = rng.random(), rng.uniform(0.3, 0.6), rng.uniform(0.07, 0.2)
        away = np.abs(_x - x)
        away = np.minimum(away, 1 - away) / size
        high = (_y - y) / (size * rng.uniform(0.8, 2.0))
        crown = np.hypot(away, high) + 0.12 * leaves < 1
        inside = np.where(crown, 1.0, inside)
        shadow = np.where(crown, 0.5 * high, shadow)
        stem = (away < 0.08) & (_y > y) & (inside == 0)
        trunks = np.where(crown, 0.0, np.where(stem, 1.0, trunks))
    second = _soft(leaves + noise(rng, 1.2), 1.0)
    opened = 1 - np.maximum(inside, trunks)
    return second * (1 - trunks), trunks, 0.4 * leaves - 0.8 * shadow.clip(-0.3, 1), opened


def skyline(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Houses of several heights with windows, far away."""
    second, third, bright = np.zeros((3, SIZE, SIZE))
    opened, x = np.ones((SIZE, SIZE)), 0
    while x < SIZE:
        width, top = int(rng.integers(25, 110)), int(SIZE * rng.uniform(0.15, 0.75))
        where = np.s_[top:, slice(x, x + width)]
        opened[where] = 0
        bright[where] = rng.uniform(-0.5, 0.4)
        second[where] = rng.random()
        step = int(rng.integers(8, 16))
        grid = ((_y * SIZE % step) > step * 0.45) & ((_x * SIZE % step) > step * 0.4)
        third[where] = grid[where] * 0.8
        x += width
    return second, third, bright + 0.08 * noise(rng, 0.6), opened


def clouds(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Clouds in the second colour."""
    cover = noise(rng, 1.5) + rng.uniform(-1.0, 0.6)
    return _soft(cover, rng.uniform(0.6, 1.2)), _soft(cover - 1.5, 1.0) * 0.6, _ZERO, _ZERO


def hair(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Strands along the tile's height."""
    return _soft(noise(rng, 0.6, 4, 0.15).T, 2.0), _ZERO, 0.5 * noise(rng, 0.6, 4, 0.12).T, _ZERO


def water(rng: np.random.Generator) -> tuple[Plane, Plane, Plane, Plane]:
    """Flat streaks: wet ground, snow, sand, water."""
    return (
        _soft(noise(rng, 1.2, 2, 3.0), 1.0),
        _soft(noise(rng, 1.0, 4, 3.0) - 1.2, 0.5),
        0.25 * noise(rng, 0.8),
        _ZERO,
    )


PAINTERS: dict[str, tuple[Painter, int]] = {
    'plain': (plain, 2),
    'blotches': (blotches, 3),
    'speckle': (speckle, 3),
    'grass': (grass, 3),
    'pebbles': (pebbles, 2),
    'flagstones': (flagstones, 2),
    'bricks': (bricks, 2),
    'tiles': (tiles, 4),
    'planks': (planks, 3),
    'stripes': (stripes, 4),
    'uprights': (uprights, 4),
    'checks': (checks, 3),
    'dots': (dots, 2),
    'flowers': (flowers, 3),
    'camouflage': (camouflage, 2),
    'denim': (denim, 2),
    'creases': (creases, 3),
    'print_on_chest': (print_on_chest, 6),
    'clutter': (clutter, 5),
    'posters': (posters, 5),
    'shelves': (shelves, 3),
    'windows': (windows, 7),
    'doors': (doors, 4),
    'trees': (trees, 4),
    'skyline': (skyline, 3),
    'clouds': (clouds, 4),
    'hair': (hair, 2),
    'water': (water, 2),
}
"""Each pattern and in how many versions it is painted."""

_FIRST = dict(zip(PAINTERS, np.cumsum([0, *(n for _, n in PAINTERS.values())]), strict=False))


def pattern_number(name: str, rng: np.random.Generator) -> int:
    """Draw one of a pattern's versions; the number is its place in `paint_all`."""
    return int(_FIRST[name]) + int(rng.integers(PAINTERS[name][1]))


def paint_all() -> npt.NDArray[np.float16]:
    """Return (N, SIZE, SIZE, 4) all versions of all patterns: as `Painter`, the same each time."""
    wanted = [
        (number, version, painter)
        for number, (painter, versions) in enumerate(PAINTERS.values())
        for version in range(versions)
    ]
    painted = np.empty((len(wanted), SIZE, SIZE, 4), np.float16)

    def paint(place: int) -> None:
        number, version, painter = wanted[place]
        second, third, bright, opened = painter(np.random.default_rng((number, version)))
        for channel, plane in enumerate((second, third, np.clip(bright, -1, 1.2), opened)):
            painted[place, ..., channel] = plane

    # Numpy and SciPy compute outside of Python's lock.
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as pool:
        list(pool.map(paint, range(len(wanted))))
    return painted
