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

"""Ten axes through the adults, and an eleventh that leads to a child."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from training.synthetic.open_body.anny_source import Array

SHAPES = 10


@dataclass(frozen=True)
class ShapeSpace:
    """
    Bodies as `template_m` + `axes_m` · betas, (V, 3) and (V, 3, 11), the pelvis at the origin.

    Along the first ten, adults have unit variance; 1 along the eleventh is the typical child.
    """

    template_m: Array
    axes_m: Array

    def fit(self, vertices_m: Array) -> Array:
        """Return the betas (B, 11) nearest to bodies (B, V, 3) whose pelvis is at the origin."""
        return _solve(self.axes_m, vertices_m - self.template_m)

    def fit_adults(self, vertices_m: Array) -> Array:
        """Return betas as `fit` does, (B, 10), with the first ten alone."""
        return _solve(self.axes_m[..., :SHAPES], vertices_m - self.template_m)

    def bodies(self, betas: Array) -> Array:
        """Return bodies as vertices (B, V, 3) of `betas` (B, 10 or 11)."""
        flat = self.axes_m[..., : betas.shape[1]].reshape(-1, betas.shape[1])
        shapes: Array = self.template_m + (betas @ flat.T).reshape(-1, *self.template_m.shape)
        return shapes


def make_shape_space(adults_m: Array, children_m: Array, young_m: Array) -> ShapeSpace:
    """
    Fit the axes to `adults_m` and `children_m`, (B, V, 3), pelvis at the origin.

    The eleventh is, of all directions, the one that leaves the least of the children unexplained
    by the ten; along the ten it follows what children do on average, so that a child's other
    betas stay small. The mean of `young_m` has 1 along it.
    """
    template = adults_m.mean(0)
    axes = _principal_axes(adults_m - template)
    rows = (children_m - template).reshape(len(children_m), -1)
    flat = axes.reshape(-1, SHAPES)
    basis = np.linalg.qr(flat)[0]
    outside = rows - rows @ basis @ basis.T
    direction = _first_axes(outside, 1)[0]
    along = outside @ direction
    betas = _solve(axes, rows.reshape(len(rows), *template.shape))
    child = direction + flat @ (along @ betas / (along @ along))
    young = (young_m.mean(0) - template).ravel()
    child *= (young - basis @ (basis.T @ young)) @ direction
    return ShapeSpace(template, np.concatenate([axes, child.reshape(*template.shape, 1)], axis=2))


def _principal_axes(centred_m: Array) -> Array:
    rows = centred_m.reshape(len(centred_m), -1)
    axes = _first_axes(rows, SHAPES)
    axes *= (rows @ axes.T).std(0)[:, None]
    stacked = axes.T.reshape(*centred_m.shape[1:], SHAPES)
    # Sign: more along an axis lifts the head more than it drops the feet, whatever the run.
    signs: Array = np.sign((stacked[:, 1] ** 3).sum(0))
    return stacked * signs


def _first_axes(rows: Array, count: int) -> Array:
    """Return the first right singular vectors (count, D) of `rows` (B, D), B below D."""
    vectors = np.linalg.eigh(rows @ rows.T)[1]
    axes: Array = vectors[:, ::-1][:, :count].T @ rows
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def _solve(axes_m: Array, offsets_m: Array) -> Array:
    flat = axes_m.reshape(-1, axes_m.shape[2])
    rows = offsets_m.reshape(len(offsets_m), -1)
    betas: Array = np.linalg.solve(flat.T @ flat, flat.T @ rows.T).T.astype(np.float64)
    return betas
