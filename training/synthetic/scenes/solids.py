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

"""What stands about: seats and beds under people, furniture, poles, walls, boxes in front."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from training.data.annotation import Bools, Floats
from training.synthetic.scenes.camera import View
from training.synthetic.scenes.placing import inside
from training.synthetic.scenes.rotations import heading
from training.synthetic.scenes.scene import Thing, ThingShape
from training.synthetic.scenes.spheres import RADII_M

Generator = np.random.Generator

LENS_CLEAR_M = 0.25
_MOST_HIDDEN = 0.6  # of anybody's joints that are in the picture


@dataclass(frozen=True)
class Solid:
    """A thing in the world: upright, turned about the vertical."""

    shape: ThingShape
    centre_m: Floats
    """(3,)."""
    half_sides_m: Floats
    """(3,)."""
    yaw: float

    @cached_property
    def turn(self) -> Floats:
        """(3, 3) from its own axes to the world."""
        return heading(np.array(self.yaw))

    def local(self, points_m: Floats) -> Floats:
        """Return points (..., 3) of the world along its own axes."""
        own: Floats = (points_m - self.centre_m) @ self.turn
        return own

    def distance_m(self, points_m: Floats) -> Floats:
        """Return how far points (...) are outside of its box, 0 inside."""
        out = np.maximum(np.abs(self.local(points_m)) - self.half_sides_m, 0)
        return np.linalg.norm(out, axis=-1)

    def hides(self, points_m: Floats, eye_m: Floats) -> Bools:
        """Say which points (..., 3) it stands before, seen from `eye_m`."""
        start = self.local(eye_m)
        way = self.local(points_m) - start
        way = np.where(np.abs(way) < 1e-9, 1e-9, way)
        if self.shape == 'ellipsoid':
            a, b = way / self.half_sides_m, start / self.half_sides_m
            p, q = (a * b).sum(-1), (a * a).sum(-1)
            root = p**2 - q * ((b * b).sum(-1) - 1)
            entry = (-p - np.sqrt(np.maximum(root, 0))) / q
            hit: Bools = (root > 0) & (entry > 0) & (entry < 1)
            return hit
        low, high = (-self.half_sides_m - start) / way, (self.half_sides_m - start) / way
        entry = np.minimum(low, high).max(-1)
        leave = np.maximum(low, high).min(-1)
        hit = (entry < leave) & (entry > 0) & (entry < 0.995)
        return hit

    def thing(self, view: View) -> Thing:
        """Return it in the camera frame."""
        return Thing(
            self.shape,
            view.to_camera(self.centre_m),
            self.half_sides_m,
            view.rotation @ self.turn,
        )


def upright(
    shape: ThingShape, feet_xz: Floats, half_sides_m: Floats, yaw: float, base_m: float = 0.0
) -> Solid:
    """Return a solid that stands at a place, its lower end at a height."""
    centre = np.array([feet_xz[0], base_m + half_sides_m[1], feet_xz[1]])
    return Solid(shape, centre, np.asarray(half_sides_m, np.float64), yaw)


@dataclass(frozen=True)
class Crowd:
    """Everybody placed, in the world: what things must not run into nor wholly hide."""

    spheres_m: Floats
    """(P, S, 3)."""
    joints_m: Floats
    """(P, 22, 3) the main joints."""
    in_picture: Bools
    """(P, 22) of them."""


def scatter(view: View, crowd: Crowd, own: list[Solid], generator: Generator) -> list[Solid]:
    """Draw furniture, poles, walls and what stands in front, as far as they find a place."""
    wishes: list[Solid] = []
    for _ in range(generator.integers(0, 5)):
        wishes.append(_furniture(_somewhere(view, generator), generator))
    if generator.random() < 0.4:
        wishes.append(_wall(view, crowd, generator))
    hidden = crowd.joints_m[generator.integers(len(crowd.joints_m))]
    for _ in range(generator.choice(3, p=[0.55, 0.3, 0.15])):
        wishes.append(_in_front(view, hidden, generator))
    eye = view.eye_m
    covered = np.zeros(crowd.in_picture.shape, bool)
    for solid in own:
        covered |= solid.hides(crowd.joints_m, eye)
    kept = []
    for solid in wishes:
        if solid.distance_m(eye) < LENS_CLEAR_M:
            continue
        if (solid.distance_m(crowd.spheres_m) < RADII_M).any():
            continue
        both = covered | solid.hides(crowd.joints_m, eye)
        part = (both & crowd.in_picture).sum(1) / np.maximum(crowd.in_picture.sum(1), 1)
        if (part < _MOST_HIDDEN).all():
            kept.append(solid)
            covered = both
    return kept


def _somewhere(view: View, generator: Generator) -> Floats:
    ahead = view.focus_m * np.exp(generator.normal(0.25, 0.55)) + generator.uniform(0, 1)
    half = view.size_hw[1] / view.focal_px * ahead / 2
    return np.array([generator.uniform(-1.2, 1.2) * half, -ahead])


def _furniture(feet_xz: Floats, generator: Generator) -> Solid:
    yaw = generator.uniform(-np.pi, np.pi)
    kind = generator.integers(5)
    if kind == 0:  # a pole, a tree, a lamp
        radius, high = generator.uniform(0.03, 0.22), generator.uniform(1.0, 2.5)
        return upright('cylinder', feet_xz, np.array([radius, high, radius]), yaw)
    if kind == 1:  # a bin, a drum, a bollard
        radius, high = generator.uniform(0.12, 0.45), generator.uniform(0.2, 0.6)
        return upright('cylinder', feet_xz, np.array([radius, high, radius]), yaw)
    if kind == 2:  # a ball, a bush, a bag
        half = generator.uniform(0.1, 0.6, 3)
        return upright('ellipsoid', feet_xz, half, yaw)
    if kind == 3:  # a cupboard, a van
        half = generator.uniform([0.2, 0.5, 0.2], [1.2, 1.1, 0.8])
        return upright('box', feet_xz, half, yaw)
    half = generator.uniform([0.15, 0.1, 0.15], [1.0, 0.5, 0.6])  # a table, a crate, a bench
    return upright('box', feet_xz, half, yaw)


def _wall(view: View, crowd: Crowd, generator: Generator) -> Solid:
    behind = -float(crowd.spheres_m[..., 2].min()) + generator.uniform(0.4, 4.0)
    half = np.array([generator.uniform(2, 12), generator.uniform(1.0, 2.5), 0.1])
    where = np.array([generator.normal(0, 1.5), -behind])
    return upright('box', where, half, generator.normal(0, 0.3))


def _in_front(view: View, joints_m: Floats, generator: Generator) -> Solid:
    """Return something between the lens and somebody: a counter, a pole, a plant."""
    target = joints_m[generator.integers(len(joints_m))]
    eye = view.eye_m
    part = generator.uniform(0.35, 0.85)
    at = eye + (target - eye) * part
    away = float(np.linalg.norm(at - eye))
    yaw = np.arctan2(at[0], at[2]) + generator.normal(0, 0.4)
    kind = generator.random()
    if kind < 0.5:
        high = max(0.1, min(at[1] + generator.uniform(-0.1, 0.3), 1.4)) / 2
        half = np.array([generator.uniform(0.08, 0.5) * away, high, generator.uniform(0.05, 0.4)])
        return upright('box', at[[0, 2]], half, yaw)
    if kind < 0.75:
        radius = generator.uniform(0.015, 0.06) * away
        return upright('cylinder', at[[0, 2]], np.array([radius, 1.6, radius]), yaw)
    half = generator.uniform(0.04, 0.2, 3) * away
    if at[1] - half[1] < 0.6:
        return upright('ellipsoid', at[[0, 2]], half, yaw)
    return Solid('ellipsoid', at, half, yaw)


def in_view(points_m: Floats, view: View) -> Bools:
    """Say which points (..., 3) of the world are in the picture."""
    seen = view.to_camera(points_m)
    shown: Bools = inside(view.project(seen), view.size_hw) & (seen[..., 2] > 0)
    return shown
