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

"""What the machine can do at most, measured: one large product, one large copy."""

from __future__ import annotations

from dataclasses import dataclass
import platform
import resource

from mahmr_model.benchmark.clock import median_ms
import torch

_SIDE = {'cuda': 8192, 'cpu': 1536}
_COPY_BYTES = {'cuda': 1 << 30, 'cpu': 1 << 27}
_RUNS = 7


@dataclass(frozen=True)
class Machine:
    """The machine and its ceilings."""

    name: str
    threads: int
    torch: str
    tflop_per_s: dict[str, float]
    """By precision, of a product of two large square matrices of random numbers."""
    copy_gb_per_s: float
    """Bytes read and bytes written of a large copy on the device."""


def measure_machine(device: torch.device, precisions: list[str]) -> Machine:
    """Measure the ceilings that shares are of."""
    cuda = device.type == 'cuda'
    side = _SIDE[device.type]
    rates: dict[str, float] = {}
    for precision in precisions:
        dtype = getattr(torch, precision)
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        spent_ms = median_ms(lambda a=a, b=b: a @ b, cuda, _RUNS)  # type: ignore[misc]
        rates[precision] = 2 * side**3 / spent_ms / 1e9
    numbers = torch.ones(_COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    room = torch.empty_like(numbers)
    copy_ms = median_ms(lambda: room.copy_(numbers), cuda, _RUNS)
    name = torch.cuda.get_device_name(device) if cuda else _processor()
    return Machine(
        name, torch.get_num_threads(), torch.__version__, rates, 2 * len(numbers) / copy_ms / 1e6
    )


def memory_mib(device: torch.device) -> float:
    """Return the most memory taken so far: of the device, or of this process on a CPU."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _processor() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            return next(line.split(':')[1].strip() for line in file if 'model name' in line)
    except (OSError, StopIteration):
        return platform.processor()
