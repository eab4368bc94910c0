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

"""People at play: throwing, shooting, hitting, kicking, guarding, stretching."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from training.synthetic.scenes.poses.arms import both_up, Generator, outward, point_arm
from training.synthetic.scenes.poses.figure import ANKLE_HEIGHT_M, Figure, SIDES
from training.synthetic.scenes.poses.stances import foot, STANDING_M, step, yaw


def athletic(generator: Generator) -> Figure:
    """Stand ready: knees bent, trunk forward, feet apart, arms ready or guarding."""
    figure = Figure()
    low = generator.uniform(0.05, 0.28)
    pitch = generator.uniform(8, 35)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 12), pitch, generator.normal(0, 4)])
    figure.bend(generator.normal(12, 8), generator.normal(0, 14), generator.normal(0, 5))
    width, stagger = generator.uniform(0.16, 0.38), generator.normal(0, 0.16)
    for side in SIDES:
        sign = outward(side)[0]
        where = np.array([sign * width, ANKLE_HEIGHT_M - STANDING_M + low + 0.03, sign * stagger])
        where[2] += 0.1 * np.sin(np.deg2rad(pitch))
        out = generator.uniform(0, 30)
        figure.leg(side, where, yaw(sign * out)[:, 2], foot(sign * out))
        way = (generator.uniform(0, 1), generator.uniform(-0.8, 0.6), generator.uniform(0.3, 1))
        point_arm(figure, side, way, generator.uniform(0.5, 0.9), (0.7, -1, -0.3), None)
    figure.look(generator.normal(-15, 10), generator.normal(0, 20), 0)
    return figure


def throw(generator: Generator) -> Figure:
    """Throw, serve or smash: one arm back and up, the other ahead, the trunk turned."""
    figure = step(generator)
    sign = outward(SIDES[generator.integers(2)])[0]
    figure.bend(generator.normal(-4, 8), -sign * generator.uniform(5, 35), generator.normal(0, 8))
    arm, other = SIDES if sign > 0 else SIDES[::-1]
    back = (generator.uniform(0.4, 1), generator.uniform(0.2, 1.1), generator.uniform(-0.5, 0.3))
    point_arm(figure, arm, back, generator.uniform(0.6, 0.95), (0.8, -0.3, -0.6), None)
    ahead = (generator.uniform(0, 1), generator.uniform(-0.4, 0.9), 1)
    point_arm(figure, other, ahead, generator.uniform(0.6, 0.95), (0.6, -1, 0), None)
    return figure


def shoot(generator: Generator) -> Figure:
    """Shoot or catch a ball above the head, on the toes or in the air."""
    figure = Figure()
    figure.set('pelvis', 'YXZ', [generator.normal(0, 8), generator.normal(2, 5), 0])
    figure.bend(generator.normal(-2, 7), generator.normal(0, 8), generator.normal(0, 5))
    heel = generator.uniform(5, 45)
    lift = 0.12 * np.sin(np.deg2rad(heel))
    for side in SIDES:
        sign = outward(side)[0]
        low = lift + generator.uniform(0.02, 0.12)
        where = np.array(
            [sign * generator.uniform(0.08, 0.18), ANKLE_HEIGHT_M - STANDING_M + low, 0]
        )
        where[2] = generator.normal(-0.03, 0.08)
        figure.leg(side, where, yaw(sign * 8)[:, 2], foot(sign * 8, heel))
    figure.look(generator.uniform(-35, -5), generator.normal(0, 12), 0)
    both_up(figure, generator)
    return figure


def kick(generator: Generator) -> Figure:
    """Kick a ball: one leg stands, the other swings back or ahead."""
    figure = Figure()
    leg = SIDES[generator.integers(2)]
    angle = generator.uniform(-50, 70)
    figure.set(
        'pelvis',
        'YXZ',
        [generator.normal(0, 12), generator.normal(0, 7) - angle * 0.12, generator.normal(0, 5)],
    )
    figure.bend(
        generator.normal(8, 7) + angle * 0.1, generator.normal(0, 15), generator.normal(0, 6)
    )
    for side in SIDES:
        sign = outward(side)[0]
        if side == leg:
            bend = generator.uniform(10, 50) if angle > 0 else generator.uniform(30, 100)
            figure.set(f'{side}_hip', 'XZY', [-angle * 0.9, sign * generator.uniform(0, 20), 0])
            figure.set(f'{side}_knee', 'X', [bend])
            figure.set(f'{side}_ankle', 'X', [generator.uniform(10, 40)])
        else:
            low = generator.uniform(0.02, 0.08)
            where = np.array([sign * 0.05, ANKLE_HEIGHT_M - STANDING_M + low, 0.02])
            figure.leg(side, where, yaw(sign * 10)[:, 2], foot(sign * 10))
        way = (1, generator.uniform(-0.9, 0.4), generator.uniform(-0.5, 0.6))
        point_arm(figure, side, way, generator.uniform(0.75, 0.97), (0.3, -0.6, -1), None)
    figure.look(generator.normal(12, 12), generator.normal(0, 15), 0)
    return figure


def balance(generator: Generator) -> Figure:
    """Stand on one leg, as in yoga, climbing a step, hopping."""
    figure = Figure()
    leg = SIDES[generator.integers(2)]
    figure.set('pelvis', 'YXZ', [generator.normal(0, 6), generator.normal(0, 6), 0])
    figure.bend(generator.normal(3, 6), generator.normal(0, 8), generator.normal(0, 5))
    for side in SIDES:
        sign = outward(side)[0]
        if side == leg:
            flex = generator.uniform(20, 105)
            aside = generator.uniform(0, 45)
            figure.set(f'{side}_hip', 'XZY', [-flex, sign * aside, sign * aside * 0.5])
            figure.set(f'{side}_knee', 'X', [min(135.0, flex * generator.uniform(0.8, 1.5))])
            figure.set(f'{side}_ankle', 'X', [generator.uniform(0, 35)])
        else:
            where = np.array([sign * 0.04, ANKLE_HEIGHT_M - STANDING_M + 0.015, 0.0])
            figure.leg(side, where, yaw(sign * 8)[:, 2], foot(sign * 8))
        way = (generator.uniform(0.2, 1), generator.uniform(-0.7, 1), generator.uniform(0, 0.6))
        point_arm(figure, side, way, generator.uniform(0.7, 0.98), (0.4, -0.7, -0.5), None)
    figure.look(generator.normal(0, 10), generator.normal(0, 15), 0)
    return figure


def run(generator: Generator) -> Figure:
    """Run: one leg drives ahead, the other pushes off, elbows bent."""
    figure = Figure()
    effort = generator.uniform(0.5, 1)
    lead = SIDES[generator.integers(2)]
    twist = 8 * effort * (1 if lead == 'left' else -1)
    figure.set('pelvis', 'YXZ', [twist * -0.6, generator.uniform(3, 14), 0])
    figure.bend(generator.uniform(2, 12), twist * 1.6, generator.normal(0, 2))
    for side in SIDES:
        sign = outward(side)[0]
        if side == lead:
            flex = generator.uniform(35, 75) * effort
            figure.set(f'{side}_hip', 'XZY', [-flex, sign * 3, 0])
            figure.set(f'{side}_knee', 'X', [flex * generator.uniform(0.9, 1.6) + 10])
            figure.set(f'{side}_ankle', 'X', [generator.uniform(-10, 20)])
        else:
            figure.set(f'{side}_hip', 'XZY', [generator.uniform(5, 22) * effort, sign * 2, 0])
            figure.set(f'{side}_knee', 'X', [generator.uniform(8, 80) * effort])
            figure.set(f'{side}_ankle', 'X', [generator.uniform(10, 40)])
        forward = generator.uniform(15, 45) if side != lead else -generator.uniform(20, 50)
        angle = np.deg2rad(forward * effort - 15)
        way = (0.3, -np.cos(angle), np.sin(angle) + 0.45)
        point_arm(figure, side, way, generator.uniform(0.65, 0.8), (0.35, -0.5, -1), (-1, 0, 0))
    figure.look(generator.normal(-4, 6), generator.normal(0, 10), 0)
    return figure


SPORTS: tuple[Callable[[Generator], Figure], ...] = (
    athletic, athletic, throw, throw, shoot, kick, balance,
)  # fmt: skip
