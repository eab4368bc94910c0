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

"""
DINOv2's vision transformer (arXiv 2304.07193), without registers, over packed sequences.

The names of its parameters are those of DINOv2's and MA-HMR's checkpoints.
"""

from __future__ import annotations

from mahmr_model.config import COARSE_BLOCKS
from mahmr_model.encoder.attention import Lengths, packed_attention
import torch
from torch import nn, Tensor
import torch.nn.functional as functional

NORM_EPS = 1e-6


class LayerScale(nn.Module):
    """A learnt factor per channel (CaiT, arXiv 2103.17239)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Scale x (..., dim)."""
        return x * self.gamma


class SelfAttention(nn.Module):
    """Multi-head self-attention within each packed sequence."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def attend(self, qkv: Tensor, lengths: Lengths) -> Tensor:
        """Attend with what `qkv` gave, (T, 3·dim); `proj` is still to be applied: (T, dim)."""
        q, k, v = qkv.view(len(qkv), 3, self.heads, -1).unbind(1)
        return packed_attention(q, k, v, lengths, lengths).flatten(1)


class FeedForward(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, dim: int, ratio: int = 4) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim)
        self.fc2 = nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., dim) → (..., dim)."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = SelfAttention(dim, heads)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = FeedForward(dim)
        self.ls2 = LayerScale(dim)

    def forward(self, x: Tensor, lengths: Lengths) -> Tensor:
        """Map packed tokens x (T, dim) → (T, dim)."""
        return self.after(x, self.attn.attend(self.before(x), lengths))

    def before(self, x: Tensor) -> Tensor:
        """Return queries, keys and values (T, 3·dim)."""
        qkv: Tensor = self.attn.qkv(self.norm1(x))
        return qkv

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """Take in what was attended to (T, dim)."""
        x = x + self.ls1(self.attn.proj(attended))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """
    The blocks of a ViT in three runs: coarse pass, fine pass, and the common rest.

    Plain mode has no coarse pass; its tokens run through the fine blocks and the rest.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, adaptive: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        if adaptive:
            self.additional_blocks = nn.ModuleList(Block(dim, heads) for _ in range(COARSE_BLOCKS))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def run_coarse(self, x: Tensor, lengths: Lengths) -> Tensor:
        """Run packed tokens (T, dim) through the additional copy of the first blocks."""
        return _run(self.additional_blocks, x, lengths)

    def run_fine(self, x: Tensor, lengths: Lengths) -> Tensor:
        """Run packed tokens (T, dim) through the first blocks."""
        return _run(self.blocks[:COARSE_BLOCKS], x, lengths)

    def run_rest(self, x: Tensor, lengths: Lengths) -> Tensor:
        """Run packed tokens (T, dim) through the blocks after the merge, before `norm`."""
        return _run(self.blocks[COARSE_BLOCKS:], x, lengths)


def _run(blocks: nn.ModuleList, x: Tensor, lengths: Lengths) -> Tensor:
    for block in blocks:
        x = block(x, lengths)
    return x
