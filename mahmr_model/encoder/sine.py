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

"""The sine code of a pair of numbers in 0…1 (DAB-DETR, arXiv 2201.12329, temperature 20)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 20.0


def frequencies(channels: int) -> Tensor:
    """Return the frequencies 2π·20^(−2⌊k/2⌋/channels) of one number's code, (channels,)."""
    pairs = torch.arange(channels) // 2
    return 2 * math.pi * TEMPERATURE ** (-2 * pairs / channels)


def sine_code(pairs: Tensor, omega: Tensor) -> Tensor:
    """
    Code pairs (..., 2), such as (x, y) or (w, h), in (..., n) with n = 2·len(omega).

    Even channels are sines, odd ones cosines; the channels of the second number come first.
    """
    angles = pairs.flip(-1)[..., None] * omega
    code = torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1)
    return code.flatten(-3)
