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

"""The memory of GPUs, for a process that need not have loaded torch."""

from __future__ import annotations

import sys
from typing import Any

MIB = 2**20


def gpu_memory() -> dict[str, str]:
    """Return what this process holds of each GPU it uses, as values of the diagnostics."""
    cuda = _cuda_in_use()
    if cuda is None:
        return {}
    values = {}
    for index in range(cuda.device_count()):
        # What torch keeps for later counts: nobody else can have it.
        if reserved := cuda.memory_reserved(index):
            free, total = cuda.mem_get_info(index)
            values[f'GPU {index} memory of this node (MiB)'] = f'{reserved / MIB:.0f}'
            values[f'GPU {index} memory free (MiB)'] = f'{free / MIB:.0f} of {total / MIB:.0f}'
    return values


def give_memory_back() -> None:
    """Let others have what torch keeps of GPUs for later."""
    cuda = _cuda_in_use()
    if cuda is not None:
        cuda.empty_cache()


def give_workspaces_back() -> None:
    """
    Let others have what cuBLAS works in, 32 MiB and more for each stream.

    Only where no CUDA graph is left that was recorded with it. By the function that torch's notes
    on CUDA name for it.
    """
    if _cuda_in_use() is not None:
        sys.modules['torch']._C._cuda_clearCublasWorkspaces()


def _cuda_in_use() -> Any | None:
    """Return torch.cuda; None where torch is not loaded, is being loaded, or uses no GPU."""
    cuda = getattr(sys.modules.get('torch'), 'cuda', None)
    is_initialized = getattr(cuda, 'is_initialized', None)
    return cuda if is_initialized is not None and is_initialized() else None
