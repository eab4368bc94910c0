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

"""What hangs on a body but is no skin: skirts, long hair, brims, bags; in the mean T-pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Faces = npt.NDArray[np.int64]

PARAMETERS = (
    'skirt_length',
    'skirt_flare',
    'skirt_ripple',
    'skirt_rise',
    'hair_length',
    'hair_volume',
    'bun_height',
    'bun_size',
    'brim_around',
    'brim_front',
    'pack_size',
    'bag_side',
    'bag_height',
    'bag_size',
)
"""What each hanging changes with; metres, or 1 for a full change."""


@dataclass(frozen=True)
class Hanging:
    """A piece in the mean body's T-pose, metres; it follows the shape as the skin next to it."""

    rest_m: Array
    """(N, 3)"""
    faces: Faces
    """(F, 3), seen from both sides."""
    weights: Array
    """(N, 24) skinning weights."""
    changes: dict[str, Array]
    """(N, 3) each: what is added to `rest_m` for each unit of a parameter."""


def _grid(rows: int, columns: int, closed: bool) -> Faces:
    """Return the triangles between `rows` rows of `columns` points each."""
    row, column = np.meshgrid(
        np.arange(rows - 1), np.arange(columns - (not closed)), indexing='ij'
    )
    right = (column + 1) % columns
    a, b = row * columns + column, row * columns + right
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)


def _step(value: Array, low: float, high: float) -> Array:
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _weights(shares: dict[str, Array]) -> Array:
    weights = np.zeros((len(next(iter(shares.values()))), 24), np.float32)
    for name, share in shares.items():
        weights[:, SMPL_JOINT_NAMES.index(name)] += share
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _points(*coordinates: Array) -> Array:
    return np.stack(np.broadcast_arrays(*coordinates), -1).reshape(-1, 3).astype(np.float32)


def _skirt() -> Hanging:
    """Make a tube from the waist down, which legs swing as one: skirt, dress, coat."""
    rows, columns = 14, 48
    share = np.linspace(0, 1, rows)[:, None]
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    sine, cosine = np.sin(angle), np.cos(angle)
    bulge = 1 - np.exp(-5 * share)
    length = 0.55
    rest = _points(
        (0.172 + 0.036 * bulge) * sine,
        0.03 - length * share,
        0.012 + (0.135 + 0.02 * bulge) * cosine,
    )
    x, y = rest[:, 0], rest[:, 1]
    hips, knees = 0.85 * _step(-y, 0.02, 0.35), 0.45 * _step(-y, 0.45, 0.8)
    left = 1 / (1 + np.exp(-x / 0.05))
    weights = _weights(
        {
            'pelvis': 1 - hips,
            'left_hip': hips * left * (1 - knees),
            'right_hip': hips * (1 - left) * (1 - knees),
            'left_knee': hips * left * knees,
            'right_knee': hips * (1 - left) * knees,
        }
    )
    zero = np.zeros_like(share * angle)
    return Hanging(
        rest,
        _grid(rows, columns, closed=True),
        weights,
        {
            'skirt_length': _points(zero, -share, zero),
            'skirt_flare': _points(sine * share, zero, cosine * share),
            'skirt_ripple': _points(
                sine * share * np.cos(7 * angle + 3 * share),
                zero,
                cosine * share * np.cos(7 * angle + 3 * share),
            ),
            'skirt_rise': _points(-0.25 * sine * (1 - share), 1 - share, zero),
        },
    )


def _long_hair() -> Hanging:
    """Make a curtain behind and beside the face, from the crown to the shoulders and below."""
    rows, columns = 12, 24
    share = np.linspace(0, 1, rows)[:, None]
    angle = np.linspace(-1.85, 1.85, columns)[None]
    sine, cosine = np.sin(angle), np.cos(angle)
    crown = np.sqrt(np.clip(1 - (1 - share * 4).clip(0, 1) ** 2, 0, 1))
    # Shoulders push what falls on them outward.
    lower = _step(share, 0.45, 1.0) * np.ones_like(angle)
    rest = _points(
        (0.092 * crown + 0.02 * lower) * sine,
        0.705 - 0.30 * share,
        0.03 - (0.105 * crown + 0.02 * lower) * cosine,
    )
    head = 1 - 0.7 * _step(-rest[:, 1], -0.5, -0.3)
    weights = _weights({'head': head, 'neck': (1 - head) * 0.4, 'spine3': (1 - head) * 0.6})
    zero = np.zeros_like(share * angle)
    return Hanging(
        rest,
        _grid(rows, columns, closed=False),
        weights,
        {
            'hair_length': _points(zero, -share, -0.12 * share * cosine),
            'hair_volume': _points(sine * crown, 0.4 * (1 - share), -cosine * crown),
        },
    )


def _ball(
    half: tuple[float, float, float], centre: tuple[float, float, float], power: float
) -> Array:
    """Return (8·12, 3) points of a superellipsoid; powers below 1 make it boxy."""
    up = np.linspace(-np.pi / 2, np.pi / 2, 8)[:, None]
    around = np.linspace(0, 2 * np.pi, 12, endpoint=False)[None]

    def bent(value: Array) -> Array:
        return np.sign(value) * np.abs(value) ** power

    points = _points(
        bent(np.cos(up)) * bent(np.sin(around)),
        bent(np.sin(up)),
        bent(np.cos(up)) * bent(np.cos(around)),
    )
    return (points * half + centre).astype(np.float32)


def _hung_ball(
    half: tuple[float, float, float],
    centre: tuple[float, float, float],
    power: float,
    joint: str,
    changes: Callable[[Array], dict[str, Array]],
) -> Hanging:
    rest = _ball(half, centre, power)
    return Hanging(
        rest,
        _grid(8, 12, closed=True),
        _weights({joint: np.ones(len(rest), np.float32)}),
        changes((rest - np.array(centre)).astype(np.float32)),
    )


def _constant(offset: Array, direction: tuple[float, float, float]) -> Array:
    return np.broadcast_to(np.array(direction), offset.shape).copy()


def _bun() -> Hanging:
    return _hung_ball(
        (0.045, 0.045, 0.045),
        (0.0, 0.62, -0.085),
        1.0,
        'head',
        lambda offset: {
            'bun_height': _constant(offset, (0, 1, 0.5)),
            'bun_size': offset,
        },
    )


def _brim() -> Hanging:
    """Make the brim of a hat or a cap."""
    rows, columns = 3, 32
    share = np.linspace(0, 1, rows)[:, None]
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    sine, cosine = np.sin(angle), np.cos(angle)
    rest = _points(0.078 * sine + 0 * share, 0.662 + 0.022 * cosine, 0.035 + 0.093 * cosine)
    front = np.clip(cosine, 0, 1) ** 0.7
    return Hanging(
        rest,
        _grid(rows, columns, closed=True),
        _weights({'head': np.ones(len(rest), np.float32)}),
        {
            'brim_around': _points(sine * share, -0.15 * share, cosine * share),
            'brim_front': _points(0.1 * sine * share, -0.2 * front * share, front * share),
        },
    )


def _pack() -> Hanging:
    return _hung_ball(
        (0.15, 0.21, 0.075),
        (0.0, 0.24, -0.175),
        0.55,
        'spine3',
        lambda offset: {'pack_size': offset * np.array((1, 1, 1.4)) - np.array((0, 0, 0.09))},
    )


def _bag() -> Hanging:
    return _hung_ball(
        (0.05, 0.13, 0.15),
        (0.0, -0.08, 0.0),
        0.5,
        'pelvis',
        lambda offset: {
            'bag_side': _constant(offset, (0.24, 0, 0)),
            'bag_height': _constant(offset, (0, 1, 0)),
            'bag_size': offset,
        },
    )


HANGINGS: dict[str, Callable[[], Hanging]] = {
    'skirt': _skirt,
    'long_hair': _long_hair,
    'bun': _bun,
    'brim': _brim,
    'pack': _pack,
    'bag': _bag,
}
