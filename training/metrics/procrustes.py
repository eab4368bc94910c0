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

"""The similarity that brings points as near as possible to others."""

from __future__ import annotations

import numpy as np
from training.metrics.types import Floats


def align_by_similarity(points: Floats, target: Floats) -> Floats:
    """
    Return points (…, K, 3) scaled, turned and moved to be nearest to `target` (…, K, 3).

    Least squares over scale, rotation (no reflection) and translation: S. Umeyama, "Least-squares
    estimation of transformation parameters between two point patterns", PAMI 1991, eq. 40-43.
    Points that all lie in one place are only moved.
    """
    points, target = points.astype(np.float64), target.astype(np.float64)
    centre = points.mean(-2, keepdims=True)
    target_centre = target.mean(-2, keepdims=True)
    x, y = points - centre, target - target_centre
    u, singular, vt = np.linalg.svd(np.swapaxes(x, -1, -2) @ y)
    sign = np.ones_like(singular)
    sign[..., -1] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[..., None, :]) @ vt
    spread = (x**2).sum((-1, -2))
    scale = np.where(spread > 0, (singular * sign).sum(-1), 1) / np.where(spread > 0, spread, 1)
    return scale[..., None, None] * (x @ rotation) + target_centre
