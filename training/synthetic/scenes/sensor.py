"""Linear light to the bytes of a camera's picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as functional

from training.synthetic.scenes.sensor_look import KERNEL, Sensor

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
    """(3, 2·_NOISE_SIDE, _NOISE_SIDE) of unit deviation: fine above, blurred and grey below."""
    transform: Tensor
    """(64, 64) the cosine transform of a flattened 8×8 block, orthonormal."""
    quantise: Tensor
    """(3, 64)"""


def make_sensor_tables(device: torch.device) -> SensorTables:
    """Make the tables, the same on each device."""
    rng = np.random.default_rng(3)
    fine = rng.standard_normal((3, _NOISE_SIDE, _NOISE_SIDE), np.float32)
    coarse = 0.7 * fine.mean(0, keepdims=True) + 0.4 * fine
    coarse = sum(np.roll(coarse, shift, (1, 2)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1)))
    noise = np.concatenate([fine, coarse / coarse.std()], 1)
    k, n = np.mgrid[0:8, 0:8]
    cosine = np.cos(np.pi * (2 * n + 1) * k / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    quantise = np.array([_QUANTISE_LUMA, _QUANTISE_CHROMA, _QUANTISE_CHROMA])

    def tensor(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(device)

    return SensorTables(tensor(noise), tensor(np.kron(cosine, cosine)), tensor(quantise))


def expose(
    light: Tensor, valid: Tensor, sensors: Sequence[Sensor], tables: SensorTables
) -> Tensor:
    """
    Return (B, 3, H, W) bytes of linear light (B, 3, H, W), with all that a camera does to it.

    `valid` (B, 1, H, W) is 1 within each picture, 0 on the rest of the canvas.
    """
    image = light * _factors(light, valid, sensors)
    image = _blurred(image, sensors)
    image = _coarsened(image, sensors)
    image = _noisy(image, sensors, tables).clamp_(min=0)
    image = _toned(image, sensors)
    image = _compressed(image, sensors, tables)
    return (image * valid * 255 + 0.5).clamp_(0, 255).byte()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """Return (B, 1, 1, 1)."""
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)[
        :, None, None, None
    ]


def _factors(light: Tensor, valid: Tensor, sensors: Sequence[Sensor]) -> Tensor:
    """Return (B, 3, H, W) exposure, white balance, vignette."""
    mean = (light * valid).sum((1, 2, 3)) / (3 * valid.sum((1, 2, 3))).clamp(min=1)
    aim = _column([sensor.exposure for sensor in sensors], light)
    gain = aim / mean.clamp(min=1e-4)[:, None, None, None]
    balance = torch.from_numpy(np.stack([sensor.balance for sensor in sensors]))
    balance = balance.to(light.device, non_blocking=True)[:, :, None, None]
    height, width = light.shape[2:]
    extent_h = valid[:, :, :, :1].sum(2, keepdim=True)
    extent_w = valid[:, :, :1].sum(3, keepdim=True)
    y = (torch.arange(height, device=light.device)[None, None, :, None] + 0.5) / extent_h - 0.5
    x = (torch.arange(width, device=light.device)[None, None, None] + 0.5) / extent_w - 0.5
    dark = _column([2 * sensor.vignette for sensor in sensors], light)
    return gain * balance * (1 - dark * (x * x + y * y)).clamp(min=0.2)


def _chosen(flags: Sequence[bool]) -> list[int]:
    return [index for index, flag in enumerate(flags) if flag]


def _blurred(image: Tensor, sensors: Sequence[Sensor]) -> Tensor:
    """Blur by each camera's own kernel."""
    kernels = {i: s.kernel for i, s in enumerate(sensors) if s.kernel is not None}
    if not kernels:
        return image
    index = torch.tensor(list(kernels)).to(image.device, non_blocking=True)
    weights = torch.from_numpy(np.stack(list(kernels.values()))).to(
        image.device, non_blocking=True
    )
    some = image[index]
    count, channels, height, width = some.shape
    weights = weights[:, None].expand(-1, channels, -1, -1).reshape(-1, 1, KERNEL, KERNEL)
    pad = KERNEL // 2
    padded = functional.pad(some, (pad, pad, pad, pad), mode='replicate')
    padded = padded.reshape(1, count * channels, *padded.shape[2:])
    blurred = functional.conv2d(padded, weights, groups=count * channels)
    image[index] = blurred.view(count, channels, height, width)
    return image


def _coarsened(image: Tensor, sensors: Sequence[Sensor]) -> Tensor:
    """Take resolution away, as small sensors and thumbnails do."""
    for factor in sorted({sensor.shrink for sensor in sensors} - {1}):
        chosen = _chosen([sensor.shrink == factor for sensor in sensors])
        index = torch.tensor(chosen).to(image.device, non_blocking=True)
        small = functional.avg_pool2d(image[index], factor, ceil_mode=True)
        image[index] = functional.interpolate(small, image.shape[2:], mode='bilinear')
    return image


def _noisy(image: Tensor, sensors: Sequence[Sensor], tables: SensorTables) -> Tensor:
    """Add noise that grows with the root of brightness, from a table begun at random places."""
    height, width = image.shape[2:]
    device = image.device
    place = torch.from_numpy(np.stack([sensor.noise_place for sensor in sensors]))
    place = place.to(device, non_blocking=True).int()
    rows = (
        place[:, 1, None] + torch.arange(height, device=device, dtype=torch.int32)
    ) % _NOISE_SIDE
    rows = rows + place[:, :1] % 2 * _NOISE_SIDE
    columns = (place[:, :1] + torch.arange(width, device=device, dtype=torch.int32)) % _NOISE_SIDE
    index = (rows[:, :, None] * _NOISE_SIDE + columns[:, None]).flatten()
    noise = tables.noise.flatten(1)[:, index].view(3, -1, height, width).transpose(0, 1)
    deviation = _column([sensor.noise for sensor in sensors], image)
    return torch.addcmul(image, noise, deviation * (image.clamp(0, 1) + 0.02).sqrt())


def _toned(image: Tensor, sensors: Sequence[Sensor]) -> Tensor:
    """Apply saturation, gamma with a soft shoulder, contrast, black level: linear to 0…1."""
    luma = (image * image.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
    image = torch.lerp(luma, image, _column([sensor.saturation for sensor in sensors], image))
    image = image.clamp_(min=0)
    # Straight up to middle grey, then bending towards white at about three times its light.
    image = torch.where(image < 0.4, image, 0.4 + 0.6 * torch.tanh((image - 0.4) / 0.6))
    image = image.clamp_(1e-5).pow_(1 / 2.2)
    slope = _column([sensor.contrast for sensor in sensors], image)
    image = ((image - 0.45) * slope + 0.45).clamp_(0, 1)
    black = _column([sensor.black for sensor in sensors], image)
    return black + image * (1 - black)


def _compressed(image: Tensor, sensors: Sequence[Sensor], tables: SensorTables) -> Tensor:
    """Quantise 8×8 blocks as JPEG does; chroma at full resolution."""
    chosen = _chosen([sensor.quality > 0 for sensor in sensors])
    if not chosen:
        return image
    index = torch.tensor(chosen).to(image.device, non_blocking=True)
    scale = [_scale(sensors[i].quality) for i in chosen]
    steps = (tables.quantise[None] * _column(scale, image)[:, 0]).clamp(1, 255)
    steps = steps[:, :, None] / 255
    red, green, blue = image[index].unbind(1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    planes = torch.stack([luma - 0.5, 0.564 * (blue - luma), 0.713 * (red - luma)], 1)
    count, _, height, width = planes.shape
    blocks = planes.view(count, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    blocks = blocks.reshape(count, 3, -1, 64) @ tables.transform.T
    blocks = (blocks / steps).round_() * steps
    planes = (blocks @ tables.transform).view(count, 3, height // 8, width // 8, 8, 8)
    luma, cb, cr = planes.transpose(3, 4).reshape(count, 3, height, width).unbind(1)
    luma = luma + 0.5
    red, blue = luma + cr / 0.713, luma + cb / 0.564
    green = (luma - _LUMA[0] * red - _LUMA[2] * blue) / _LUMA[1]
    image[index] = torch.stack([red, green, blue], 1)
    return image


def _scale(quality: int) -> float:
    """Return what libjpeg multiplies the tables with."""
    return (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
