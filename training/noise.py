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

"""Noise that belongs to a seed, whatever the device and whatever else is in the batch."""

from __future__ import annotations

import math

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Ints

_STEP, _FIRST, _SECOND = (
    int(np.uint64(word).astype(np.int64))
    for word in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_ROW = 1 << 24
"""Numbers that a row of noise may have."""


def signed_noise(
    shape: tuple[int, ...], rows: Ints, seeds: Ints | None, device: torch.device
) -> Tensor:
    """
    Return uniform noise of −1…1 with the given shape, its first axis the rows.

    Row i is the row number rows[i] of the noise of seeds[i], the same on every device. Without
    seeds it comes from torch's own state.
    """
    if seeds is None:
        return torch.rand(shape, device=device) * 2 - 1
    inner = math.prod(shape[1:])
    first = on_device(np.stack([seeds, rows * _ROW]), device)
    counter = first[1, :, None] + torch.arange(1, inner + 1, device=device)
    bits = _mixed(first[0, :, None] + counter * _STEP)
    uniform = (bits >> 40 & 0xFFFFFF).float() * 2.0**-24
    return (uniform * torch.where(bits & 1 == 0, 1.0, -1.0)).view(shape)


def _mixed(z: Tensor) -> Tensor:
    """Return splitmix64's finaliser (Steele et al. 2014) of int64, whose products wrap around."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros, as of unsigned numbers."""
    return z >> bits & (1 << (64 - bits)) - 1
