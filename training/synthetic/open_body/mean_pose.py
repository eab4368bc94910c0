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

"""The pose a network starts from: upright in the picture, facing the camera, arms down."""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.types import FloatArray
import numpy as np
from scipy.spatial.transform import Rotation

# Degrees about x, y, z. The camera's y points down, hence the root's half turn about x.
_STANDING_DEG: dict[str, tuple[float, float, float]] = {
    'pelvis': (180, 0, 0),
    'left_collar': (0, 0, -8),
    'right_collar': (0, 0, 8),
    'left_shoulder': (0, 0, -62),
    'right_shoulder': (0, 0, 62),
    'left_elbow': (0, -18, 0),
    'right_elbow': (0, 18, 0),
}


def mean_pose() -> FloatArray:
    """Return 24 rotations (144,) as their first two columns, each 3×2 written row by row."""
    degrees = [_STANDING_DEG.get(name, (0, 0, 0)) for name in SMPL_JOINT_NAMES]
    matrices = Rotation.from_euler('xyz', degrees, degrees=True).as_matrix()
    six = matrices[:, :, :2].reshape(-1)
    return (np.where(np.abs(six) < 1e-12, 0, six)).astype(np.float32)
