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

"""The next step's batches are made while the device and the host still work on this one's."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar('T')


def one_ahead(items: Iterator[T], device: torch.device) -> Generator[T, None, None]:
    """
    Yield items; on CUDA each is made in a thread while the one before is used.

    Operators let other threads run while they are started, and the backward pass is started
    without Python, so that a thread can do a lot beside a step. On a CPU it would only take away
    from it.
    """
    if device.type != 'cuda':
        yield from items
        return
    nothing = object()

    def following() -> object:
        return next(items, nothing)

    # A thread's device is the first one, whatever that of the process.
    mine = torch.cuda.current_device() if device.index is None else device.index
    with ThreadPoolExecutor(1, 'ahead', torch.cuda.set_device, (mine,)) as thread:
        future = thread.submit(following)
        while (item := future.result()) is not nothing:
            future = thread.submit(following)
            yield item  # type: ignore[misc]
