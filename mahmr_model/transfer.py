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

"""From the host to a device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def on_device(numbers: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return numbers of the host on a device, without waiting for what the device is doing."""
    values = torch.from_numpy(numbers)
    if device.type != 'cuda':
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def working_on(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the one whose streams, graphs and kernels are meant where none is named."""
    return torch.cuda.device(device) if device.type == 'cuda' else nullcontext()
