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

"""Times of the encoder's kernels one by one, replayed in a graph: what is left to gain where."""

from __future__ import annotations

from collections.abc import Callable

from mahmr_model.config import ModelConfig
from mahmr_model.encoder.attention import variable_length_attention
from mahmr_model.fast.ops import add_normalised
import torch
from torch import Tensor
from torch.nn.attention import sdpa_kernel, SDPBackend
import torch.nn.functional as functional

_REPEATS = 20
_REPLAYS = 20


def kernel_table(config: ModelConfig, row_counts: list[int], dtype: torch.dtype) -> str:
    """Return a table of microseconds and TFLOP/s, for each number of rows. CUDA alone."""
    lines = [f'{"rows":>5} {"kernel":<32} {"µs":>8} {"TFLOP/s":>8}']
    for rows in row_counts:
        for name, flop, call in _kernels(config, rows, dtype):
            try:
                spent_us = _replayed_us(call)
            except RuntimeError as error:
                lines.append(f'{rows:>5} {name:<32} {str(error).splitlines()[0][:60]}')
                continue
            rate = flop / spent_us / 1e6
            lines.append(f'{rows:>5} {name:<32} {spent_us:8.1f} {rate:8.0f}')
    return '\n'.join(lines)


def _kernels(
    config: ModelConfig, rows: int, dtype: torch.dtype
) -> list[tuple[str, float, Callable[[], object]]]:
    c, heads = config.encoder_dim, config.encoder_heads

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, device='cuda').to(dtype)

    x, wide = random(rows, c), random(rows, 4 * c)
    stream = torch.randn(rows, c, device='cuda')
    qkv = random(rows, 3, heads, c // heads)
    q, k, v = qkv.unbind(1)
    dense_q, dense_k, dense_v = (part.transpose(0, 1)[None] for part in (q, k, v))
    starts = torch.tensor([0, rows - 20, rows], dtype=torch.int32, device='cuda')
    attention_flop = 4.0 * rows * rows * c

    def product(outputs: int, inputs: Tensor) -> tuple[str, float, Callable[[], object]]:
        weight, bias = random(outputs, inputs.shape[1]), random(outputs)
        name = f'product {inputs.shape[1]} to {outputs}'
        flop = 2.0 * rows * inputs.shape[1] * outputs
        return name, flop, lambda: functional.linear(inputs, weight, bias)

    def attention(backend: SDPBackend) -> Callable[[], object]:
        def call() -> Tensor:
            with sdpa_kernel(backend):
                return functional.scaled_dot_product_attention(dense_q, dense_k, dense_v)

        return call

    return [
        product(3 * c, x),
        product(c, x),
        product(4 * c, x),
        product(c, wide),
        ('GELU', 0.0, lambda: functional.gelu(wide)),
        ('add, normalise', 0.0, lambda: add_normalised(stream, x, 1e-6)),
        (
            'attention, variable length',
            attention_flop,
            lambda: variable_length_attention(q, k, v, starts, starts, rows, rows),
        ),
        ('attention, FlashAttention', attention_flop, attention(SDPBackend.FLASH_ATTENTION)),
        ('attention, cuDNN', attention_flop, attention(SDPBackend.CUDNN_ATTENTION)),
    ]


def _replayed_us(call: Callable[[], object]) -> float:
    """Return microseconds of one call in a graph of many."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_REPEATS):
            call()
    graph.replay()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(_REPLAYS):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) * 1e3 / (_REPEATS * _REPLAYS)
