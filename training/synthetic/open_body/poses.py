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
Believable poses: random ones, and those of people in scenes.

In the random ones every joint is within what people can do and most are near standing; people in
scenes also crouch, kneel, sit on the floor and lie.
"""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
from scipy.spatial.transform import Rotation
from training.synthetic.open_body.anny_source import Array
from training.synthetic.scenes.people import CATEGORY_WEIGHTS, draw_poses
from training.synthetic.scenes.rotations import matrices

Limits = tuple[tuple[float, float, float], ...]

# Degrees (least, usual, most), the left side's; the right mirrors it. The order of the letters is
# that of scipy's intrinsic rotations: an arm twists last, a thigh too.
_LIMITS_DEG: dict[str, tuple[str, Limits]] = {
    'pelvis': ('YXZ', ((-180, 0, 180), (-30, 0, 30), (-20, 0, 20))),
    'spine1': ('XYZ', ((-10, 5, 30), (-15, 0, 15), (-12, 0, 12))),
    'spine2': ('XYZ', ((-10, 3, 20), (-15, 0, 15), (-12, 0, 12))),
    'spine3': ('XYZ', ((-8, 3, 15), (-12, 0, 12), (-10, 0, 10))),
    'neck': ('XYZ', ((-20, 0, 25), (-30, 0, 30), (-15, 0, 15))),
    'head': ('XYZ', ((-20, 0, 20), (-35, 0, 35), (-15, 0, 15))),
    'hip': ('XZY', ((-100, -10, 20), (-15, 4, 45), (-35, 0, 30))),
    'knee': ('XYZ', ((0, 15, 135), (0, 0, 0), (0, 0, 0))),
    'ankle': ('XYZ', ((-25, 0, 40), (-12, 0, 12), (-12, 0, 12))),
    'foot': ('XYZ', ((-35, 0, 10), (0, 0, 0), (0, 0, 0))),
    'collar': ('YZX', ((-20, 0, 10), (-12, -4, 22), (0, 0, 0))),
    'shoulder': ('YZX', ((-100, -15, 20), (-80, -60, 65), (-60, 0, 50))),
    'elbow': ('YXZ', ((-140, -30, 0), (-60, 0, 70), (0, 0, 0))),
    'wrist': ('ZYX', ((-60, 0, 50), (-25, 0, 25), (-15, 0, 15))),
    'hand': ('ZYX', ((-60, -10, 15), (0, 0, 0), (0, 0, 0))),
}


def random_poses(count: int, generator: np.random.Generator) -> Array:
    """Draw rotation matrices (count, 24, 3, 3) relative to each joint's parent."""
    poses = np.empty((count, len(SMPL_JOINT_NAMES), 3, 3))
    for joint, name in enumerate(SMPL_JOINT_NAMES):
        side, _, part = name.partition('_')
        axes, limits = _LIMITS_DEG[part or name]
        angles = [_draw(limit, count, generator) for limit in limits]
        matrices = Rotation.from_euler(axes, np.stack(angles, 1), degrees=True).as_matrix()
        # A mirror image at x = 0 turns a rotation R into M·R·M with M = diag(-1, 1, 1).
        mirror = np.array([-1.0 if side == 'right' else 1.0, 1, 1])
        poses[:, joint] = mirror[:, None] * matrices * mirror
    return poses


def scene_poses(count: int, generator: np.random.Generator) -> Array:
    """Draw rotation matrices as `random_poses` does, each category of scenes as often."""
    categories = generator.choice(list(CATEGORY_WEIGHTS), count)
    return np.asarray(matrices(draw_poses(tuple(categories.tolist()), generator)[0]), float)


def _draw(limit: tuple[float, float, float], count: int, generator: np.random.Generator) -> Array:
    least, usual, most = limit
    if least == most:
        return np.full(count, usual)
    return generator.triangular(least, usual, most, count)
