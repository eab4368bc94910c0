"""The few operations that the fast path is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as functional

from mahmr_model.encoder.attention import torch_attention, variable_length_attention


@dataclass(frozen=True)
class Linear:
    """A product with folded weights, in the precision of the weights."""

    weight: Tensor
    """(o, a), or (n, a, o) for n products at once."""
    bias: Tensor
    """(o,), or (n, 1, o)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Map x (..., a) → (..., o), or (n, ..., a) → (n, ..., o)."""
        if self.weight.dim() == 3:
            return torch.baddbmm(self.bias, x, self.weight)
        return functional.linear(x, self.weight, self.bias)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the product."""
        return self.weight.dtype

    def to(self, dtype: torch.dtype) -> Linear:
        """Return the same in another precision."""
        return Linear(self.weight.to(dtype).contiguous(), self.bias.to(dtype).contiguous())


def normalised(x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return x (..., c) with mean 0 and deviation 1: a LayerNorm whose factors are folded away."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps).to(dtype)


def add_normalised(x: Tensor, change: Tensor, eps: float) -> Tensor:
    """Add a change to the float32 stream x (T, c) in place; return it normalised, as `change`."""
    x.add_(change)
    return normalised(x, eps, change.dtype)


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """Return a (m, k) · b (k, n) in float32, also of half precision."""
    if a.dtype == torch.float32:
        return a @ b
    if a.device.type == 'cuda':
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


@dataclass(frozen=True)
class Sequences:
    """Where packed sequences begin; rows that belong to nobody are a sequence of their own."""

    starts: Tensor
    """(n + 1,) int32 on the device, from 0 to the number of rows."""
    longest: int
    """No sequence is longer."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within each sequence: q, k, v (T, heads, c) → (T, heads, c)."""
        if q.device.type == 'cuda':
            longest = self.longest
            return variable_length_attention(q, k, v, self.starts, self.starts, longest, longest)
        lengths = [n for n in self.starts.diff().tolist() if n]
        return torch_attention(q, k, v, lengths, lengths)
