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

"""
What human joints can do, as bounds of axis-angles, and which poses keep to it.

From the American Academy of Orthopaedic Surgeons, Joint Motion: Method of Measuring and Recording
(1965), a few degrees wider where a joint of the body stands for more than the one measured there:

| joint | degrees each way |
| --- | --- |
| elbow | bends 150, turns 80 either way (half of it here, half in the wrist) |
| wrist | bends 80, stretches 70, aside 20 and 30 |
| shoulder | forward 180, back 60, aside 180, across the body 75 behind it 60, turns 90 |
| hip | forward 120, back 30, out 45, in 30, turns 45 |
| knee | bends 135 (150 passively, as in squatting) |
| ankle | up 20, down 50, sole in 35, out 15 |
| neck | forward and back 45, turns 60, aside 45 |
| trunk | forward 80, back 25, aside 35, turns 45 |

Bounds of single numbers of an axis-angle are exact where a joint turns about one axis and near
enough elsewhere; thigh and upper arm are held by where they point.
"""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
from scipy.spatial.transform import Rotation
from training.data.annotation import Bools, Floats

SIDES = ('left', 'right')

_BOUNDS_DEG: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    'pelvis': ((-999, 999), (-999, 999), (-999, 999)),
    'hip': ((-180, 180), (-180, 180), (-180, 180)),
    'spine1': ((-18, 40), (-22, 22), (-18, 18)),
    'spine2': ((-14, 32), (-22, 22), (-16, 16)),
    'spine3': ((-10, 24), (-20, 20), (-12, 12)),
    'neck': ((-32, 32), (-38, 38), (-25, 25)),
    'head': ((-32, 32), (-38, 38), (-25, 25)),
    'knee': ((-5, 150), (-15, 15), (-15, 15)),
    'ankle': ((-30, 55), (-32, 32), (-27, 35)),
    'foot': ((-35, 15), (-5, 5), (-5, 5)),
    'collar': ((-8, 8), (-24, 24), (-14, 26)),
    'shoulder': ((-180, 180), (-180, 180), (-180, 180)),
    'elbow': ((-75, 75), (-155, 8), (-75, 75)),
    'wrist': ((-65, 65), (-35, 35), (-75, 75)),
    'hand': ((-20, 20), (-15, 15), (-80, 20)),
}
"""Least and most of each number, the left side's; y and z of the right side's are mirrored."""


def joint_bounds() -> tuple[Floats, Floats]:
    """Return the least and the most of axis-angles, (24, 3) each, in radians."""
    low, high = np.empty((24, 3)), np.empty((24, 3))
    for number, name in enumerate(SMPL_JOINT_NAMES):
        side, _, part = name.partition('_')
        pairs = np.array(_BOUNDS_DEG[part or name])
        if side == 'right':
            pairs[1:] = -pairs[1:, ::-1]
        low[number], high[number] = np.deg2rad(pairs[:, 0]), np.deg2rad(pairs[:, 1])
    return low, high


def within_limits(rotvecs: Floats, slack_deg: float = 0.0) -> Bools:
    """Say which poses (N, 24, 3) a person could take."""
    low, high = joint_bounds()
    slack = np.deg2rad(slack_deg)
    good: Bools = ((rotvecs >= low - slack) & (rotvecs <= high + slack)).all((1, 2))
    for side in SIDES:
        outward = np.array([1.0 if side == 'left' else -1.0, 1, 1])
        hip = Rotation.from_rotvec(rotvecs[:, SMPL_JOINT_NAMES.index(f'{side}_hip')])
        turn = outward[0] * hip.as_euler('XZY', degrees=True)[:, 2]
        # 45° each way of a straight leg; a bent one that is spread, as in sitting cross-legged,
        # shows more outwards.
        good &= (turn > -55 - slack_deg) & (turn < 80 + slack_deg)
        thigh = hip.apply([0, -1, 0]) * outward
        # Back by 30°, in by 35°, and never up behind.
        good &= thigh[:, 2] > -np.sin(np.deg2rad(35 + slack_deg))
        good &= thigh[:, 0] > -np.sin(np.deg2rad(40 + slack_deg))
        good &= (thigh[:, 1] < 0.2) | (thigh[:, 2] > 0.45)
        arm = Rotation.from_rotvec(rotvecs[:, SMPL_JOINT_NAMES.index(f'{side}_shoulder')]).apply(
            outward * (1, 0, 0)
        )
        arm = arm * outward
        # Behind by 60°, across the chest by 50°, and not both behind and across.
        good &= arm[:, 2] > -np.sin(np.deg2rad(65 + slack_deg))
        good &= arm[:, 0] > -np.sin(np.deg2rad(50 + slack_deg))
        good &= (arm[:, 2] > -0.35) | (arm[:, 0] > -0.25)
    return good
