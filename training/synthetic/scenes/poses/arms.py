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

"""What people do with their arms while they stand, walk or sit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from training.data.annotation import Floats
from training.synthetic.scenes.poses.figure import Figure, joint, Side, SIDES, unit

Generator = np.random.Generator
ArmAction = Callable[[Figure, Side, Generator], None]
ARM_LENGTH_M = 0.487


def outward(side: Side) -> Floats:
    """Return the factors (3,) that turn a direction given outwards into the body's own."""
    return np.array([1.0 if side == 'left' else -1.0, 1, 1])


def place_hand(
    figure: Figure,
    side: Side,
    carrier: str,
    point: tuple[float, float, float],
    elbow: tuple[float, float, float],
    palm: tuple[float, float, float] | None,
    noise_m: float,
    generator: Generator,
) -> None:
    """
    Put a wrist where a point of the resting body (x outwards to the side) is carried.

    `elbow` and `palm` are directions in the carrier's frame, x outwards too.
    """
    sign = outward(side)
    turn, _ = figure.placed(carrier)
    target = figure.carried(carrier, sign * (point + generator.normal(0, noise_m, 3)))
    direction = turn @ (sign * elbow + generator.normal(0, 0.15, 3))
    figure.arm(side, target, direction, None if palm is None else turn @ (sign * palm))


def point_arm(
    figure: Figure,
    side: Side,
    way: tuple[float, float, float],
    reach: float,
    elbow: tuple[float, float, float],
    palm: tuple[float, float, float] | None,
) -> None:
    """Stretch an arm along a direction of the chest (x outwards) by a part of its length."""
    sign = outward(side)
    turn, _ = figure.placed('spine3')
    shoulder = figure.carried('spine3', figure.rest[joint(f'{side}_shoulder')])
    target = shoulder + turn @ (sign * unit(way)) * reach * ARM_LENGTH_M
    figure.arm(side, target, turn @ (sign * elbow), None if palm is None else turn @ (sign * palm))


def hang(figure: Figure, side: Side, generator: Generator) -> None:
    """Let an arm hang, whatever the trunk does."""
    sign = outward(side)
    turn, _ = figure.placed('spine3')
    heading = unit(turn[:, 2] * (1, 0, 1) + 1e-9)
    across = np.cross([0, 1, 0], heading)
    shoulder = figure.carried('spine3', figure.rest[joint(f'{side}_shoulder')])
    way = sign[0] * across * generator.uniform(0.14, 0.34) + (0, -1, 0)
    way = way + heading * generator.uniform(-0.12, 0.28)
    target = shoulder + unit(way) * ARM_LENGTH_M * generator.uniform(0.93, 0.995)
    elbow = sign[0] * across * generator.uniform(0.0, 0.6) - heading
    palm = -sign[0] * across - heading * generator.uniform(-0.2, 0.7)
    figure.arm(side, target, elbow, palm)


def on_hip(figure: Figure, side: Side, generator: Generator) -> None:
    """Put a hand on the hip."""
    place_hand(
        figure,
        side,
        'spine1',
        (0.225, 0.045, 0.03),
        (1, 0.1, -0.5),
        (-1, 0, 0.3),
        0.012,
        generator,
    )


def in_pocket(figure: Figure, side: Side, generator: Generator) -> None:
    """Put a hand into a pocket."""
    place_hand(
        figure, side, 'pelvis', (0.235, -0.03, 0.07), (0.6, 0, -1), (-1, 0, 0), 0.012, generator
    )


def phone_ear(figure: Figure, side: Side, generator: Generator) -> None:
    """Hold a phone to the ear."""
    place_hand(
        figure, side, 'head', (0.13, 0.57, 0.10), (0.6, -1, 0.3), (-1, 0.3, 0), 0.012, generator
    )


def head_touch(figure: Figure, side: Side, generator: Generator) -> None:
    """Scratch the head, shade the eyes, hold a hat."""
    where = [(0.13, 0.72, 0.06), (0.12, 0.66, 0.20), (0.14, 0.60, -0.06)][generator.integers(3)]
    place_hand(figure, side, 'head', where, (1, -0.3, 0.2), None, 0.02, generator)


def to_chin(figure: Figure, side: Side, generator: Generator) -> None:
    """Put a hand to the chin."""
    place_hand(figure, side, 'head', (0.05, 0.46, 0.18), (0.4, -1, 0.2), None, 0.015, generator)


def hold_before(figure: Figure, side: Side, generator: Generator) -> None:
    """Hold something before the belly or the chest: a cup, a phone, a bag's strap."""
    point = (
        generator.uniform(0.0, 0.25),
        generator.uniform(0.08, 0.42),
        generator.uniform(0.2, 0.38),
    )
    place_hand(figure, side, 'spine3', point, (0.7, -1, -0.3), (-0.6, 0.4, -0.3), 0.01, generator)


def wave(figure: Figure, side: Side, generator: Generator) -> None:
    """Wave a raised hand."""
    way = (generator.uniform(0.2, 0.9), generator.uniform(0.4, 1.1), generator.uniform(0.0, 0.5))
    point_arm(figure, side, way, generator.uniform(0.6, 0.95), (0.8, -0.6, -0.2), (0, 0, 1))


def point_out(figure: Figure, side: Side, generator: Generator) -> None:
    """Point at something in front or at the side."""
    way = (generator.uniform(-0.2, 1), generator.uniform(-0.35, 0.5), generator.uniform(0.3, 1))
    point_arm(figure, side, way, generator.uniform(0.93, 0.995), (0.5, -1, 0), (0, -1, 0))


def reach_out(figure: Figure, side: Side, generator: Generator) -> None:
    """Reach for something anywhere in front, at the side, above or low."""
    way = (generator.uniform(-0.2, 1), generator.uniform(-1, 1.2), generator.uniform(0.1, 1))
    reach = generator.uniform(0.6, 0.97)
    point_arm(figure, side, way, reach, (0.7, -0.8, -0.4), None)


def swing(figure: Figure, side: Side, forward: float, bend: float) -> None:
    """Swing a hanging arm by so many degrees, the elbow bent by so many."""
    angle = np.deg2rad(forward)
    way = (0.17, -np.cos(angle), np.sin(angle))
    # The distance between shoulder and wrist of two bones of about equal length.
    point_arm(figure, side, way, np.cos(np.deg2rad(bend) / 2), (0.15, 0, -1), (-1, 0, -0.1))


def both_crossed(figure: Figure, generator: Generator) -> None:
    """Cross the arms before the chest."""
    upper = generator.permutation(2)
    for side, over in zip(SIDES, upper, strict=True):
        point = (-0.105, 0.245 + 0.035 * over, 0.155 + 0.06 * over)
        place_hand(figure, side, 'spine3', point, (1, -0.5, 0.25), (0.2, 0, -1), 0.008, generator)


def both_clasped(figure: Figure, generator: Generator) -> None:
    """Fold the hands low, before the belly, or behind the back."""
    height = generator.uniform(-0.06, 0.2)
    if generator.random() < 0.3:
        for side in SIDES:
            place_hand(
                figure,
                side,
                'spine2',
                (0.045, 0.02, -0.2),
                (1, 0, -0.7),
                (0, 0, -1),
                0.01,
                generator,
            )
        return
    for side in SIDES:
        place_hand(
            figure,
            side,
            'spine2',
            (0.07, height, 0.22),
            (1, -0.1, -0.5),
            (-0.3, 0, -1),
            0.01,
            generator,
        )


def both_carry(figure: Figure, generator: Generator) -> None:
    """Carry a box, a tray, a child: both hands before the body."""
    wide, high = generator.uniform(0.08, 0.24), generator.uniform(0.0, 0.42)
    deep = generator.uniform(0.26, 0.42)
    for side in SIDES:
        place_hand(
            figure,
            side,
            'spine3',
            (wide, high, deep),
            (0.8, -1, -0.3),
            (-1, 0.5, 0),
            0.01,
            generator,
        )


def both_look_at_phone(figure: Figure, generator: Generator) -> None:
    """Hold a phone or a book with both hands and look at it."""
    figure.look(generator.uniform(15, 40))
    height = generator.uniform(0.2, 0.36)
    for side in SIDES:
        place_hand(
            figure,
            side,
            'spine3',
            (0.06, height, 0.32),
            (0.6, -1, -0.2),
            (-0.5, 0.3, -0.6),
            0.012,
            generator,
        )


def both_up(figure: Figure, generator: Generator) -> None:
    """Raise both arms: joy, surrender, a ball above the head."""
    way = (generator.uniform(-0.1, 0.8), 1.0, generator.uniform(-0.1, 0.6))
    reach = generator.uniform(0.65, 0.98)
    for side in SIDES:
        point_arm(figure, side, way, reach, (1, 0, -0.1), (0, 0, 1))


ONE_ARM: tuple[tuple[float, ArmAction], ...] = (
    (6.0, hang), (1.2, on_hip), (1.6, in_pocket), (1.0, phone_ear), (0.5, head_touch),
    (0.6, to_chin), (2.6, hold_before), (1.0, wave), (1.0, point_out), (2.0, reach_out),
)  # fmt: skip
BOTH_ARMS: tuple[Callable[[Figure, Generator], None], ...] = (
    both_crossed, both_clasped, both_carry, both_look_at_phone, both_up,
)  # fmt: skip


def idle_arms(figure: Figure, generator: Generator) -> None:
    """Do something with both arms that someone on his feet does."""
    if generator.random() < 0.3:
        BOTH_ARMS[generator.integers(len(BOTH_ARMS))](figure, generator)
        return
    chances = np.array([weight for weight, _ in ONE_ARM])
    first, second = generator.choice(len(ONE_ARM), 2, p=chances / chances.sum())
    if generator.random() < 0.3:
        second = first
    for side, action in zip(SIDES, generator.permutation([first, second]), strict=True):
        ONE_ARM[action][1](figure, side, generator)
