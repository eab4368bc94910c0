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

"""Steps 10 and 12 of the recipe: what is done to pixels after people are placed."""

from __future__ import annotations

import cv2
from mahmr_model.types import ImageArray
import numpy as np
from training.data.annotation import Floats

OCCLUDED_SHARE = 0.3
OCCLUDER_ASPECT = (0.5, 2.0)
OCCLUDER_DRAWS = 5


def occlude(
    picture: ImageArray, boxes_xyxy_px: Floats, probability: float, rng: np.random.Generator
) -> ImageArray:
    """
    Return the picture with a rectangle of random colours before some of the people (step 10).

    A rectangle's corner lies in the person's box; its area is up to 30 % of the box, its height
    half to twice its width, drawn up to 5 times to fit the picture.
    """
    result = picture.copy()
    height, width = picture.shape[:2]
    for left, top, right, bottom in boxes_xyxy_px:
        if rng.random() >= probability:
            continue
        for _ in range(OCCLUDER_DRAWS):
            area = rng.uniform(0, OCCLUDED_SHARE) * (right - left) * (bottom - top)
            aspect = rng.uniform(*OCCLUDER_ASPECT)
            h, w = int(np.sqrt(area * aspect)), int(np.sqrt(area / aspect))
            x = int(left + rng.random() * max(right - left - w, 0))
            y = int(top + rng.random() * max(bottom - top - h, 0))
            if h > 0 and w > 0 and x >= 0 and y >= 0 and x + w <= width and y + h <= height:
                result[slice(y, y + h), slice(x, x + w)] = rng.integers(
                    0, 256, (h, w, 3), np.uint8
                )
                break
    return result


def jitter_colours(picture: ImageArray, strength: float, rng: np.random.Generator) -> ImageArray:
    """
    Return the picture with brightness, contrast and saturation changed in a drawn order (step 12).

    As torchvision's ColorJitter: each factor is uniform in 1 ± `strength`.
    """
    steps = (brightness, contrast, saturation)
    factors = rng.uniform(1 - strength, 1 + strength, len(steps))
    for index in rng.permutation(len(steps)):
        picture = steps[index](picture, float(factors[index]))
    return picture


def brightness(picture: ImageArray, factor: float) -> ImageArray:
    """Blend RGB (H, W, 3) with black."""
    return _mapped(picture, np.arange(256) * factor)


def contrast(picture: ImageArray, factor: float) -> ImageArray:
    """Blend RGB (H, W, 3) with the mean of its grey levels."""
    mean = int(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean() + 0.5)
    return _mapped(picture, np.arange(256) * factor + mean * (1 - factor))


def saturation(picture: ImageArray, factor: float) -> ImageArray:
    """Blend RGB (H, W, 3) with its own grey levels (ITU-R 601)."""
    grey = cv2.merge([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] * 3)
    return np.asarray(cv2.addWeighted(picture, factor, grey, 1 - factor, 0), np.uint8)


def _mapped(picture: ImageArray, levels: Floats) -> ImageArray:
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table), np.uint8)
