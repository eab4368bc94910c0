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

"""What people sit and lie on, made to measure for each of them."""

from __future__ import annotations

import numpy as np
from training.data.annotation import Floats
from training.synthetic.scenes.people import People
from training.synthetic.scenes.rotations import heading
from training.synthetic.scenes.small_body import small_body
from training.synthetic.scenes.solids import Solid, upright

Generator = np.random.Generator

_PELVIS, _HIPS, _SPINES = (0,), (1, 2), (3, 6, 9)
_SINK_M = 0.012  # flesh gives way
_BEHIND_M = 0.1
_LOWEST_SEAT_M = 0.12
_BED_CHANCE = 0.35


def draw_bed_heights(people: People, generator: Generator) -> Floats:
    """Return how high (P,) what carries each is: 0 but for some who lie or sit on the floor."""
    flat = np.array([c in ('lie', 'floor') for c in people.categories])
    beds = flat & (generator.random(len(flat)) < _BED_CHANCE)
    return np.where(beds, generator.uniform(0.15, 0.65, len(flat)), 0.0)


def carriers(
    people: People, person: int, bed_m: float, yaw: float, feet_m: Floats, generator: Generator
) -> list[Solid]:
    """Return what carries one person, in the world: a seat, a bed or nothing."""
    if people.categories[person] == 'seat':
        own = _seat(people, person, generator)
    elif bed_m > 0:
        own = [_bed(people.skin_m[person], bed_m, generator)]
    else:
        return []
    turn = heading(np.array(yaw))
    feet = np.array([feet_m[0], 0, feet_m[2]])
    return [Solid(s.shape, turn @ s.centre_m + feet, s.half_sides_m, s.yaw + yaw) for s in own]


def _seat(people: People, person: int, generator: Generator) -> list[Solid]:
    """Return a chair, a stool, a bench or a block, facing +z, under somebody's bottom."""
    skin, part = people.skin_m[person], small_body().part
    pelvis = people.joints_m[person, 0]
    bottom = skin[np.isin(part, _PELVIS + _HIPS) & (skin[:, 2] < pelvis[2] + _BEHIND_M)]
    top = float(bottom[:, 1].min()) + _SINK_M
    if top < _LOWEST_SEAT_M:
        return []
    knees = people.joints_m[person, [4, 5], 2]
    front = pelvis[2] + 0.6 * max(0.1, float(knees.min()) - pelvis[2])
    rear = float(bottom[:, 2].min()) - 0.02
    depth, middle = (front - rear) / 2, (front + rear) / 2
    wide = (
        generator.uniform(0.2, 0.32) if generator.random() < 0.7 else generator.uniform(0.5, 1.2)
    )
    where = np.array([pelvis[0], middle])
    kind = generator.integers(3)
    if kind == 0:  # a block, a wall, a sofa
        own = [upright('box', where, np.array([wide, top / 2, depth]), 0.0)]
    elif kind == 1:  # a stool
        own = [upright('cylinder', where, np.array([depth, top / 2, depth]), 0.0)]
    else:  # a board on a foot
        own = [
            upright('box', where, np.array([wide, 0.03, depth]), 0.0, top - 0.06),
            upright('cylinder', where, np.array([0.04, top / 2 - 0.03, 0.04]), 0.0),
        ]
    if kind != 1 and generator.random() < 0.6:
        high = generator.uniform(0.18, 0.4)
        spine = skin[np.isin(part, _PELVIS + _SPINES) & (skin[:, 1] < top + 2 * high)]
        back = float(spine[:, 2].min()) - 0.03
        own.append(
            upright('box', np.array([pelvis[0], back]), np.array([wide, high, 0.025]), 0.0, top)
        )
    return own


def _bed(skin_m: Floats, height_m: float, generator: Generator) -> Solid:
    low, high = skin_m.min(0), skin_m.max(0)
    margin = generator.uniform(0.02, 0.3, 2)
    half = np.array([(high - low)[0] / 2 + margin[0], 0, (high - low)[2] / 2 + margin[1]])
    half[1] = height_m / 2
    return upright('box', ((low + high) / 2)[[0, 2]], half, 0.0)
