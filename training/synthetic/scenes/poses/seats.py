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

"""People off their feet: on seats, on the floor, lying."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation
from training.synthetic.scenes.poses.arms import (
    both_crossed,
    both_look_at_phone,
    Generator,
    hang,
    hold_before,
    outward,
    phone_ear,
    place_hand,
    point_arm,
    reach_out,
    to_chin,
)
from training.synthetic.scenes.poses.figure import ANKLE_HEIGHT_M, Figure, Side, SIDES
from training.synthetic.scenes.poses.stances import foot


def seat(generator: Generator) -> Figure:
    """Sit on a chair, a stool, a wall: upright, leaning forward or back, legs any way."""
    figure = Figure()
    height = generator.uniform(0.42, 0.56)
    pitch = generator.choice(
        [generator.normal(-12, 5), generator.normal(0, 5), generator.normal(18, 10)]
    )
    figure.set('pelvis', 'YXZ', [generator.normal(0, 4), pitch, generator.normal(0, 3)])
    figure.bend(generator.uniform(2, 28), generator.normal(0, 10), generator.normal(0, 5))
    width, apart = generator.uniform(0.07, 0.2), generator.uniform(-0.1, 0.35)
    kind = generator.random()
    for side in SIDES:
        sign = outward(side)[0]
        ahead = generator.uniform(0.28, 0.5)
        heel = 25.0 if ahead < 0.33 else 0.0
        if kind < 0.15:  # legs stretched out
            ahead, heel = generator.uniform(0.62, 0.75), -20.0
        lift = 0.13 * np.sin(np.deg2rad(max(0.0, heel)))
        where = np.array([sign * width, ANKLE_HEIGHT_M - height + lift, ahead])
        figure.leg(side, where, (sign * apart, 1, 0.6), foot(sign * 25 * apart + 4, heel))
    if kind > 0.85:
        _cross_leg(figure, SIDES[generator.integers(2)], generator)
    figure.look(generator.normal(4, 13), generator.normal(0, 26), generator.normal(0, 5))
    seated_arms(figure, generator)
    return figure


def _cross_leg(figure: Figure, side: Side, generator: Generator) -> None:
    """Lay one leg over the other's knee, or its ankle on it."""
    sign = outward(side)[0]
    if generator.random() < 0.6:
        over = figure.carried(
            'right_knee' if side == 'left' else 'left_knee', (-sign * 0.17, -0.28, 0.18)
        )
        over += (0, generator.uniform(-0.12, -0.02), 0.06)
        figure.leg(side, over, (-sign * 0.2, 1, 0.5), foot(-sign * 5, 25))
        return
    over = figure.carried(
        'right_knee' if side == 'left' else 'left_knee', (-sign * 0.02, -0.28, 0.13)
    )
    figure.leg(side, over, (sign * 1.0, 0.25, 0.6), foot(-sign * 30, 10))


def seated_arms(figure: Figure, generator: Generator) -> None:
    """Rest the hands on the thighs, on a table, on armrests; talk, phone, read."""
    kind = generator.random()
    if kind < 0.12:
        both_look_at_phone(figure, generator)
        return
    if kind < 0.2:
        both_crossed(figure, generator)
        return
    for side in SIDES:
        pick = generator.random()
        if pick < 0.4:
            along = generator.uniform(0.45, 1)
            point = (0.11, -0.056 - 0.33 * along, 0.115)
            place_hand(
                figure, side, f'{side}_hip', point, (1, 0.3, 0.2), (0, 0.3, -1), 0.015, generator
            )
        elif pick < 0.6:
            height, deep = generator.uniform(0.1, 0.25), generator.uniform(0.28, 0.42)
            point = (generator.uniform(0.02, 0.25), height, deep)
            place_hand(figure, side, 'spine2', point, (1, -0.6, 0), (0, -1, 0), 0.01, generator)
        elif pick < 0.7:
            place_hand(
                figure,
                side,
                'spine1',
                (0.3, 0.1, 0.2),
                (0.5, -0.2, -1),
                (0, -1, 0),
                0.015,
                generator,
            )
        else:
            actions = (hold_before, phone_ear, to_chin, reach_out, hang)
            actions[generator.integers(len(actions))](figure, side, generator)


def sit_on_floor(generator: Generator) -> Figure:
    """Sit on the ground: legs out, knees up, cross-legged, leaning on the hands."""
    figure = Figure()
    kind = generator.integers(3)
    pitch = generator.uniform(-25, 5)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 4), pitch, generator.normal(0, 3)])
    figure.bend(generator.uniform(8, 35), generator.normal(0, 8), generator.normal(0, 4))
    base = ANKLE_HEIGHT_M - 0.12
    for side in SIDES:
        sign = outward(side)[0]
        if kind == 0:
            where = np.array([sign * generator.uniform(0.06, 0.3), base - 0.01, 0])
            where[2] = generator.uniform(0.7, 0.79)
            figure.leg(side, where, (sign * 0.2, 1, 0), foot(sign * 20, -35))
        elif kind == 1:
            where = np.array([sign * generator.uniform(0.06, 0.22), base, 0])
            where[2] = generator.uniform(0.28, 0.5)
            figure.leg(side, where, (sign * generator.uniform(0, 0.4), 1, 0.4), foot(sign * 8))
        else:
            front = 0.1 if sign > 0 else 0.0
            where = np.array([-sign * 0.08, base - 0.01, 0.26 + front])
            figure.leg(side, where, (sign * 1, 0.3, 0.35), foot(sign * 60, 40))
    figure.look(generator.normal(0, 13), generator.normal(0, 25), 0)
    if generator.random() < 0.3:
        for side in SIDES:
            place_hand(
                figure,
                side,
                'pelvis',
                (0.3, -0.08, -0.25),
                (0.6, 0, -1),
                (0, -1, 0.2),
                0.02,
                generator,
            )
    elif kind == 1 and generator.random() < 0.5:
        for side in SIDES:
            place_hand(
                figure,
                side,
                f'{side}_knee',
                (0.03, -0.40, 0.1),
                (1, -0.3, 0),
                None,
                0.02,
                generator,
            )
    else:
        seated_arms(figure, generator)
    return figure


_LYING = {'up': (-90, 0), 'down': (90, 0), 'left': (0, -90), 'right': (0, 90)}


def lie(generator: Generator) -> Figure:
    """Lie on the back, the belly or a side, legs straight or drawn up."""
    figure = Figure()
    which = ('up', 'up', 'down', 'left', 'right')[generator.integers(5)]
    figure.bend(
        generator.normal(5, 4) if which != 'down' else generator.normal(-3, 3),
        0,
        generator.normal(0, 6),
    )
    for side in SIDES:
        _lying_leg(figure, side, which, generator)
        way = (
            generator.uniform(0.2, 1.2),
            generator.uniform(-1, 1),
            0.12 if which == 'up' else 0.2,
        )
        if generator.random() < 0.45:
            way = (0.3, -1, 0.1)
        if which == 'up' and generator.random() < 0.25:
            place_hand(
                figure,
                side,
                'spine2',
                (0.08, 0.12, 0.19),
                (1, -0.3, 0),
                (0, 0, -1),
                0.02,
                generator,
            )
        elif which in SIDES:
            under = side == which  # the arm below lies on the ground before the body
            way = (0.0 if under else generator.uniform(-0.3, 0.1), generator.uniform(-0.5, 0.7), 1)
            elbow = (0.0, -1.0, 0.2) if under else (0.4, -1, 0)
            point_arm(figure, side, way, generator.uniform(0.6, 0.95), elbow, None)
        else:
            bend = 1.0 if which == 'up' else -1.0
            point_arm(figure, side, way, generator.uniform(0.75, 0.98), (0.3, 0, -bend), None)
    figure.look(generator.normal(4, 6), generator.normal(0, 25), 0)
    x, z = _LYING[which]
    roll = generator.normal(0, 6)
    if which in ('up', 'down'):
        root = Rotation.from_euler('XY', [x, roll], degrees=True)
    else:
        root = Rotation.from_euler('ZY', [z, roll], degrees=True)
    figure.turns[0] = root.as_matrix()
    return figure


def _lying_leg(figure: Figure, side: Side, which: str, generator: Generator) -> None:
    sign = outward(side)[0]
    drawn = generator.random() < 0.4
    flex = generator.uniform(35, 75) if drawn else generator.uniform(0, 12)
    if which == 'down':
        flex = generator.uniform(-6, 2)
    elif which in SIDES:
        flex = generator.uniform(5, 80)
    aside = generator.uniform(0, 18)
    if which in SIDES:  # the upper leg sinks
        aside = generator.uniform(-2, 6) if side == which else generator.uniform(-16, -6)
    knee = {'up': flex * 1.8 if drawn else flex, 'down': generator.uniform(0, 20)}.get(
        which, flex * generator.uniform(0.8, 1.4)
    )
    figure.set(f'{side}_hip', 'XZY', [-flex, sign * aside, sign * generator.uniform(0, 15)])
    figure.set(f'{side}_knee', 'XYZ', [min(knee, 130), 0, 0])
    figure.set(f'{side}_ankle', 'XYZ', [generator.uniform(10, 35), 0, 0])
