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

"""Attention over packed sequences: several pictures in one row of tokens, never mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
import logging
from typing import Any

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as functional

logger = logging.getLogger(__name__)

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Tensor]
"""q, k, v, where each sequence begins in q and in k, the longest sequence of q and of k."""


@dataclass(frozen=True)
class DeviceLengths:
    """Lengths of packed sequences that only the device knows, so that a step may be recorded."""

    starts: Tensor
    """
    (B + 1,) int32: sequence i has the rows from starts[i] to starts[i + 1]. Rows after the last
    one belong to none.
    """
    longest: int
    """No sequence is longer."""


Lengths = Sequence[int] | DeviceLengths

_FLASH_WIDEST = 256
_FLASH_WIDTHS = 8
"""FlashAttention takes heads of up to 256 channels, in multiples of 8."""


def packed_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Lengths, k_lengths: Lengths
) -> Tensor:
    """
    Attend within each sequence of a packed batch.

    q (Tq, heads, c), k (Tk, heads, c), v (Tk, heads, cv); the lengths say how many consecutive
    rows belong to each picture. Returns (Tq, heads, cv), 0 where there are no keys. Rows that
    belong to none get 0, or what they see of each other.

    On CUDA it is one kernel for the batch, forward and backward: xFormers' where it truly works,
    or else torch's own; where none works, and on a CPU, it goes picture by picture: the same
    numbers.
    """
    if isinstance(q_lengths, DeviceLengths) or isinstance(k_lengths, DeviceLengths):
        return _attention_by_starts(
            q, k, v, _on_device(q_lengths, q.device), _on_device(k_lengths, q.device)
        )
    if q.device.type == 'cuda' and _works(by_xformers, q.device, q.dtype):
        return xformers_attention(q, k, v, q_lengths, k_lengths)
    if variable_length_kernel(q, v) is None:
        return torch_attention(q, k, v, q_lengths, k_lengths)
    return variable_length_attention(
        q,
        k,
        v,
        sequence_starts(q_lengths, q.device),
        sequence_starts(k_lengths, q.device),
        max(q_lengths),
        max(k_lengths),
    )


def _attention_by_starts(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: DeviceLengths, k_lengths: DeviceLengths
) -> Tensor:
    """Do what `packed_attention` does, on CUDA without the host knowing any length."""
    if variable_length_kernel(q, v) is None:
        lengths = [one.starts.diff().tolist() for one in (q_lengths, k_lengths)]
        rows, keys = (sum(one) for one in lengths)
        attended = torch_attention(q[:rows], k[:keys], v[:keys], *lengths)
        return functional.pad(attended, (0, 0, 0, 0, 0, len(q) - rows))
    # A kernel leaves other rows as they are, in the gradients as well: anything may be there.
    if q_lengths is k_lengths:
        starts, longest = _of_all_rows(q_lengths, len(q)), q_lengths.longest
        return variable_length_attention(q, k, v, starts, starts, longest, longest)
    queries = _with_counterpart(len(q), q_lengths, k_lengths)
    keys = _with_counterpart(len(k), k_lengths, q_lengths)
    attended = variable_length_attention(
        torch.where(queries, q, 0),
        torch.where(keys, k, 0),
        torch.where(keys, v, 0),
        q_lengths.starts,
        k_lengths.starts,
        q_lengths.longest,
        k_lengths.longest,
    )
    return torch.where(queries, attended, 0)


def _of_all_rows(lengths: DeviceLengths, rows: int) -> Tensor:
    """Return where sequences begin, with further ones of the rows that belong to none."""
    starts, longest = lengths.starts, lengths.longest
    more = torch.arange(1, 1 - (-rows // longest), dtype=starts.dtype, device=starts.device)
    return torch.cat([starts, (starts[-1:] + longest * more).clamp(max=rows)])


def _with_counterpart(rows: int, lengths: DeviceLengths, others: DeviceLengths) -> Tensor:
    """Say which rows (rows, 1, 1) are of a sequence with any rows among the others."""
    row = torch.arange(rows, device=lengths.starts.device, dtype=lengths.starts.dtype)
    filled = functional.pad(others.starts.diff() > 0, (0, 1))  # the last one: of no sequence
    sequence = torch.searchsorted(lengths.starts, row, right=True) - 1
    return filled[sequence][:, None, None]


def _on_device(lengths: Lengths, device: torch.device) -> DeviceLengths:
    if isinstance(lengths, DeviceLengths):
        return lengths
    if len(set(lengths)) == 1:  # queries; a recorded step makes this itself, whenever repeated
        starts = torch.arange(len(lengths) + 1, dtype=torch.int32, device=device) * lengths[0]
        return DeviceLengths(starts, lengths[0])
    return DeviceLengths(sequence_starts(lengths, device), max(lengths))


def variable_length_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    q_longest: int,
    k_longest: int,
) -> Tensor:
    """
    Do what `packed_attention` does without the host knowing any length; CUDA alone.

    `q_starts`, `k_starts` (B + 1,) int32 on the device, as of `sequence_starts`: sequence i has
    the rows from starts[i] to starts[i + 1]; rows after the last one are left out and their
    output means nothing. `q_longest`, `k_longest`: no sequence is longer.
    """
    kernel = variable_length_kernel(q, v)
    if kernel is None:
        raise RuntimeError(f'no attention kernel for packed {q.dtype} sequences on {q.device}')
    return kernel(q, k, v, q_starts, k_starts, q_longest, k_longest)


def sequence_starts(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Return where each packed sequence begins, and where the last one ends: int32 (B + 1,)."""
    return _sequence_starts(tuple(lengths), device)


def variable_length_kernel(q: Tensor, v: Tensor) -> Kernel | None:
    """Return the kernel for such tensors on their device; None where none works."""
    if q.device.type != 'cuda':
        return None
    widths = (q.shape[-1], v.shape[-1])
    half = q.dtype in (torch.bfloat16, torch.float16)
    fits = max(widths) <= _FLASH_WIDEST and not any(w % _FLASH_WIDTHS for w in widths)
    if half and fits and _works(flash_attention, q.device, q.dtype):
        return flash_attention
    if _works(efficient_attention, q.device, q.dtype):
        return efficient_attention
    return None


def torch_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> Tensor:
    """Do what `packed_attention` does picture by picture, on any device."""
    outputs = [
        functional.scaled_dot_product_attention(
            q_one.transpose(0, 1)[None], k_one.transpose(0, 1)[None], v_one.transpose(0, 1)[None]
        )[0].transpose(0, 1)
        for q_one, k_one, v_one in zip(
            q.split(list(q_lengths)),
            k.split(list(k_lengths)),
            v.split(list(k_lengths)),
            strict=True,
        )
    ]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def xformers_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> Tensor:
    """Do what `packed_attention` does with xFormers; it has no kernels for the CPU."""
    import xformers.ops as ops

    mask = _xformers_mask(tuple(q_lengths), tuple(k_lengths), q.device)
    attended: Tensor = ops.memory_efficient_attention(q[None], k[None], v[None], attn_bias=mask)
    return attended[0]


def by_xformers(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    q_longest: int,
    k_longest: int,
) -> Tensor:
    """Attend by xFormers as a `Kernel`, for trials alone: it asks the device for lengths."""
    return xformers_attention(q, k, v, q_starts.diff().tolist(), k_starts.diff().tolist())


def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    q_longest: int,
    k_longest: int,
) -> Tensor:
    """
    Attend by FlashAttention-2 (arXiv 2307.08691), which torch brings: half precision alone.

    It wants values as wide as keys: the decoder's, which are narrower, are padded with zeros.
    """
    width = v.shape[-1]
    if width < q.shape[-1]:
        v = functional.pad(v, (0, q.shape[-1] - width))
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        q, k, v, q_starts, k_starts, q_longest, k_longest, 0.0, False, False
    )[0]
    return attended[..., :width]


def efficient_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_starts: Tensor,
    k_starts: Tensor,
    q_longest: int,
    k_longest: int,
) -> Tensor:
    """Attend by xFormers' memory-efficient kernel, which torch brings: float32 too, any widths."""
    attended: Tensor = torch.ops.aten._efficient_attention_forward(
        q[None],
        k[None],
        v[None],
        None,  # no bias
        q_starts,
        k_starts,
        q_longest,
        k_longest,
        0.0,  # no dropout
        0,  # no mask but that of the sequences
        torch.is_grad_enabled(),  # whether the backward pass will want the sums
    )[0][0]
    return attended


@lru_cache(maxsize=256)
def _xformers_mask(
    q_lengths: tuple[int, ...], k_lengths: tuple[int, ...], device: torch.device
) -> Any:
    from xformers.ops.fmha.attn_bias import BlockDiagonalMask

    with torch.inference_mode(False):  # or training could not use it later
        return BlockDiagonalMask.from_seqlens(list(q_lengths), list(k_lengths), device=device)


@lru_cache(maxsize=256)
def _sequence_starts(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # or training could not use it later
        return on_device(np.cumsum((0, *lengths), dtype=np.int32), device)


@cache
def _works(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> bool:
    """
    Try a kernel once per device and precision: outputs and gradients of both uses, a small case.

    Which of them a build of torch, a driver and a card have together is told by nothing less.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            for value_width in (64, 32):  # as wide as the key (encoder), half as wide (decoder)
                _compare(kernel, value_width, device, dtype)
    except Exception as error:  # a missing operator or kernel, a wrong result: any means "no"
        first_line = str(error).strip().splitlines()[:1]
        optional = kernel is by_xformers  # built for one version of torch each
        logger.log(
            logging.INFO if optional else logging.WARNING,
            'No %s for %s on %s: attention goes another, perhaps slower, way (%s).',
            getattr(kernel, '__name__', 'kernel'),
            dtype,
            device,
            ' '.join(first_line),
        )
        return False
    return True


def _compare(kernel: Kernel, value_width: int, device: torch.device, dtype: torch.dtype) -> None:
    """Raise where a kernel's numbers are not those of `torch_attention`."""
    generator = torch.Generator().manual_seed(0)

    def example(rows: int, width: int) -> Tensor:
        values = torch.randn(rows, 2, width, generator=generator)
        return values.to(device, dtype).requires_grad_()

    q_lengths, k_lengths = (40, 3, 70), (5, 90, 33)
    inputs = [example(113, 64), example(128, 64), example(128, value_width)]
    weights = example(113, value_width).detach()

    def outputs(attend: Callable[..., Tensor], *arguments: Any) -> list[Tensor]:
        attended = attend(*inputs, *arguments)
        return [attended, *torch.autograd.grad((attended * weights).sum(), inputs)]

    starts = [_sequence_starts(lengths, device) for lengths in (q_lengths, k_lengths)]
    expected = outputs(torch_attention, q_lengths, k_lengths)
    for ours, right in zip(outputs(kernel, *starts, 70, 90), expected, strict=True):
        torch.testing.assert_close(ours, right, rtol=5e-2, atol=5e-2)
