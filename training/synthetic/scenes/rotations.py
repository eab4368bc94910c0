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

"""Axis-angles and matrices of a few joints by numpy: torch's calls cost more than the sums."""

from __future__ import annotations

import numpy as np
from training.data.annotation import Floats


def matrices(rotvecs: Floats) -> Floats:
    """Return rotations as matrices, (..., 3, 3), of axis-angles (..., 3), Rodrigues' formula."""
    angle = np.linalg.norm(rotvecs, axis=-1, keepdims=True)
    axis = rotvecs / np.maximum(angle, 1e-12)
    sine, rest = np.sin(angle)[..., None], (1 - np.cos(angle))[..., None]
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1)
    cross = cross.reshape(*rotvecs.shape[:-1], 3, 3)
    result: Floats = np.eye(3) + sine * cross + rest * (cross @ cross)
    return result


def rotvec(matrix: Floats) -> Floats:
    """Return the axis-angle (3,) of a rotation matrix (3, 3), through its quaternion."""
    m = matrix
    trace = np.trace(m)
    # The four candidates for the largest component of the quaternion, Shepperd (1978).
    squares = np.array([trace, m[0, 0], m[1, 1], m[2, 2]])
    best = int(squares.argmax())
    if best == 0:
        q = np.array([1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    else:
        i, j, k = best - 1, best % 3, (best + 1) % 3
        q = np.empty(4)
        q[0] = m[k, j] - m[j, k]
        q[1 + i] = 1 + m[i, i] - m[j, j] - m[k, k]
        q[1 + j], q[1 + k] = m[j, i] + m[i, j], m[k, i] + m[i, k]
    q = q / np.linalg.norm(q)
    q = -q if q[0] < 0 else q
    sine = float(np.linalg.norm(q[1:]))
    if sine < 1e-12:
        return np.zeros(3)
    result: Floats = q[1:] / sine * 2 * np.arctan2(sine, q[0])
    return result


def heading(radians: Floats) -> Floats:
    """Return turns (..., 3, 3) about the vertical y."""
    turns = np.zeros((*np.shape(radians), 3, 3))
    turns[..., 0, 0] = turns[..., 2, 2] = np.cos(radians)
    turns[..., 0, 2] = np.sin(radians)
    turns[..., 2, 0] = -turns[..., 0, 2]
    turns[..., 1, 1] = 1
    return turns
