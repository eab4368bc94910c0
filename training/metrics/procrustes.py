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
