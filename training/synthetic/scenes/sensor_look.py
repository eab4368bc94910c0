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

"""How the camera spoils a picture, drawn at random: blur, noise, exposure, compression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from training.data.annotation import Floats

KERNEL = 9
"""Pixels across the blur's kernel."""


@dataclass(frozen=True)
class Sensor:
    """A camera: what it does to the light that comes in, in this order."""

    exposure: float
    """Mean linear brightness that the automatic exposure aims at."""
    balance: Floats
    """(3,) factors of red, green, blue."""
    vignette: float
    """How much darker the corners are."""
    kernel: Floats | None
    """(KERNEL, KERNEL) of defocus and motion, sum 1; None: sharp."""
    shrink: int
    """How many pixels one pixel of the sensor covers, across."""
    noise: float
    """Deviation at full brightness, of 1."""
    noise_place: Floats
    """(2,) where in the table of noise to begin, in pixels; its rows are of two kinds."""
    contrast: float
    """Slope in the middle of the tone curve."""
    saturation: float
    black: float
    """What black becomes, of 1."""
    quality: int
    """JPEG's, 0 for none."""


def draw_sensor(rng: np.random.Generator) -> Sensor:
    """Draw a camera: most are decent, some are bad, none is perfect."""
    grey = rng.random() < 0.08
    faint = rng.random() < 0.07
    return Sensor(
        exposure=float(np.clip(np.exp(rng.normal(np.log(0.2), 0.4)), 0.04, 0.6)),
        balance=np.exp(rng.normal(0, 0.06, 3)).astype(np.float32),
        vignette=float(rng.choice([0.0, rng.uniform(0, 0.5)])),
        kernel=_kernel(rng) if rng.random() < 0.45 else None,
        shrink=int(rng.choice([1, 2, 3], p=[0.8, 0.14, 0.06])),
        noise=float(rng.choice([rng.uniform(0, 0.015), rng.uniform(0.015, 0.07)], p=[0.7, 0.3])),
        noise_place=rng.integers(0, 1024, 2).astype(np.float32),
        contrast=float(rng.uniform(0.6, 0.9) if faint else rng.uniform(0.9, 1.35)),
        saturation=0.0
        if grey
        else float(rng.uniform(0.4, 0.8) if faint else rng.uniform(0.7, 1.3)),
        black=float(rng.uniform(0.05, 0.2))
        if faint
        else float(rng.choice([0.0, rng.uniform(0, 0.06)])),
        quality=int(rng.integers(25, 96)) if rng.random() < 0.7 else 0,
    )


def _kernel(rng: np.random.Generator) -> Floats:
    """Draw a blur: a Gaussian, drawn out in a direction at times."""
    y, x = np.mgrid[0:KERNEL, 0:KERNEL] - KERNEL // 2
    if rng.random() < 0.65:
        along = across = rng.uniform(0.5, 1.0) if rng.random() < 0.7 else rng.uniform(1.0, 2.0)
    else:
        along, across = rng.uniform(1.0, 2.6), rng.uniform(0.4, 0.7)
    angle = rng.uniform(0, np.pi)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)
