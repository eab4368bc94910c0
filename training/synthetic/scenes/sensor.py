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

"""Linear light to the bytes of a camera's picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
import torch.nn.functional as functional
from training.synthetic.scenes.sensor_look import KERNEL, Sensor
from training.synthetic.scenes.tables import rows_at

_NOISE_SIDE = 1024
_LUMA = (0.299, 0.587, 0.114)

# The tables of Annex K of ITU-T T.81 (JPEG), row by row.
_QUANTISE_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_QUANTISE_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip


@dataclass(frozen=True)
class SensorTables:
    """Constants of the device."""

    noise: Tensor
    """(2·_NOISE_SIDE, _NOISE_SIDE, 4) of unit deviation: fine above, blurred and grey below."""
    transform: Tensor
    """(64, 64) the cosine transform of a flattened 8×8 block, orthonormal."""
    to_luma: Tensor
    """(3, 3) RGB to luma and two chromas."""
    from_luma: Tensor
    """(3, 3)"""


def make_sensor_tables(device: torch.device, dtype: torch.dtype) -> SensorTables:
    """Make the tables, the same on each device."""
    rng = np.random.default_rng(3)
    fine = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE, 3), np.float32)
    coarse = 0.7 * fine.mean(2, keepdims=True) + 0.4 * fine
    coarse = sum(np.roll(coarse, shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1)))
    noise = np.concatenate([fine, coarse / coarse.std()], 0)
    k, n = np.mgrid[0:8, 0:8]
    cosine = np.cos(np.pi * (2 * n + 1) * k / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    luma = np.array(_LUMA)
    chroma = np.array([[0.0, 0, 1], [1, 0, 0]]) - luma
    to_luma = np.stack([luma, 0.564 * chroma[0], 0.713 * chroma[1]])

    def tensor(array: npt.NDArray[np.floating[Any]]) -> Tensor:
        return torch.from_numpy(array).to(device, dtype)

    return SensorTables(
        tensor(np.concatenate([noise, 0 * noise[..., :1]], 2)),  # rows of a power of two
        tensor(np.kron(cosine, cosine)),
        tensor(to_luma),
        tensor(np.linalg.inv(to_luma)),
    )


@dataclass(frozen=True)
class SensorBatch:
    """B cameras; tensors on one device."""

    numbers: Tensor
    """(B, len(_NUMBERS)) float32"""
    balance: Tensor
    """(B, 3)"""
    noise_place: Tensor
    """(B, 2) int32"""
    kernels: Tensor
    """(K, KERNEL, KERNEL) of those that blur."""
    steps: Tensor
    """(J, 3, 64) JPEG's quantisation of those that compress, of 1."""
    blurring: Tensor
    """(K,) int64 which of the B."""
    compressing: Tensor
    """(J,) int64"""
    shrinking: dict[int, Tensor]
    """Which of the B have pixels of 2, 3 … pixels."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SensorBatch:
        """Return the same on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> SensorBatch:
        """Return the same in page-locked memory."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> SensorBatch:
        changed = {
            field.name: change(getattr(self, field.name))
            for field in fields(self)
            if field.name != 'shrinking'
        }
        shrinking = {factor: change(index) for factor, index in self.shrinking.items()}
        return SensorBatch(**changed, shrinking=shrinking)


_NUMBERS = ('exposure', 'vignette', 'noise', 'contrast', 'saturation', 'black')


def pack_sensors(sensors: Sequence[Sensor]) -> SensorBatch:
    """Pack cameras, on the CPU."""
    kernels = [sensor.kernel for sensor in sensors if sensor.kernel is not None]
    tables = np.array([_QUANTISE_LUMA, _QUANTISE_CHROMA, _QUANTISE_CHROMA], np.float32)
    steps = [
        np.clip(tables * _scale(sensor.quality), 1, 255) / 255
        for sensor in sensors
        if sensor.quality > 0
    ]
    numbers = [[getattr(sensor, name) for name in _NUMBERS] for sensor in sensors]
    return SensorBatch(
        torch.tensor(numbers, dtype=torch.float32),
        torch.from_numpy(np.stack([sensor.balance for sensor in sensors])),
        torch.from_numpy(np.stack([sensor.noise_place for sensor in sensors]).astype(np.int32)),
        torch.from_numpy(np.array(kernels, np.float32).reshape(-1, KERNEL, KERNEL)),
        torch.from_numpy(np.array(steps, np.float32).reshape(-1, 3, 64)),
        _chosen([sensor.kernel is not None for sensor in sensors]),
        _chosen([sensor.quality > 0 for sensor in sensors]),
        {
            factor: _chosen([sensor.shrink == factor for sensor in sensors])
            for factor in sorted({sensor.shrink for sensor in sensors} - {1})
        },
    )


def _chosen(flags: Sequence[bool]) -> Tensor:
    return torch.tensor([index for index, flag in enumerate(flags) if flag], dtype=torch.int64)


def _scale(quality: int) -> float:
    """Return what libjpeg multiplies the tables with."""
    return (5000 / quality if quality < 50 else 200 - 2 * quality) / 100


def expose(light: Tensor, valid: Tensor, sensors: SensorBatch, tables: SensorTables) -> Tensor:
    """
    Return (B, H, W, 3) bytes of linear light (B, 3, H, W), with all that a camera does to it.

    `valid` (B, H, W) bool is true within each picture, false on the rest of the canvas.
    """
    image = _received(light, valid, sensors)
    if len(sensors.blurring):
        some = _blurred(image[sensors.blurring], sensors.kernels)
        image.index_copy_(0, sensors.blurring, some)
    for factor, index in sensors.shrinking.items():
        image.index_copy_(0, index, _coarsened(image[index], factor))
    image = _recorded(image, sensors, tables)
    if len(sensors.compressing):
        some = _compressed(image[sensors.compressing], sensors.steps, tables)
        image.index_copy_(0, sensors.compressing, some)
    picture = image.mul_(255).add_(0.5).clamp_(0, 255).byte()
    return picture.permute(0, 2, 3, 1) * valid[..., None]


def _number(sensors: SensorBatch, name: str, like: Tensor) -> Tensor:
    """Return (B, 1, 1, 1)."""
    return sensors.numbers[:, _NUMBERS.index(name), None, None, None].to(like.dtype)


def _received(light: Tensor, valid: Tensor, sensors: SensorBatch) -> Tensor:
    """Apply exposure, white balance, vignette."""
    inside = valid[:, None]
    total = (light * inside).sum((1, 2, 3), dtype=torch.float32)
    mean = total / (3 * inside.sum((1, 2, 3))).clamp(min=1)
    gain = _number(sensors, 'exposure', mean) / mean.clamp(min=1e-4)[:, None, None, None]
    gain = (gain * sensors.balance[:, :, None, None]).to(light.dtype)
    height, width = light.shape[2:]
    y = (torch.arange(height, device=light.device) + 0.5) / valid[:, :, :1].sum(1) - 0.5
    x = (torch.arange(width, device=light.device) + 0.5) / valid[:, :1].sum(2) - 0.5
    y, x = (y * y).to(light.dtype)[:, None, :, None], (x * x).to(light.dtype)[:, None, None]
    dark = 1 - 2 * _number(sensors, 'vignette', light) * (x + y)
    return light * gain * dark.clamp_(min=0.2)


def _blurred(some: Tensor, kernels: Tensor) -> Tensor:
    """Blur pictures by each camera's own kernel."""
    count, channels = some.shape[:2]
    weights = kernels.to(some.dtype)[:, None].expand(-1, channels, -1, -1)
    weights = weights.reshape(-1, 1, KERNEL, KERNEL)
    padded = functional.pad(some, (KERNEL // 2,) * 4, mode='replicate')
    padded = padded.reshape(1, count * channels, *padded.shape[2:])
    return functional.conv2d(padded, weights, groups=count * channels).view(some.shape)


def _coarsened(some: Tensor, factor: int) -> Tensor:
    """Take resolution away, as small sensors and thumbnails do."""
    small = functional.avg_pool2d(some, factor, ceil_mode=True)
    return functional.interpolate(small, some.shape[2:], mode='bilinear')


def _recorded(image: Tensor, sensors: SensorBatch, tables: SensorTables) -> Tensor:
    """
    Add noise, then apply saturation, gamma with a soft shoulder, contrast, black level.

    Linear light becomes 0…1. Noise grows with the root of brightness; it comes from a table, begun
    at a random place.
    """
    root = image.clamp(0, 1).add_(0.02).sqrt_().mul_(_number(sensors, 'noise', image))
    image = torch.addcmul(image, _noise(image, sensors, tables), root).clamp_(min=0)
    red, green, blue = image.unbind(1)
    luma = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])[:, None]
    saturation = _number(sensors, 'saturation', image)
    image = image.mul_(saturation).add_(luma.mul_(1 - saturation)).clamp_(min=1e-4)
    # Straight up to middle grey, then bending towards white at about three times its light.
    bent = image.sub(0.4).clamp_(min=0).div_(0.6)
    image = image.clamp_(max=0.4).add_(bent.tanh_().mul_(0.6)).pow_(1 / 2.2)
    slope = _number(sensors, 'contrast', image)
    image = image.mul_(slope).add_(0.45 * (1 - slope)).clamp_(0, 1)
    black = _number(sensors, 'black', image)
    return image.mul_(1 - black).add_(black)


def _noise(image: Tensor, sensors: SensorBatch, tables: SensorTables) -> Tensor:
    """Return (B, 3, H, W) of unit deviation."""
    height, width = image.shape[2:]
    place, device = sensors.noise_place, image.device
    row = torch.arange(height, dtype=torch.int32, device=device)
    column = torch.arange(width, dtype=torch.int32, device=device)
    rows = (place[:, 1:] + row) % _NOISE_SIDE
    rows = rows + place[:, :1] % 2 * _NOISE_SIDE
    columns = (place[:, :1] + column) % _NOISE_SIDE
    index = (rows[:, :, None] * _NOISE_SIDE + columns[:, None]).flatten()
    noise = rows_at(tables.noise.view(-1, 4), index)
    return noise.view(-1, height, width, 4)[..., :3].permute(0, 3, 1, 2)


def _compressed(some: Tensor, steps: Tensor, tables: SensorTables) -> Tensor:
    """Quantise 8×8 blocks as JPEG does; chroma at full resolution."""
    count, _, height, width = some.shape
    blocks = some.view(count, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    blocks = blocks.reshape(count, 3, -1)
    planes = (tables.to_luma @ blocks).view(count, 3, -1, 64) @ tables.transform.T
    steps = steps[:, :, None].to(some.dtype)
    planes = planes.div_(steps).round_().mul_(steps) @ tables.transform
    blocks = tables.from_luma @ planes.view(count, 3, -1)
    blocks = blocks.view(count, 3, height // 8, width // 8, 8, 8).transpose(3, 4)
    return blocks.reshape(some.shape)
