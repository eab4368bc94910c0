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

"""Colours against PIL's own (which torchvision uses), occlusion against its limits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance
import pytest
from training.data.appearance import brightness, contrast, jitter_colours, occlude, saturation

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (40, 60, 3), np.uint8)


@pytest.mark.parametrize('factor', [0.8, 0.93, 1.0, 1.2])
@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        (brightness, ImageEnhance.Brightness),
        (contrast, ImageEnhance.Contrast),
        (saturation, ImageEnhance.Color),
    ],
)
def test_colours_change_as_pil_changes_them(
    ours: Callable[..., np.ndarray], theirs: Callable[..., ImageEnhance.Contrast], factor: float
) -> None:
    expected = np.asarray(theirs(Image.fromarray(PICTURE)).enhance(factor)).astype(int)
    # PIL cuts decimals off and rounds the grey levels differently: 2 levels at most.
    assert np.abs(ours(PICTURE, factor) - expected).max() <= 2


def test_jitter_is_drawn_and_bounded() -> None:
    first, again, other = (
        jitter_colours(PICTURE, 0.2, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(jitter_colours(PICTURE, 0.0, RNG), PICTURE)


def test_occluders_lie_in_boxes_and_are_as_large_as_allowed() -> None:
    box = np.array([[20.0, 30.0, 70.0, 130.0]])
    grey = np.full((160, 100, 3), 128, np.uint8)
    shares = []
    for seed in range(200):
        changed = (occlude(grey, box, 1.0, np.random.default_rng(seed)) != 128).any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        shares.append(changed.sum() / 5000)
        if len(rows):
            assert rows[0] >= 30
            assert rows[-1] < 130
            assert columns[0] >= 20
            assert columns[-1] < 20 + 55  # a flat one may be wider than the box, √3000 at most
            aspect = (rows[-1] - rows[0] + 1) / (columns[-1] - columns[0] + 1)
            assert 0.3 < aspect < 3  # ½ to 2, but for whole pixels of the smallest
    assert max(shares) <= 0.3
    assert 0.12 < np.mean(shares) < 0.18  # uniform in 0…0.3
    assert min(shares) < 0.02


def test_occlusion_has_its_probability() -> None:
    boxes = np.tile([[10.0, 10.0, 50.0, 90.0]], (1, 1))
    grey = np.full((100, 60, 3), 128, np.uint8)
    rng = np.random.default_rng(1)
    touched = sum(bool((occlude(grey, boxes, 0.6, rng) != 128).any()) for _ in range(500))
    assert 0.53 < touched / 500 < 0.67
