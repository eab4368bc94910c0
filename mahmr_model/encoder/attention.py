"""Attention over packed sequences: several pictures in one row of tokens, never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
import logging
from typing import Any

import torch
from torch import Tensor
import torch.nn.functional as functional

logger = logging.getLogger(__name__)


def packed_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> Tensor:
    """
    Attend within each sequence of a packed batch.

    q (Tq, heads, c), k (Tk, heads, c), v (Tk, heads, cv); the lengths say how many consecutive
    rows belong to each picture. Returns (Tq, heads, cv). xFormers does it where it truly works
    on this device, otherwise torch's own attention: the same numbers.
    """
    if _xformers_works(q.device, q.dtype):
        return _xformers_attention(q, k, v, q_lengths, k_lengths)
    return torch_attention(q, k, v, q_lengths, k_lengths)


def torch_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> Tensor:
    """Do what `packed_attention` does with torch alone, picture by picture."""
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


def _xformers_attention(
    q: Tensor, k: Tensor, v: Tensor, q_lengths: Sequence[int], k_lengths: Sequence[int]
) -> Tensor:
    import xformers.ops as ops
    from xformers.ops.fmha.attn_bias import BlockDiagonalMask

    mask = BlockDiagonalMask.from_seqlens(list(q_lengths), list(k_lengths), device=q.device)
    return ops.memory_efficient_attention(q[None], k[None], v[None], attn_bias=mask)[0]


@cache
def _xformers_works(device: torch.device, dtype: torch.dtype) -> bool:
    """
    Try xFormers once per device and precision, with a small example of both uses.

    xFormers is built for one torch version each and fails only at its first call otherwise, so
    nothing less than a call tells. It has no kernels for the CPU.
    """
    if device.type != 'cuda':
        return False
    try:
        generator = torch.Generator(device).manual_seed(0)
        example: dict[str, Any] = {'generator': generator, 'device': device, 'dtype': dtype}
        q, k = (torch.randn(6, 2, 64, **example) for _ in range(2))
        v = torch.randn(6, 2, 32, **example)
        for value in (q, v):  # as wide as the key (encoder), and half as wide (decoder)
            ours = _xformers_attention(q, k, value, [2, 4], [3, 3])
            torch.testing.assert_close(
                ours, torch_attention(q, k, value, [2, 4], [3, 3]), rtol=1e-2, atol=1e-2
            )
    except Exception as error:  # an import, a missing kernel, a wrong result: any means "no"
        first_line = str(error).strip().splitlines()[:1]
        logger.info('Attention by torch: xFormers does not work here (%s).', ' '.join(first_line))
        return False
    return True
