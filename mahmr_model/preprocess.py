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

"""From a picture to the network's input: resize, pad, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import overload

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import ImageArray
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def as_rgb(image: np.ndarray, name: str = 'the picture') -> ImageArray:
    """
    Return `image` as RGB uint8 (H, W, 3).

    Takes (H, W) and (H, W, 1) grey, (H, W, 3) RGB and (H, W, 4) RGBA (the alpha is dropped).
    Raises UserError for anything else, naming the picture.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(f'{name}: expected an array of pixels, got {type(image).__name__}.')
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise UserError(
            f'{name}: expected 8-bit pixels (height, width[, 1, 3 or 4 channels]), got '
            f'{image.dtype} of the shape {image.shape}; convert it to 8-bit RGB first.'
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] in (3, 4):
        return np.ascontiguousarray(image[:, :, :3])
    raise UserError(
        f'{name}: expected 1, 3 or 4 channels, got {image.shape[2]}; convert it to RGB first.'
    )


def resized_size(height: int, width: int, input_size: int) -> tuple[int, int]:
    """
    Return (H', W') of a picture whose longer side becomes `input_size`.

    The shorter side is the truncated float32 product of the float32 rate and the side, as
    published: 448/640·360 gives 252. It is at least one pixel.
    """
    rate = np.float32(input_size) / np.float32(max(height, width))
    shorter = max(1, int(rate * np.float32(min(height, width))))
    return (shorter, input_size) if width >= height else (input_size, shorter)


def resize(image_rgb: ImageArray, input_size: int) -> ImageArray:
    """Return the picture with its longer side `input_size`, bilinear as OpenCV does it."""
    height, width = resized_size(image_rgb.shape[0], image_rgb.shape[1], input_size)
    resized = cv2.resize(image_rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.astype(np.uint8, copy=False)


def pad_and_normalise(image_rgb: Tensor, multiple: int) -> Tensor:
    """
    Turn a resized picture, uint8 (H', W', 3), into the network's input, float32 (3, H, W).

    Black is added on the right and the bottom up to a multiple, then ImageNet's mean and
    deviation are taken out. The result stays on the picture's device.
    """
    return normalise(image_rgb[None], multiple)[0]


def normalise(images_rgb: Tensor, multiple: int) -> Tensor:
    """Do what `pad_and_normalise` does to pictures of one size: (B, H', W', 3) → (B, 3, H, W)."""
    height, width = images_rgb.shape[1:3]
    padded = functional.pad(
        images_rgb.permute(0, 3, 1, 2), (0, -width % multiple, 0, -height % multiple)
    )
    mean, std = _imagenet(images_rgb.device)
    return (padded.float() / 255 - mean) / std


class StackedImages(Sequence[Tensor]):
    """
    Pictures (3, H, W) that lie in one tensor, each at the upper left of its place.

    To others they are a sequence; who knows that they lie together need not take them up singly.
    """

    def __init__(self, canvas: Tensor, sizes_hw: Sequence[tuple[int, int]]) -> None:
        """Take the tensor (B, 3, height, width) and the size of each picture."""
        self.canvas, self.sizes_hw = canvas, list(sizes_hw)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.sizes_hw)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        """Return a picture, or some of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        height, width = self.sizes_hw[index]
        return self.canvas[index, :, :height, :width]


def sizes_of(images: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Return the height and width of pictures (3, H, W)."""
    if isinstance(images, StackedImages):
        return images.sizes_hw
    return [(image.shape[1], image.shape[2]) for image in images]


@cache
def _imagenet(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (3, 1, 1), put on a device once."""
    return (
        torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1),
        torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1),
    )
