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

"""Recorded motions of PyPI's `pybullet`, carried over to the 24 joints of the open body."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

from mahmr_model.errors import UserError
import numpy as np
from scipy.spatial.transform import Rotation
from training.data.annotation import Floats
from training.synthetic.scenes.poses.figure import joint, SIDES

PYBULLET_VERSION = '3.2.7'
MOTIONS: dict[str, tuple[str, int]] = {
    'backflip': ('sport', 1),
    'cartwheel': ('sport', 3),
    'crawl': ('crawl', 3),
    'dance_a': ('sport', 2),
    'dance_b': ('sport', 2),
    'getup_facedown': ('getup', 3),
    'getup_faceup': ('getup', 3),
    'jump': ('sport', 2),
    'kick': ('sport', 1),
    'punch': ('sport', 1),
    'roll': ('sport', 3),
    'run': ('run', 1),
    'spin': ('sport', 2),
    'spinkick': ('sport', 2),
    'walk': ('walk', 1),
}
"""The fifteen motions: what people do in them, and which every n-th frame is taken."""

_WIDTH = 44
# Their bodies: x forward, y up, z to the right. Ours: x to the left, y up, z forward.
_TO_OURS = np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]])
# Numbers of a frame: duration, root (3 + 4), chest, neck, then the right side and the left.
_CHEST, _NECK = slice(8, 12), slice(12, 16)
_LIMBS = {
    'right': {'hip': 16, 'knee': 20, 'ankle': 21, 'shoulder': 25, 'elbow': 29},
    'left': {'hip': 30, 'knee': 34, 'ankle': 35, 'shoulder': 39, 'elbow': 43},
}


@dataclass(frozen=True)
class Motion:
    """The frames of one motion that are taken."""

    category: str
    rotvecs: Floats
    """(F, 24, 3) axis-angles; the root's with its heading."""
    root_height_m: Floats
    """(F,) of their body's root above the ground, as recorded."""


def read_motions(folder: Path) -> dict[str, Motion]:
    """Read the fifteen motions of a folder `pybullet_data/data/motions`."""
    return {
        name: _read(folder / f'humanoid3d_{name}.txt', *what) for name, what in MOTIONS.items()
    }


def _read(file: Path, category: str, every: int) -> Motion:
    try:
        frames = np.array(json.loads(file.read_text())['Frames'], np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{file} should be a motion of the package pybullet {PYBULLET_VERSION}, but cannot be '
            f'read ({error}); unpack that package and name its pybullet_data/data/motions.'
        ) from error
    if frames.ndim != 2 or frames.shape[1] != _WIDTH:
        raise UserError(
            f'{file} should hold frames of {_WIDTH} numbers, not {frames.shape}; take it from '
            f'pybullet {PYBULLET_VERSION}.'
        )
    frames = frames[::every]
    return Motion(category, retargeted(frames), frames[:, 2])


def retargeted(frames: Floats) -> Floats:
    """
    Return axis-angles (F, 24, 3) of frames (F, 44).

    Their figure has one joint for the spine, one for the neck, none for the collars, and stands
    with hanging arms at zero. Spine and neck are shared out, collars follow the arms.
    """
    pose = np.zeros((len(frames), 24, 3))
    pose[:, 0] = _ours(frames[:, 4:8]).as_rotvec()
    chest, neck = _ours(frames[:, _CHEST]).as_rotvec(), _ours(frames[:, _NECK]).as_rotvec()
    for name, share in (('spine1', 0.4), ('spine2', 0.35), ('spine3', 0.25)):
        pose[:, joint(name)] = chest * share
    for name in ('neck', 'head'):
        pose[:, joint(name)] = neck / 2
    for side in SIDES:
        sign = 1.0 if side == 'left' else -1.0
        at = _LIMBS[side]
        for name in ('hip', 'ankle'):
            pose[:, joint(f'{side}_{name}')] = _ours(
                frames[:, slice(at[name], at[name] + 4)]
            ).as_rotvec()
        pose[:, joint(f'{side}_knee'), 0] = -frames[:, at['knee']]
        pose[:, joint(f'{side}_elbow'), 1] = -sign * frames[:, at['elbow']]
        hanging = Rotation.from_euler('Z', -sign * 90, degrees=True)
        arm = _ours(frames[:, slice(at['shoulder'], at['shoulder'] + 4)]) * hanging
        way = arm.apply([sign, 0, 0])
        lift = np.deg2rad(np.clip(18 * way[:, 1] + 2, -8, 20))
        push = np.deg2rad(np.clip(14 * way[:, 2], -10, 14))
        collar = Rotation.from_euler('YZ', np.stack([-sign * push, sign * lift], 1))
        pose[:, joint(f'{side}_collar')] = collar.as_rotvec()
        pose[:, joint(f'{side}_shoulder')] = (collar.inv() * arm).as_rotvec()
    return pose


def _ours(quaternions_wxyz: Floats) -> Rotation:
    """Return rotations in our axes of theirs, (F, 4) with the scalar first."""
    theirs = Rotation.from_quat(quaternions_wxyz[:, [1, 2, 3, 0]])
    return Rotation.from_rotvec(theirs.as_rotvec() @ _TO_OURS.T)
