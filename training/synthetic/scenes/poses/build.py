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

"""From motions and stances to the library: within limits, no limb through another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mahmr_model.body.joints import JOINT_NAMES_45
import numpy as np
from scipy.spatial.transform import Rotation
from training.data.annotation import Bools, Floats
from training.synthetic.scenes.poses.figure import Figure, joint, SIDES
from training.synthetic.scenes.poses.limits import within_limits
from training.synthetic.scenes.poses.mocap import read_motions
from training.synthetic.scenes.poses.seats import lie, seat, sit_on_floor
from training.synthetic.scenes.poses.settle import MOST_TILT_DEG, settled
from training.synthetic.scenes.poses.sports import run, SPORTS
from training.synthetic.scenes.poses.stances import bend_over, crouch, kneel, stand, step, walk
from training.synthetic.scenes.small_body import small_body

Generator = np.random.Generator

RECIPE: dict[str, tuple[int, tuple[Callable[[Generator], Figure], ...]]] = {
    'stand': (1300, (stand, stand, stand, step)),
    'walk': (700, (walk,)),
    'run': (150, (run,)),
    'bend': (350, (bend_over,)),
    'crouch': (300, (crouch,)),
    'kneel': (250, (kneel,)),
    'seat': (800, (seat,)),
    'floor': (300, (sit_on_floor,)),
    'lie': (250, (lie,)),
    'sport': (600, SPORTS),
}
"""How many poses of each category are made, and by which stances in turn."""

_AIRBORNE_M = 0.06
_MOCAP_SLACK_DEG = 12.0


def make_poses(motions: Path, seed: int) -> tuple[Floats, list[str], Floats]:
    """Return poses (N, 24, 3), their categories, and how far each is off the ground (N,)."""
    parts = [_recorded(motions), _made(np.random.default_rng(seed))]
    poses = np.concatenate([p for p, _, _ in parts])
    categories = [c for _, names, _ in parts for c in names]
    for category, tilt in MOST_TILT_DEG.items():
        rows = np.flatnonzero(np.array(categories) == category)
        if len(rows):
            poses[rows] = settled(poses[rows], tilt)
    return poses, categories, np.concatenate([lift for _, _, lift in parts])


def _recorded(folder: Path) -> tuple[Floats, list[str], Floats]:
    poses, categories, lifts = [], [], []
    for motion in read_motions(folder).values():
        relaxed = without_heading(motion.rotvecs)
        lift = _lifts(relaxed, motion.root_height_m)
        good = within_limits(relaxed, _MOCAP_SLACK_DEG)
        poses.append(relaxed[good])
        lifts.append(lift[good])
        categories += [motion.category] * int(good.sum())
    return np.concatenate(poses), categories, np.concatenate(lifts)


def _lifts(rotvecs: Floats, root_height_m: Floats) -> Floats:
    """
    Return how far above the ground the lowest point of each frame of a motion is.

    Their root is as high above the ground as ours where both stand; differences below 6 cm are
    the retargeting's, not a jump.
    """
    lowest = _lowest(rotvecs)
    clear = root_height_m * 1.05 + lowest
    clear = clear - np.quantile(clear, 0.1)
    return np.where(clear > _AIRBORNE_M, clear - _AIRBORNE_M / 2, 0.0)


def _lowest(rotvecs: Floats) -> Floats:
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    posed = small_body().pose(matrices, np.zeros((len(rotvecs), 11)))
    lowest: Floats = posed.skin[..., 1].min(1) - posed.root[:, 1]
    return lowest


def without_heading(rotvecs: Floats) -> Floats:
    """Return poses (N, 24, 3) turned about the vertical so that they face +z or lie along it."""
    roots = Rotation.from_rotvec(rotvecs[:, 0])
    ahead, up = roots.apply([0, 0, 1]), roots.apply([0, 1, 0])
    # Who lies has no heading but the way the head points.
    flat = np.abs(ahead[:, 1]) > 0.8
    way = np.where(flat[:, None], up, ahead)
    heading = np.arctan2(way[:, 0], way[:, 2])
    result = rotvecs.copy()
    result[:, 0] = (Rotation.from_euler('Y', -heading[:, None]) * roots).as_rotvec()
    return result


def _made(generator: Generator) -> tuple[Floats, list[str], Floats]:
    poses, categories = [], []
    for category, (count, stances) in RECIPE.items():
        made: list[Floats] = []
        while len(made) < count:
            batch = [stances[i % len(stances)](generator).rotvecs() for i in range(count)]
            rows = _with_hands(np.stack(batch), generator)
            good = within_limits(rows) & ~through_itself(rows)
            made += list(rows[good])
        poses += made[:count]
        categories += [category] * count
    rows = np.stack(poses)
    return rows, categories, np.zeros(len(rows))


def _with_hands(rotvecs: Floats, generator: Generator) -> Floats:
    """Return poses with fingers bent a little, more, or into a fist, and wrists at ease."""
    for side in SIDES:
        sign = 1.0 if side == 'left' else -1.0
        curl = np.abs(generator.normal(0, 22, len(rotvecs))).clip(0, 70)
        rotvecs[:, joint(f'{side}_hand'), 2] = -sign * np.deg2rad(curl)
        ease = generator.normal(0, np.deg2rad([6, 5, 10]), (len(rotvecs), 3))
        rotvecs[:, joint(f'{side}_wrist')] += ease
    return rotvecs


_SPANS: tuple[tuple[str, str, float], ...] = (
    ('pelvis', 'spine2', 0.085),
    ('spine2', 'neck', 0.09),
    ('head', 'nose', 0.07),
    ('left_hip', 'left_knee', 0.055),
    ('right_hip', 'right_knee', 0.055),
    ('left_knee', 'left_ankle', 0.04),
    ('right_knee', 'right_ankle', 0.04),
    ('left_elbow', 'left_wrist', 0.025),
    ('right_elbow', 'right_wrist', 0.025),
    ('left_wrist', 'left_middle', 0.01),
    ('right_wrist', 'right_middle', 0.01),
)
"""Bones and how thick their core is, metres: what no other limb may enter."""


def through_itself(rotvecs: Floats) -> Bools:
    """Say in which poses (N, 24, 3) of the mean body one limb's core runs through another's."""
    matrices = Rotation.from_rotvec(rotvecs.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    joints = small_body().pose(matrices, np.zeros((len(rotvecs), 11))).joints
    ends = [[JOINT_NAMES_45.index(n) for n in span[:2]] for span in _SPANS]
    steps = np.linspace(0, 1, 6)[None, :, None]
    cores = [joints[:, a, None] * (1 - steps) + joints[:, b, None] * steps for a, b in ends]
    bad = np.zeros(len(rotvecs), bool)
    for i, first in enumerate(_SPANS):
        for j in range(i):
            if set(first[:2]) & set(_SPANS[j][:2]):
                continue
            if {first[0], _SPANS[j][0]} in (
                {'pelvis', 'left_hip'},
                {'pelvis', 'right_hip'},
                {'head', 'spine2'},
            ):
                continue
            gap = np.linalg.norm(cores[i][:, :, None] - cores[j][:, None], axis=3).min((1, 2))
            bad |= gap < first[2] + _SPANS[j][2]
    return bad
