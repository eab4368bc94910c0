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

"""A figure of the open body's mean bones, put into a pose by where its hands and feet go."""

from __future__ import annotations

from typing import Literal

from mahmr_model.body.joints import SMPL_JOINT_NAMES, SMPL_PARENTS
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation
from training.data.annotation import Floats
from training.synthetic.scenes.small_body import JOINTS, small_body

Side = Literal['left', 'right']
SIDES: tuple[Side, Side] = ('left', 'right')
ANKLE_HEIGHT_M = 0.076
"""How high the ankle of a flat foot is."""

_LONGEST = 0.9985  # of a limb's length: 6° short of straight
_TWIST_DEG = 75.0  # of the forearm, each way: AAOS 1965, pronation and supination 80°


def joint(name: str) -> int:
    """Return the number of a joint."""
    return SMPL_JOINT_NAMES.index(name)


def unit(vector: ArrayLike) -> Floats:
    """Return a vector (3,) of length 1."""
    values = np.asarray(vector, np.float64)
    return values / np.linalg.norm(values)


class Figure:
    """
    Rotations of the 24 joints, set from the root outwards; the pelvis stays at the origin.

    The world is the body's own: x to its left, y up, z forward, metres. Points are given as they
    are on the body that stands in its T-pose (`rest`), carried along by some joint.
    """

    def __init__(self) -> None:
        self.rest = small_body().template[:JOINTS] - small_body().template[0]
        self.turns = np.tile(np.eye(3), (JOINTS, 1, 1))
        """(24, 3, 3) of each joint relative to its parent."""

    def set(self, name: str, axes: str, degrees: ArrayLike) -> None:  # noqa: A003
        """Turn a joint, angles about `axes` as scipy reads them."""
        self.turns[joint(name)] = Rotation.from_euler(axes, degrees, degrees=True).as_matrix()

    def bend(self, forward: float, turn: float = 0.0, aside: float = 0.0) -> None:
        """Bend the spine by so many degrees in all, shared by its three joints."""
        for name, share in (('spine1', 0.4), ('spine2', 0.35), ('spine3', 0.25)):
            self.set(name, 'XYZ', [forward * share, turn * share, aside * share])

    def look(self, down: float, turn: float = 0.0, aside: float = 0.0) -> None:
        """Turn neck and head by so many degrees in all."""
        for name in ('neck', 'head'):
            self.set(name, 'XYZ', [down / 2, turn / 2, aside / 2])

    def placed(self, name: str) -> tuple[Floats, Floats]:
        """Return the turn (3, 3) of a joint in the world, and where it is."""
        line = [joint(name)]
        while SMPL_PARENTS[line[-1]] >= 0:
            line.append(SMPL_PARENTS[line[-1]])
        turn: Floats = self.turns[0]
        place: Floats = np.zeros(3)
        for parent, child in zip(line[::-1], line[-2::-1], strict=False):
            place = place + turn @ (self.rest[child] - self.rest[parent])
            turn = turn @ self.turns[child]
        return turn, place

    def carried(self, name: str, point: ArrayLike) -> Floats:
        """Return where a point (3,), given relative to the resting pelvis, is with a joint."""
        turn, place = self.placed(name)
        carried: Floats = turn @ (np.asarray(point, np.float64) - self.rest[joint(name)]) + place
        return carried

    def arm(self, side: Side, wrist: Floats, elbow: ArrayLike, palm: ArrayLike | None) -> None:
        """
        Put a wrist at a point of the world, the elbow out to a side, the palm towards another.

        `elbow` and `palm` are directions in the world; what cannot be reached is approached.
        """
        sign = 1.0 if side == 'left' else -1.0
        self._shrug(side, wrist, sign)
        flexed = np.array([0, -sign, 0])
        upper, fore = self._reach(
            f'{side}_shoulder',
            f'{side}_elbow',
            f'{side}_wrist',
            wrist,
            elbow,
            (np.array([sign, 0, 0]), flexed),
        )
        collar = self.placed(f'{side}_collar')[0]
        twist = 0.0 if palm is None else _palm_twist(fore, np.asarray(palm, np.float64))
        half = Rotation.from_rotvec([twist / 2, 0, 0]).as_matrix()
        self.turns[joint(f'{side}_shoulder')] = collar.T @ upper
        self.turns[joint(f'{side}_elbow')] = upper.T @ fore @ half
        self.turns[joint(f'{side}_wrist')] = half

    def leg(self, side: Side, ankle: Floats, knee: ArrayLike, foot: Floats) -> None:
        """Put an ankle at a point of the world, the knee out to a side, the foot turned so."""
        frame = (np.array([0, -1.0, 0]), np.array([1.0, 0, 0]))
        thigh, shin = self._reach(
            f'{side}_hip', f'{side}_knee', f'{side}_ankle', ankle, knee, frame
        )
        self.turns[joint(f'{side}_hip')] = self.turns[0].T @ thigh
        self.turns[joint(f'{side}_knee')] = thigh.T @ shin
        turn = Rotation.from_matrix(shin.T @ foot).as_rotvec()
        # AAOS 1965: 20° up, 50° down; what an ankle cannot do, the foot on the ground gives up.
        turn = np.clip(turn, np.deg2rad([-30, -30, -25]), np.deg2rad([55, 30, 25]))
        self.turns[joint(f'{side}_ankle')] = Rotation.from_rotvec(turn).as_matrix()

    def rotvecs(self) -> Floats:
        """Return the pose (24, 3) as axis-angles."""
        rotvecs: Floats = Rotation.from_matrix(self.turns).as_rotvec()
        return rotvecs

    def _shrug(self, side: Side, wrist: Floats, sign: float) -> None:
        """Lift and push the collar as the arm goes up and forward: about a quarter of its way."""
        chest, _ = self.placed('spine3')
        shoulder = self.carried('spine3', self.rest[joint(f'{side}_shoulder')])
        way = chest.T @ unit(wrist - shoulder)
        lift = np.clip(18 * way[1] + 2, -8, 20)
        push = np.clip(14 * way[2], -10, 14)
        self.set(f'{side}_collar', 'YZX', [-sign * push, sign * lift, 0])

    def _reach(
        self,
        first: str,
        second: str,
        third: str,
        target: Floats,
        pole: ArrayLike,
        frame: tuple[Floats, Floats],
    ) -> tuple[Floats, Floats]:
        """
        Return the turns in the world of two bones whose end meets a target.

        `frame` says where the first bone points at rest and about what it bends.
        """
        parent = SMPL_JOINT_NAMES[SMPL_PARENTS[joint(first)]]
        start = self.carried(parent, self.rest[joint(first)])
        near = float(np.linalg.norm(self.rest[joint(second)] - self.rest[joint(first)]))
        far = float(np.linalg.norm(self.rest[joint(third)] - self.rest[joint(second)]))
        way = target - start
        shortest = np.sqrt(near**2 + far**2 + 2 * near * far * np.cos(np.deg2rad(145)))
        reach = float(np.clip(np.linalg.norm(way), shortest, _LONGEST * (near + far)))
        line = unit(way)
        aside: Floats = np.asarray(pole, np.float64) - line * (line @ np.asarray(pole, np.float64))
        aside = unit(aside)
        cosine = (near**2 + reach**2 - far**2) / (2 * near * reach)
        middle = near * (cosine * line + np.sqrt(max(0.0, 1 - cosine**2)) * aside)
        axis = np.cross(aside, line)
        rest_bones = (
            self.rest[joint(second)] - self.rest[joint(first)],
            self.rest[joint(third)] - self.rest[joint(second)],
        )
        posed = (middle, reach * line - middle)
        turns = [
            _frame(p, axis) @ _frame(r, frame[1]).T for p, r in zip(posed, rest_bones, strict=True)
        ]
        return turns[0], turns[1]


def _frame(along: Floats, axis: Floats) -> Floats:
    """Return a rotation (3, 3), columns: along, the axis as far as it is across, their cross."""
    x = unit(along)
    y = unit(axis - x * (x @ axis))
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _palm_twist(fore: Floats, palm: Floats) -> float:
    """Return the twist about the forearm's own x, radians, that turns its palm as wished."""
    local = fore.T @ palm  # the palm of a T-pose faces down: −y
    twist = np.arctan2(-local[2], -local[1])
    return float(np.clip(twist, *np.deg2rad([-_TWIST_DEG, _TWIST_DEG])))
