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

"""The camera: what it projects, what it refuses."""

import math

from mahmr_model.errors import UserError
from mahmr_model.types import Camera
import numpy as np
import pytest


def test_projection_and_matrix_agree() -> None:
    camera = Camera.from_matrix([[500, 0, 310], [0, 520, 250], [0, 0, 1]], 640, 480)
    point = np.array([0.3, -0.2, 2.5])
    u, v, w = camera.matrix @ point
    np.testing.assert_allclose(camera.project(point), [u / w, v / w], rtol=1e-5)


def test_horizontal_angle() -> None:
    camera = Camera.from_horizontal_fov(math.radians(90), 640, 480)
    assert camera.fx == pytest.approx(320)
    assert camera.horizontal_fov_rad == pytest.approx(math.pi / 2)
    assert camera.vertical_fov_rad == pytest.approx(2 * math.atan(240 / 320))


def test_resizing_moves_pixels_with_the_picture() -> None:
    camera = Camera(500, 520, 310, 250, 640, 480)
    half = camera.resized(320, 240)
    point = np.array([0.3, -0.2, 2.5])
    np.testing.assert_allclose(half.project(point), camera.project(point) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    'matrix',
    [
        np.zeros((3, 3)),
        [[500, 0, 320], [0, -500, 240], [0, 0, 1]],
        [[math.nan, 0, 320], [0, 500, 240], [0, 0, 1]],
        [[math.inf, 0, 320], [0, 500, 240], [0, 0, 1]],
        [[1e15, 0, 320], [0, 1e15, 240], [0, 0, 1]],
        [[1e-30, 0, 320], [0, 500, 240], [0, 0, 1]],
    ],
)
def test_what_is_no_lens_is_refused(matrix: object) -> None:
    with pytest.raises(UserError, match=r'focal lengths above 0|none of a lens for 640×480'):
        Camera.from_matrix(matrix, 640, 480)


def test_other_refusals() -> None:
    with pytest.raises(UserError, match=r'3×3.*\(3, 4\)'):
        Camera.from_matrix(np.zeros((3, 4)), 640, 480)
    with pytest.raises(UserError, match='180°'):
        Camera.from_horizontal_fov(math.pi, 640, 480)
