"""From the host to a device."""

from __future__ import annotations

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
