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

"""Packed attention against dense attention under a block mask."""

from itertools import pairwise
from typing import Any

from mahmr_model.encoder.attention import (
    _works,
    by_xformers,
    DeviceLengths,
    flash_attention,
    packed_attention,
    sequence_starts,
    torch_attention,
)
import pytest
import torch
from torch import Tensor
import torch.nn.functional as functional


def test_packed_attention_is_dense_attention_under_a_block_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    q_lengths, k_lengths = [3, 1, 5], [4, 2, 7]
    q = torch.randn(9, 2, 8, generator=generator)
    k = torch.randn(13, 2, 8, generator=generator)
    v = torch.randn(13, 2, 6, generator=generator)
    mask = torch.block_diag(
        *[torch.ones(a, b) for a, b in zip(q_lengths, k_lengths, strict=True)]
    ).bool()
    dense = functional.scaled_dot_product_attention(
        *(x.transpose(0, 1) for x in (q, k, v)), attn_mask=mask
    ).transpose(0, 1)
    torch.testing.assert_close(packed_attention(q, k, v, q_lengths, k_lengths), dense)


def by_starts(q, k, v, q_starts, k_starts, q_longest, k_longest):
    """Stand in for a kernel: what one has to do with the places of its sequences."""
    return torch_attention(q, k, v, q_starts.diff().tolist(), k_starts.diff().tolist())


def across_sequences(q, k, v, q_starts, k_starts, q_longest, k_longest):
    return torch_attention(q, k, v, [len(q)], [len(k)])


def without_gradient(q, k, v, q_starts, k_starts, q_longest, k_longest):
    return by_starts(q, k.detach(), v, q_starts, k_starts, q_longest, k_longest)


def test_kernel_is_taken_only_where_outputs_and_gradients_are_right() -> None:
    """Also when the first call comes from inference, which knows no gradients."""
    cpu = torch.device('cpu')
    with torch.inference_mode():
        assert _works(by_starts, cpu, torch.float32)
        assert _works(by_starts, cpu, torch.bfloat16)
        assert not _works(across_sequences, cpu, torch.float32)
        assert not _works(without_gradient, cpu, torch.float32)
        assert not _works(flash_attention, cpu, torch.float32)
        assert not _works(by_xformers, cpu, torch.float32)


def test_starts_of_sequences_serve_training_after_inference() -> None:
    with torch.inference_mode():
        starts = sequence_starts([3, 0, 5], torch.device('cpu'))
    assert starts.tolist() == [0, 3, 3, 8]
    assert starts.dtype == torch.int32
    assert not starts.is_inference()


class Careless(torch.autograd.Function):
    """
    A kernel that leaves anything in rows that have nothing to look at, as those of GPUs do.

    It takes no sequence that is longer than it was told.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        q_starts: Tensor,
        k_starts: Tensor,
        *longest: int,
    ) -> Tensor:
        for starts, most in zip((q_starts, k_starts), longest, strict=True):
            assert starts.diff().max() <= most
        ctx.save_for_backward(q, k, v, q_starts, k_starts)
        output = torch.full((*q.shape[:2], v.shape[2]), torch.nan)
        for rows, keys in ranges(q_starts, k_starts):
            output[rows] = torch_attention(q[rows], k[keys], v[keys], *lengths(rows, keys))
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, q_starts, k_starts = ctx.saved_tensors
        gradients = [torch.full_like(x, torch.nan) for x in inputs]
        for rows, keys in ranges(q_starts, k_starts):
            places = (rows, keys, keys)
            own = [x[s].detach().requires_grad_() for x, s in zip(inputs, places, strict=True)]
            with torch.enable_grad():
                attended = torch_attention(*own, *lengths(rows, keys))
            parts = torch.autograd.grad(attended, own, gradient[rows])
            for whole, place, part in zip(gradients, places, parts, strict=True):
                whole[place] = part
        return *gradients, *[None] * 4


def ranges(q_starts: Tensor, k_starts: Tensor) -> list[tuple[slice, slice]]:
    q, k = ([slice(*pair) for pair in pairwise(s.tolist())] for s in (q_starts, k_starts))
    return [pair for pair in zip(q, k, strict=True) if all(one.stop > one.start for one in pair)]


def lengths(rows: slice, keys: slice) -> tuple[list[int], list[int]]:
    return [rows.stop - rows.start], [keys.stop - keys.start]


def test_rows_with_nothing_to_look_at_are_zero_and_teach_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A picture without tokens has queries, but no keys; rows after the last one are nobody's."""
    name = 'mahmr_model.encoder.attention.variable_length_kernel'
    monkeypatch.setattr(name, lambda q, v: Careless.apply)
    q_lengths = DeviceLengths(torch.tensor([0, 3, 6, 6, 8], dtype=torch.int32), 3)
    k_lengths = DeviceLengths(torch.tensor([0, 5, 5, 9, 12], dtype=torch.int32), 5)
    torch.manual_seed(0)
    inputs = [torch.randn(rows, 2, 4, requires_grad=True) for rows in (10, 14, 14)]
    attended = packed_attention(*inputs, q_lengths, k_lengths)
    gradients = torch.autograd.grad(attended.square().sum(), inputs)
    clean = [3, 4, 5, 8, 9], [5, 6, 7, 8, 12, 13], [5, 6, 7, 8, 12, 13]
    for value, rows in zip(gradients, clean, strict=True):
        assert value.isfinite().all()
        assert (value == 0).all((1, 2)).nonzero()[:, 0].tolist() == rows
    assert (attended == 0).all((1, 2)).nonzero()[:, 0].tolist() == clean[0]


@pytest.mark.parametrize('rows', [8, 9, 11, 12, 13, 15])
@pytest.mark.parametrize('starts', [[0, 3, 6, 6, 8], [0, 0, 0]])
def test_rows_of_no_sequence_see_each_other_alone(
    starts: list[int], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = 'mahmr_model.encoder.attention.variable_length_kernel'
    monkeypatch.setattr(name, lambda q, v: Careless.apply)
    lengths = DeviceLengths(torch.tensor(starts, dtype=torch.int32), 3)
    torch.manual_seed(0)
    inputs = [torch.randn(rows, 2, 4, requires_grad=True) for _ in range(3)]
    attended = packed_attention(*inputs, lengths, lengths)
    assert attended.isfinite().all()
    count = starts[-1]
    gradients = torch.autograd.grad(attended[:count].square().sum(), inputs)
    own = [x.detach()[:count].requires_grad_() for x in inputs]
    each = lengths.starts.diff().tolist()
    expected = torch_attention(*own, each, each)
    torch.testing.assert_close(attended[:count], expected)
    theirs = torch.autograd.grad(expected.square().sum(), own)
    for value, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(value[:count], other)
        assert not value[count:].any()
