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

"""People on their feet and knees: standing, stepping, walking, bending, crouching, kneeling."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation
from training.data.annotation import Floats
from training.synthetic.scenes.poses.arms import (
    ARM_LENGTH_M,
    Generator,
    hang,
    idle_arms,
    outward,
    place_hand,
    reach_out,
    swing,
)
from training.synthetic.scenes.poses.figure import ANKLE_HEIGHT_M, Figure, joint, Side, SIDES

LEG_LENGTH_M = 0.812
_HIP_DROP_M = 0.056  # of the hip joints below the pelvis
STANDING_M = LEG_LENGTH_M + _HIP_DROP_M + ANKLE_HEIGHT_M
"""How high the pelvis is over the ground where legs are straight."""


def drop(figure: Figure, feet: dict[Side, Floats], straight: float) -> float:
    """
    Return how much lower than `STANDING_M` the pelvis is where one leg is as good as straight.

    `feet` says where ankles are (x, lift, z) relative to the pelvis, y above a flat foot's;
    `straight` is the part of the leg's length that is used.
    """
    lows = []
    for side, (x, lift, z) in feet.items():
        hip = figure.carried('pelvis', figure.rest[joint(f'{side}_hip')])
        across = (x - hip[0]) ** 2 + (z - hip[2]) ** 2
        upright = np.sqrt(max((LEG_LENGTH_M * straight) ** 2 - across, 0.01))
        lows.append(STANDING_M - ANKLE_HEIGHT_M - (upright - hip[1] + lift))
    return max(lows)


def yaw(degrees: float) -> Floats:
    """Return a turn (3, 3) about the vertical."""
    matrix: Floats = Rotation.from_euler('Y', degrees, degrees=True).as_matrix()
    return matrix


def foot(turn_deg: float, pitch_deg: float = 0.0) -> Floats:
    """Return the turn (3, 3) of a foot: its toes to the left, then its heel up."""
    angles = [turn_deg, pitch_deg]
    matrix: Floats = Rotation.from_euler('YX', angles, degrees=True).as_matrix()
    return matrix


def stand(generator: Generator) -> Figure:
    """Stand at ease: weight on one leg or on both, feet turned out, arms doing anything."""
    figure = Figure()
    shift = generator.normal(0, 0.035)
    lean = generator.normal(2, 4)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 5), lean, -45 * shift])
    figure.bend(
        generator.normal(4, 5), generator.normal(0, 7), 60 * shift + generator.normal(0, 2)
    )
    width, stagger = generator.uniform(0.07, 0.2), generator.normal(0, 0.07)
    feet = {s: outward(s)[0] * np.array([width, 0, stagger]) - (shift, 0, 0) for s in SIDES}
    low = drop(figure, feet, 0.9985 - abs(generator.normal(0, 0.006)))
    for side, where in feet.items():
        sign, out = outward(side)[0], generator.uniform(0, 25)
        where[1] = ANKLE_HEIGHT_M - STANDING_M + low
        figure.leg(side, where, yaw(sign * out * 0.7)[:, 2], foot(sign * out))
    figure.look(generator.normal(3, 12), generator.normal(0, 25), generator.normal(0, 5))
    idle_arms(figure, generator)
    return figure


def step(generator: Generator) -> Figure:
    """Step, lunge or brace: feet far apart, before one another or aside."""
    figure = Figure()
    way, length = generator.uniform(0, 2 * np.pi), generator.uniform(0.3, 0.85)
    apart = np.array([np.sin(way) * length, 0, np.cos(way) * length * 0.9]) / 2
    if apart[0] < 0.05:  # never with the legs crossed
        apart[0] = generator.uniform(0.05, 0.12)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 12), generator.normal(8, 8), 0])
    figure.bend(generator.normal(8, 10), generator.normal(0, 15), generator.normal(0, 6))
    shift = generator.normal(0, 0.2)
    feet = {s: outward(s)[0] * apart * (1 + outward(s)[0] * shift) for s in SIDES}
    heels = {s: float(np.clip(-90 * z, 0, 45)) * (z < -0.15) for s, (_, _, z) in feet.items()}
    for side in SIDES:
        feet[side][1] = 0.12 * np.sin(np.deg2rad(heels[side]))
    low = drop(figure, feet, 0.995 - abs(generator.normal(0, 0.05)))
    for side, where in feet.items():
        sign, heel, out = outward(side)[0], heels[side], generator.uniform(0, 35)
        where[1] += ANKLE_HEIGHT_M - STANDING_M + low
        figure.leg(side, where, yaw(sign * out)[:, 2], foot(sign * out, heel))
    figure.look(generator.normal(0, 12), generator.normal(0, 25), 0)
    idle_arms(figure, generator)
    return figure


def walk(generator: Generator) -> Figure:
    """Walk: any moment of a stride, arms swinging against the legs or busy."""
    figure = Figure()
    phase = generator.uniform(0, 2 * np.pi)
    stride = generator.uniform(0.18, 0.36)  # half the distance between both feet's prints
    twist = 6 * np.sin(phase)
    figure.set('pelvis', 'YXZ', [-twist, generator.normal(3, 2.5), generator.normal(0, 1.5)])
    figure.bend(generator.normal(3, 4), 2 * twist, generator.normal(0, 2))
    moments = {'left': _foot_at(phase), 'right': _foot_at(phase + np.pi)}
    feet: dict[Side, Floats] = {}
    for side in SIDES:
        ahead, lift, _ = moments[side]
        aside = outward(side)[0] * generator.uniform(0.06, 0.1)
        feet[side] = np.array([aside, lift, stride * ahead])
    low = drop(figure, feet, 0.9985 - abs(generator.normal(0, 0.005)))
    for side, where in feet.items():
        sign, pitch = outward(side)[0], moments[side][2]
        where[1] += ANKLE_HEIGHT_M - STANDING_M + low
        figure.leg(side, where, yaw(sign * 6)[:, 2], foot(sign * generator.uniform(0, 12), pitch))
    figure.look(generator.normal(5, 9), generator.normal(0, 16), 0)
    if generator.random() < 0.25:
        idle_arms(figure, generator)
        return figure
    strength = generator.uniform(10, 32)
    for side in SIDES:
        sign = outward(side)[0]
        angle = -sign * strength * np.cos(phase) + generator.normal(4, 4)
        swing(figure, side, angle, generator.uniform(8, 35) + 0.5 * max(0.0, angle))
    return figure


def _foot_at(phase: float) -> tuple[float, float, float]:
    """
    Return how far ahead a foot is (−1 to 1), how high its ankle is lifted, its heel's pitch.

    From phase 0, heel strike ahead, to π the foot stands, from π to 2π it swings.
    """
    phase = phase % (2 * np.pi)
    ahead = float(np.cos(phase))
    if phase < np.pi:
        heel = 38 * max(0.0, (phase - 0.62 * np.pi) / (0.38 * np.pi)) ** 1.5
        pitch = heel - 16 * max(0.0, 1 - phase / (0.2 * np.pi))
        return ahead, 0.13 * np.sin(np.deg2rad(max(heel, 0.0))), pitch
    swung = (phase - np.pi) / np.pi
    lift = 0.08 * (1 - swung) + 0.07 * np.sin(np.pi * swung)
    return ahead, float(lift), float(38 * (1 - swung) ** 1.3 - 16 * swung**2)


def bend_over(generator: Generator) -> Figure:
    """Bend forward: to pick something up, to tie a shoe, over a table, hands on the knees."""
    figure = Figure()
    pitch, curl = generator.uniform(20, 75), generator.uniform(10, 45)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 6), pitch, generator.normal(0, 4)])
    figure.bend(curl, generator.normal(0, 8), generator.normal(0, 5))
    low = generator.uniform(0.01, 0.03) + generator.uniform(0, 0.22) * generator.random()
    back = 0.16 * np.sin(np.deg2rad(pitch))
    width, stagger = generator.uniform(0.08, 0.22), generator.normal(0, 0.09)
    for side in SIDES:
        sign = outward(side)[0]
        where = np.array([sign * width, ANKLE_HEIGHT_M - STANDING_M + low, back + sign * stagger])
        figure.leg(side, where, yaw(sign * 10)[:, 2], foot(sign * generator.uniform(0, 20)))
    figure.look(generator.uniform(-40, 20), generator.normal(0, 15), 0)
    _busy_hands(figure, generator)
    return figure


def _busy_hands(figure: Figure, generator: Generator) -> None:
    choice = generator.random()
    for side in SIDES:
        if choice < 0.25:
            place_hand(
                figure,
                side,
                f'{side}_knee',
                (0.15, -0.30, 0.07),
                (1, 0.3, -0.3),
                None,
                0.02,
                generator,
            )
        elif choice < 0.75:
            hang_ahead(figure, side, generator)
        else:
            (hang if generator.random() < 0.5 else reach_out)(figure, side, generator)


def hang_ahead(figure: Figure, side: Side, generator: Generator) -> None:
    """Reach down to the ground or to something low before the feet."""
    sign = outward(side)[0]
    shoulder = figure.carried('spine3', figure.rest[joint(f'{side}_shoulder')])
    way = np.array([sign * generator.uniform(-0.25, 0.25), -1, generator.uniform(-0.1, 0.7)])
    target = shoulder + way / np.linalg.norm(way) * ARM_LENGTH_M * generator.uniform(0.75, 0.99)
    figure.arm(side, target, (sign * 0.8, 0, -0.6), (-sign, 0, 0))


def crouch(generator: Generator) -> Figure:
    """Squat: feet flat or on the toes, knees apart, arms around or before them."""
    figure = Figure()
    height = generator.uniform(0.2, 0.55)
    pitch = generator.uniform(5, 40)
    figure.set('pelvis', 'YXZ', [generator.normal(0, 5), pitch, 0])
    figure.bend(generator.uniform(5, 40), generator.normal(0, 6), generator.normal(0, 4))
    heel = generator.uniform(0, 40) if generator.random() < 0.5 else 0.0
    forward = 0.08 + 0.16 * np.sin(np.deg2rad(pitch)) - 0.12 * np.sin(np.deg2rad(heel))
    width, apart = generator.uniform(0.1, 0.22), generator.uniform(0.1, 0.8)
    for side in SIDES:
        sign = outward(side)[0]
        lift = 0.13 * np.sin(np.deg2rad(heel))
        where = np.array([sign * width, ANKLE_HEIGHT_M - height + lift, forward])
        where[2] += sign * generator.normal(0, 0.05)
        figure.leg(side, where, (sign * apart, 0.3, 1), foot(sign * 40 * apart, heel))
    figure.look(generator.normal(-12, 14), generator.normal(0, 20), 0)
    if generator.random() < 0.4:
        for side in SIDES:
            hang_ahead(figure, side, generator)
    elif generator.random() < 0.5:
        for side in SIDES:
            place_hand(
                figure,
                side,
                f'{side}_knee',
                (0.02, -0.36, 0.12),
                (1, -0.6, 0),
                None,
                0.03,
                generator,
            )
    else:
        idle_arms(figure, generator)
    return figure


def kneel(generator: Generator) -> Figure:
    """Kneel: on one knee, on both, upright or sitting on the heels."""
    figure = Figure()
    kind = generator.integers(3)
    height = 0.47 if kind < 2 else 0.23
    figure.set('pelvis', 'YXZ', [generator.normal(0, 6), generator.uniform(-4, 18), 0])
    figure.bend(generator.normal(8, 9), generator.normal(0, 10), generator.normal(0, 5))
    standing = SIDES[generator.integers(2)] if kind == 0 else None
    for side in SIDES:
        sign = outward(side)[0]
        if side == standing:
            where = np.array([sign * generator.uniform(0.1, 0.2), ANKLE_HEIGHT_M - height, 0])
            where[2] = generator.uniform(0.25, 0.42)
            figure.leg(side, where, (sign * 0.25, 0.5, 1), foot(sign * 10))
            continue
        rear = -0.42 if kind < 2 else generator.uniform(-0.12, -0.06)
        where = np.array([sign * 0.11, 0.09 - height, rear + generator.normal(0, 0.02)])
        knee = (sign * generator.uniform(0.05, 0.3), -0.6 if kind < 2 else 0, 1)
        figure.leg(side, where, knee, foot(0, 60))
    figure.look(generator.normal(4, 14), generator.normal(0, 22), 0)
    if generator.random() < 0.35:
        for side in SIDES:
            hang_ahead(figure, side, generator)
    else:
        idle_arms(figure, generator)
    return figure
