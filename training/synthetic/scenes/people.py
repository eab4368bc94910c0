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

"""Who is in a scene: bodies of all ages, and what they do, before anybody is placed."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
from training.data.annotation import Floats
from training.data.placing import MIRRORED_JOINTS
from training.synthetic.scenes.pose_library import pose_library
from training.synthetic.scenes.rotations import matrices
from training.synthetic.scenes.small_body import small_body

Generator = np.random.Generator

CATEGORY_WEIGHTS: dict[str, float] = {
    'stand': 34, 'walk': 18, 'seat': 16, 'sport': 9, 'bend': 4, 'crouch': 4, 'kneel': 3,
    'floor': 4, 'lie': 2.5, 'run': 3, 'getup': 1, 'crawl': 0.5,
}  # fmt: skip
"""How often people do what, over all scenes; each scene leans to some of it."""

# Median statures of boys and girls, metres, by age in years: WHO child growth standards (2006)
# up to 5 years, WHO growth reference (2007) above.
_AGES_YEARS = np.array([2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 17.5])
_STATURES_M = np.array([0.87, 0.955, 1.03, 1.095, 1.155, 1.27, 1.38, 1.50, 1.615, 1.68, 1.695])
_ADULT_M, _CHILD_M = 1.69, 1.03  # of the open body at 0 and at 1 on its child axis
_CHILD_CHANCE = 0.25
_LEAST_AGE_YEARS = 4.0  # where the child axis is 1
_FURTHEST_BETA = 2.6
_CHILD_NARROWING = 0.35

_LOWER = ('pelvis', 'hip', 'knee', 'ankle', 'foot')
_UPPER = [i for i, n in enumerate(SMPL_JOINT_NAMES) if n.split('_')[-1] not in _LOWER]
_UPPER_FROM: dict[str, tuple[str, ...]] = {
    'stand': ('stand', 'walk', 'seat', 'sport'),
    'walk': ('stand', 'walk', 'run'),
    'kneel': ('stand', 'kneel'),
    'seat': ('seat', 'seat', 'stand'),
    'floor': ('seat', 'floor'),
}
"""Whose upper body suits whose legs."""
_MIXED_CHANCE = 0.35

_NOISE_DEG = {
    'pelvis': 0, 'hip': 1.2, 'knee': 1.2, 'ankle': 2, 'foot': 2, 'spine1': 2, 'spine2': 2,
    'spine3': 2, 'neck': 5, 'head': 5, 'collar': 2, 'shoulder': 5, 'elbow': 5, 'wrist': 7,
    'hand': 8,
}  # fmt: skip
_BY_JOINT = np.array([_NOISE_DEG[n.split('_')[-1]] for n in SMPL_JOINT_NAMES])
_NOISE_RAD = np.deg2rad(_BY_JOINT)[:, None] * np.ones(3)
for _joint, _name in enumerate(SMPL_JOINT_NAMES):
    if 'knee' in _name:  # a hinge
        _NOISE_RAD[_joint, 1:] = 0


@dataclass(frozen=True)
class People:
    """P people in their own frames: y up, facing +z, the pelvis over the origin, feet on y = 0."""

    categories: tuple[str, ...]
    rotvecs: Floats
    """(P, 24, 3) axis-angles, the root's without heading."""
    betas: Floats
    """(P, 11)."""
    joints_m: Floats
    """(P, 45, 3)."""
    skin_m: Floats
    """(P, K, 3)."""
    root_m: Floats
    """(P, 3) joint 0 of the body at rest, before it was put there."""


def draw_people(count: int, generator: Generator) -> People:
    """Draw people and pose them."""
    categories = _categories(count, generator)
    rotvecs, lifts = draw_poses(categories, generator)
    betas = draw_betas(count, generator)
    posed = small_body().pose(matrices(rotvecs), betas)
    shift = -posed.root
    shift[:, 1] = lifts - posed.skin[..., 1].min(1)
    return People(
        categories,
        rotvecs,
        betas,
        posed.joints + shift[:, None],
        posed.skin + shift[:, None],
        posed.root,
    )


def draw_betas(count: int, generator: Generator) -> Floats:
    """Draw shapes (P, 11): adults by the axes' own variance, a quarter children and teenagers."""
    betas = generator.standard_normal((count, 11)).clip(-_FURTHEST_BETA, _FURTHEST_BETA)
    ages = generator.uniform(_LEAST_AGE_YEARS, 18, count)
    statures = np.interp(ages, _AGES_YEARS, _STATURES_M)
    child = ((_ADULT_M - statures) / (_ADULT_M - _CHILD_M)).clip(0, 1)
    child[generator.random(count) > _CHILD_CHANCE] = 0
    betas[:, :10] *= (1 - _CHILD_NARROWING * child)[:, None]
    betas[:, 10] = child
    return betas


def _categories(count: int, generator: Generator) -> tuple[str, ...]:
    weights = np.array(list(CATEGORY_WEIGHTS.values()))
    weights = weights * generator.gamma(1.0, size=len(weights))
    names = list(CATEGORY_WEIGHTS)
    picked = generator.choice(len(names), count, p=weights / weights.sum())
    return tuple(names[i] for i in picked)


def draw_poses(categories: tuple[str, ...], generator: Generator) -> tuple[Floats, Floats]:
    """
    Draw a pose for each category.

    Returns axis-angles (P, 24, 3), the root's without heading, and how far the lowest points (P,)
    are off the ground in metres.
    """
    library = pose_library()
    rows = np.array([_any_of(c, generator) for c in categories])
    rotvecs = library.rotvecs[rows]
    for person, category in enumerate(categories):
        if category in _UPPER_FROM and generator.random() < _MIXED_CHANCE:
            others = _UPPER_FROM[category]
            other = _any_of(others[generator.integers(len(others))], generator)
            rotvecs[person, _UPPER] = library.rotvecs[other, _UPPER]
    flip = generator.random(len(rotvecs)) < 0.5
    rotvecs[flip] = rotvecs[flip][:, MIRRORED_JOINTS] * (1, -1, -1)
    noise = generator.standard_normal(rotvecs.shape) * _NOISE_RAD
    lows, highs = library.bounds
    # What a pose has beyond the bounds already is the recording's; noise adds nothing to it.
    noisy = np.clip(rotvecs + noise, np.minimum(lows, rotvecs), np.maximum(highs, rotvecs))
    return noisy, library.lifts_m[rows]


def _any_of(category: str, generator: Generator) -> int:
    rows = pose_library().rows[category]
    return int(rows[generator.integers(len(rows))])
