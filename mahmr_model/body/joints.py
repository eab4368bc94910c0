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

"""The joints of the body by name: SMPL's 24, then 21 points picked from the mesh."""

from __future__ import annotations

SMPL_JOINT_NAMES: tuple[str, ...] = (
    'pelvis',
    'left_hip',
    'right_hip',
    'spine1',
    'left_knee',
    'right_knee',
    'spine2',
    'left_ankle',
    'right_ankle',
    'spine3',
    'left_foot',
    'right_foot',
    'neck',
    'left_collar',
    'right_collar',
    'head',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hand',
    'right_hand',
)

SMPL_PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip
"""The joint that each of the 24 hangs on; -1 for the pelvis."""

SMPL_BONES: tuple[tuple[int, int], ...] = tuple(
    (parent, joint) for joint, parent in enumerate(SMPL_PARENTS) if parent >= 0
)
"""(parent, child) pairs of the 24 joints: the lines of a drawn skeleton."""

EXTRA_JOINT_VERTICES: dict[str, str] = {
    'nose': 'nose',
    'right_eye': 'reye',
    'left_eye': 'leye',
    'right_ear': 'rear',
    'left_ear': 'lear',
    'left_big_toe': 'LBigToe',
    'left_small_toe': 'LSmallToe',
    'left_heel': 'LHeel',
    'right_big_toe': 'RBigToe',
    'right_small_toe': 'RSmallToe',
    'right_heel': 'RHeel',
    'left_thumb': 'lthumb',
    'left_index': 'lindex',
    'left_middle': 'lmiddle',
    'left_ring': 'lring',
    'left_pinky': 'lpinky',
    'right_thumb': 'rthumb',
    'right_index': 'rindex',
    'right_middle': 'rmiddle',
    'right_ring': 'rring',
    'right_pinky': 'rpinky',
}
"""The 21 picked points in order, each with its name in smplx's table of SMPL's vertices."""

JOINT_NAMES_45: tuple[str, ...] = (*SMPL_JOINT_NAMES, *EXTRA_JOINT_VERTICES)
