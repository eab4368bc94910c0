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

"""Distances between predicted and true points, and the joints they are taken of."""

from __future__ import annotations

import numpy as np
from training.metrics.procrustes import align_by_similarity
from training.metrics.types import Floats

SMPL_JOINTS = 24
HIPS = (1, 2)
"""SMPL's left and right hip: AGORA aligns at their middle."""

H36M_ROOT = 0
H36M_14 = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 of Human3.6M's 17 joints that 3DPW is measured on."""


def mean_distance(predicted: Floats, truth: Floats) -> Floats:
    """Return the mean distance over K points (…, K, 3) in their unit; already aligned."""
    difference = predicted.astype(np.float64) - truth
    return np.linalg.norm(difference, axis=-1).mean(-1)


def mean_distance_procrustes(predicted: Floats, truth: Floats) -> Floats:
    """Return the mean distance over K points (…, K, 3) after the best similarity."""
    return mean_distance(align_by_similarity(predicted, truth), truth)


def relative_to(points: Floats, root: Floats) -> Floats:
    """Return points (N, K, 3) relative to one of each person's (N, 3)."""
    return points - root[:, None]


def regress(regressor: Floats, vertices: Floats) -> Floats:
    """Return joints (N, J, 3) as weighted means, `regressor` (J, V), of vertices (N, V, 3)."""
    return np.matmul(regressor, vertices)
