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

from mahmr_model.encoder.attention import (
    _works,
    by_xformers,
    flash_attention,
    packed_attention,
    sequence_starts,
    torch_attention,
)
import torch
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
