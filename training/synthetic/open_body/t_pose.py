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

"""From Anny's relaxed stance to SMPL's T-pose, every body by its own bones."""

from __future__ import annotations

import numpy as np
from training.synthetic.open_body.anny_source import Array, Bodies, Rig

# How far the collar lifts with the arm: degrees about z at Anny's two bones of it.
_COLLAR_LIFT_DEG = {'clavicle': 7.0, 'shoulder01': 12.0}
# SMPL's legs in its T-pose: nearly upright, the ankle a little behind the knee.
_THIGH = np.array([0.035, -1.0, 0.0])
_SHIN = np.array([0.035, -1.0, -0.035])
_UP = np.array([0.0, 1.0, 0.0])
_FORWARD = np.array([0.0, 0.0, 1.0])


def to_t_pose(bodies: Bodies, rig: Rig, weights: Array) -> Bodies:
    """
    Turn bones so that arms point along x, palms down, legs down; the feet stay flat.

    `weights` (V, bones) belong to the vertices of `bodies`. The result's root bone stays where
    it was. Every bone takes one rotation in the world, the parent's where it has none itself.
    """
    turns = _world_rotations(bodies.heads_m, rig)
    heads = bodies.heads_m
    posed = heads.copy()
    for bone, parent in enumerate(rig.parents):
        if parent >= 0:
            offset = heads[:, bone] - heads[:, parent]
            posed[:, bone] = posed[:, parent] + _apply(turns[:, parent], offset)
    shifts = posed - _apply(turns, heads)
    vertices = np.empty_like(bodies.vertices_m)
    for i, v in enumerate(bodies.vertices_m):
        blend = np.tensordot(weights, turns[i], 1)
        vertices[i] = np.einsum('vij,vj->vi', blend, v) + weights @ shifts[i]
    return Bodies(vertices, posed)


def _world_rotations(heads: Array, rig: Rig) -> Array:
    """Rotations (B, bones, 3, 3) of every bone from Anny's rest pose to the T-pose."""
    own: dict[str, Array] = {}
    for side, sign in (('L', 1.0), ('R', -1.0)):
        own |= _arm(heads, rig, side, sign) | _leg(heads, rig, side, sign)
    turns = np.tile(np.eye(3), (len(heads), len(rig.names), 1, 1))
    for bone, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        if name in own:
            turns[:, bone] = own[name]
        elif parent >= 0:
            turns[:, bone] = turns[:, parent]
    return turns


def _arm(heads: Array, rig: Rig, side: str, sign: float) -> dict[str, Array]:
    def head(name: str) -> Array:
        return heads[:, rig.index(f'{name}.{side}')]

    out = np.broadcast_to([sign, 0.0, 0.0], heads[:, 0].shape)
    upper = head('lowerarm01') - head('upperarm01')
    fore = head('wrist') - head('lowerarm01')
    hinge = np.cross(upper, fore)  # the elbow bends forwards: in the T-pose this points down
    hinge_t = np.broadcast_to(-sign * _UP, upper.shape)
    knuckles = np.mean([head(f'finger{i}-1') for i in (2, 3, 4)], axis=0)
    across = head('finger2-1') - head('finger5-1')  # little finger to index: forwards, palm down
    hand = _between(knuckles - head('wrist'), across, out, np.broadcast_to(_FORWARD, out.shape))
    near = _between(fore, hinge, out, hinge_t)
    lift = sum(_COLLAR_LIFT_DEG.values())
    return {
        f'clavicle.{side}': _about_z(sign * _COLLAR_LIFT_DEG['clavicle'], len(heads)),
        f'shoulder01.{side}': _about_z(sign * lift, len(heads)),
        f'upperarm01.{side}': _between(upper, hinge, out, hinge_t),
        f'lowerarm01.{side}': near,
        f'lowerarm02.{side}': _half_twist(near, hand, fore, out),
        f'wrist.{side}': hand,
    }


def _leg(heads: Array, rig: Rig, side: str, sign: float) -> dict[str, Array]:
    hip, knee, ankle = (
        heads[:, rig.index(f'{n}.{side}')] for n in ('upperleg01', 'lowerleg01', 'foot')
    )
    forward = np.broadcast_to(_FORWARD, hip.shape)
    mirror = np.array([sign, 1.0, 1.0])
    return {
        f'upperleg01.{side}': _between(knee - hip, forward, _THIGH * mirror, forward),
        f'lowerleg01.{side}': _between(ankle - knee, forward, _SHIN * mirror, forward),
        f'foot.{side}': np.tile(np.eye(3), (len(heads), 1, 1)),
    }


def _frame(along: Array, aside: Array) -> Array:
    """Right-handed frames (B, 3, 3), columns: `along`, the rest of `aside`, their cross."""
    x = along / np.linalg.norm(along, axis=-1, keepdims=True)
    y = aside - (aside * x).sum(-1, keepdims=True) * x
    y = y / np.linalg.norm(y, axis=-1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _between(along: Array, aside: Array, along_t: Array, aside_t: Array) -> Array:
    """Rotation (B, 3, 3) that takes `along` to `along_t` and `aside` as near as can be."""
    along_t = np.broadcast_to(along_t, along.shape)
    rotation: Array = _frame(along_t, aside_t) @ np.swapaxes(_frame(along, aside), -1, -2)
    return rotation


def _half_twist(near: Array, hand: Array, fore: Array, out: Array) -> Array:
    """Halfway (in twist about the arm) between the forearm's rotation and the hand's."""
    side = np.broadcast_to(_UP, fore.shape)
    twisted = _apply(hand, _apply(np.swapaxes(near, -1, -2), side))
    return _between(fore, _apply(np.swapaxes(near, -1, -2), side), out, twisted + side)


def _about_z(degrees: float, count: int) -> Array:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.tile([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], (count, 1, 1))


def _apply(rotations: Array, points: Array) -> Array:
    turned: Array = np.einsum('...ij,...j->...i', rotations, points)
    return turned
