"""Packed attention against dense attention under a block mask."""

import torch
import torch.nn.functional as functional

from mahmr_model.encoder.attention import packed_attention


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
