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

"""Attention over packed sequences on CUDA: of the kernels that work, the quickest is taken."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
import logging
import statistics

from mahmr_model.encoder.attention import variable_length_attention
from mahmr_model.fast.fused import fused_kernels
import torch
from torch import Tensor
import torch.nn.functional as functional

logger = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""q, k, v (T, heads, c), where each sequence begins (n + 1,), the longest: (T, heads, c)."""

_TILES = ((128, 64, 4), (128, 64, 8), (128, 128, 8), (64, 64, 4))
"""Rows, columns and warps of the Triton kernel that are tried."""
_TRIALS = 5
_CALLS = 10
"""A kernel is timed by the middle of so many replays of a graph of so many calls."""


@dataclass
class _Kernels:
    """The kernels that have been chosen, by what they were chosen for."""

    chosen: dict[Hashable, Kernel] = field(default_factory=dict)
    choosing: bool = False


_kernels = _Kernels()


@contextmanager
def choosing() -> Iterator[None]:
    """Time kernels where none has been chosen yet: some tenths of a second for each size."""
    _kernels.choosing = True
    try:
        yield
    finally:
        _kernels.choosing = False


def attend(
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor, longest: int, *, equal: bool
) -> Tensor:
    """
    Attend within packed sequences on CUDA; `equal` says that all are as long as the longest.

    It is the quickest kernel that does it where one has been chosen for such sizes.
    """
    batch = len(q) // longest if equal else 0
    key = (q.device, q.dtype, tuple(q.shape), batch)
    if key not in _kernels.chosen and _kernels.choosing:
        _kernels.chosen[key] = _quickest(q.device, q.dtype, q.shape, batch)
    kernel = _kernels.chosen.get(key, _usual)
    return kernel(q, k, v, starts, longest)


def _quickest(device: torch.device, dtype: torch.dtype, shape: torch.Size, batch: int) -> Kernel:
    """Time all kernels that give FlashAttention's numbers; batch is 0 where lengths differ."""
    count, heads, width = shape
    usual: Kernel = _usual
    fits = dtype != torch.float32 and width & (width - 1) == 0
    if not fits:
        return usual
    generator = torch.Generator(device).manual_seed(0)
    example = torch.randn(count, 3, heads, width, generator=generator, device=device).to(dtype)
    q, k, v = example.unbind(1)
    ends = [count // batch * (i + 1) for i in range(batch)] if batch else [count - 20, count]
    starts = torch.tensor([0, *ends], dtype=torch.int32, device=device)
    longest = count // batch if batch else count
    expected = usual(q, k, v, starts, longest)
    times_us: dict[str, float] = {}
    kernels = _candidates(device, batch)
    for name, kernel in kernels.items():
        try:
            ours = kernel(q, k, v, starts, longest)
            torch.testing.assert_close(ours, expected, rtol=2e-2, atol=2e-2)
            times_us[name] = _replayed_us(partial(kernel, q, k, v, starts, longest))
        except Exception as error:  # whatever is wrong with it, it is not used
            logger.info('No attention by %s: %s', name, str(error).strip().splitlines()[:1])
    best = min(times_us, key=lambda name: times_us[name], default='')
    listed = ', '.join(f'{name} {spent:.1f}' for name, spent in times_us.items())
    logger.info('Attention over %d rows by %s; tried (µs): %s', count, best, listed)
    return kernels[best] if best else usual


def _candidates(device: torch.device, batch: int) -> dict[str, Kernel]:
    kernels: dict[str, Kernel] = {'FlashAttention': _usual}
    if batch:
        kernels["torch's choice"] = partial(_dense, batch)
    fused = fused_kernels(device)
    if fused is not None:
        for rows, columns, warps in _TILES:
            tiles = {'rows': rows, 'columns': columns, 'warps': warps}
            kernels[f'Triton {rows}×{columns}, {warps} warps'] = partial(fused.attend, **tiles)
    return kernels


def _usual(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, longest: int) -> Tensor:
    return variable_length_attention(q, k, v, starts, starts, longest, longest)


def _dense(batch: int, q: Tensor, k: Tensor, v: Tensor, starts: Tensor, longest: int) -> Tensor:
    """Attend within sequences of one length, which need no mask."""
    by_head = [x.unflatten(0, (batch, longest)).transpose(1, 2) for x in (q, k, v)]
    attended = functional.scaled_dot_product_attention(by_head[0], by_head[1], by_head[2])
    return attended.transpose(1, 2).flatten(0, 1)


def _replayed_us(call: Callable[[], object]) -> float:
    """Return microseconds of one call in a graph of many."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        call()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode='thread_local'):
        for _ in range(_CALLS):
            call()
    graph.replay()
    times: list[float] = []
    for _ in range(_TRIALS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / _CALLS)
    return statistics.median(times)
