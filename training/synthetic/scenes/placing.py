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

"""Where everybody stands: scattered, in circles, in rows, walking together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from training.data.annotation import Bools, Floats, Ints
from training.synthetic.scenes.camera import View
from training.synthetic.scenes.people import People
from training.synthetic.scenes.rotations import heading
from training.synthetic.scenes.spheres import sphere_centres, touching

Generator = np.random.Generator

FEWEST_JOINTS = 4
"""Of the 45, that a person shows at least (the recipe's seventh step)."""
_CANDIDATES = 16
_NEAR_M = 0.2  # nobody comes nearer to the lens
_SMALLEST = 25 / 560  # of the longer side
_WANTED = 60 / 560
_SMALL_CHANCE = 0.3  # that somebody below the wanted size may stay
_THROUGH_CHANCE = 0.03  # that somebody may stand where another does


@dataclass(frozen=True)
class Placed:
    """The P people that found a place: in the world, turned and moved over the ground."""

    rows: Ints
    """(P,) which of the people drawn."""
    yaw: Floats
    """(P,) radians about the vertical."""
    feet_m: Floats
    """(P, 3) where the pelvis is over, on the ground (or on what carries them)."""


def place(people: People, view: View, lifts_m: Floats, generator: Generator) -> Placed:
    """Place people one after the other; who finds no place within some tries is left out."""
    centres, yaws = _arrangement(len(people.betas), view, generator)
    spheres = sphere_centres(people.joints_m)
    taken: list[Floats] = []
    rows, chosen_yaw, chosen = [], [], []
    for person in range(len(people.betas)):
        where, turn = _candidates(centres[person], yaws[person], view, generator)
        where[:, 1] = lifts_m[person]
        turns = heading(turn)
        moved = spheres[person] @ turns.swapaxes(1, 2) + where[:, None]
        joints = view.to_camera(people.joints_m[person] @ turns.swapaxes(1, 2) + where[:, None])
        good = _seen(joints, view, generator)
        if generator.random() > _THROUGH_CHANCE:
            good = good & ~touching(moved, np.array(taken))
        if good.any():
            first = int(good.argmax())
            rows.append(person)
            chosen_yaw.append(turn[first])
            chosen.append(where[first])
            taken.append(moved[first])
    return Placed(np.array(rows, np.int64), np.array(chosen_yaw), np.array(chosen).reshape(-1, 3))


def inside(pixels: Floats, size_hw: tuple[int, int]) -> Bools:
    """Say which pixels (..., 2) are in the picture."""
    within: Bools = np.asarray((pixels >= 0) & (pixels < (size_hw[1], size_hw[0])))
    return within[..., 0] & within[..., 1]


def _seen(joints_m: Floats, view: View, generator: Generator) -> Bools:
    """Say which placings (K, 45, 3), camera frame, show enough of somebody at a fitting size."""
    pixels = view.project(joints_m)
    good: Bools = joints_m[..., 2].min(1) > _NEAR_M
    good &= inside(pixels, view.size_hw).sum(1) >= FEWEST_JOINTS
    tall = (pixels.max(1) - pixels.min(1)).max(1) / max(view.size_hw)
    least = _SMALLEST if generator.random() < _SMALL_CHANCE else _WANTED
    return good & (tall > least)


def _arrangement(count: int, view: View, generator: Generator) -> tuple[Floats, Floats]:
    """Return where (P, 2: x, z) people would like to be, and facing where (P,) radians."""
    middle = np.array([_aside(view, view.focus_m, generator, 0.25), -view.focus_m])
    kind = generator.random()
    common = generator.uniform(-np.pi, np.pi)
    if count < 2 or kind < 0.45:
        spread = generator.uniform(0.1, 0.6)
        depth = view.focus_m * np.exp(generator.normal(0, spread, count))
        depth += generator.normal(0, 0.4, count)
        where = np.stack([[_aside(view, d, generator, 0.55) for d in depth], -depth], axis=1)
        yaws = generator.uniform(-np.pi, np.pi, count)
        towards = np.arctan2(-where[:, 0], -where[:, 1]) + generator.normal(0, 0.5, count)
        faces = generator.random(count) < 0.5
        return where, np.where(faces, towards, yaws)
    if kind < 0.65:  # a circle of people who talk
        radius = generator.uniform(0.5, 0.8) + 0.11 * count
        angles = common + 2 * np.pi * np.arange(count) / count + generator.normal(0, 0.15, count)
        where = middle + radius * np.stack([np.sin(angles), np.cos(angles)], 1)
        return where, angles + np.pi + generator.normal(0, 0.35, count)
    along = np.arange(count) - (count - 1) / 2
    along = along * generator.uniform(0.55, 1.1) + generator.normal(0, 0.12, count)
    across = generator.normal(0, 0.2, count)
    way = generator.uniform(-np.pi, np.pi) if kind > 0.85 else generator.normal(np.pi / 2, 0.4)
    line = np.array([np.sin(way), np.cos(way)])
    where = middle + along[:, None] * line + across[:, None] * (line[1], -line[0])
    # In a row they face one way; in a file they follow one another.
    face = way if kind > 0.85 and generator.random() < 0.6 else generator.choice([0.0, common])
    return where, face + generator.normal(0, 0.3, count)


def _aside(view: View, ahead_m: float, generator: Generator, part: float) -> float:
    """Return how far to the right something at a distance may be, by a part of the picture."""
    slant = np.cos(view.pitch) * ahead_m + np.sin(view.pitch) * (view.height_m - 0.8)
    half = view.size_hw[1] / view.focal_px * max(float(slant), 0.3)
    return float(half * generator.uniform(-part, part))


def _candidates(
    wish: Floats, yaw: float, view: View, generator: Generator
) -> tuple[Floats, Floats]:
    """Return places (K, 3) on the ground and headings (K,): the wish first, then further off."""
    off = np.linspace(0, 1, _CANDIDATES)[:, None]
    reach = 0.3 + 0.35 * view.focus_m
    moved = wish + generator.normal(0, 1, (_CANDIDATES, 2)) * off * reach
    where = np.zeros((_CANDIDATES, 3))
    where[:, 0], where[:, 2] = moved[:, 0], moved[:, 1]
    return where, yaw + generator.normal(0, 1.0, _CANDIDATES) * off[:, 0]
