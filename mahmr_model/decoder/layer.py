"""One layer of the query decoder (DAB-DETR, arXiv 2201.12329, pre-norm, no dropout)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn, Tensor
import torch.nn.functional as functional

from mahmr_model.encoder.attention import packed_attention

NORM_EPS = 1e-5


class DecoderLayer(nn.Module):
    """
    Self-attention of queries, cross-attention to packed memory, feed-forward.

    Content and position are projected apart; in cross-attention they stand side by side within
    each head, so that keys are twice as wide as values.
    """

    def __init__(self, dim: int, heads: int, feedforward_dim: int, *, first: bool) -> None:
        super().__init__()
        self.heads = heads
        self.sa_qcontent_proj = nn.Linear(dim, dim)
        self.sa_qpos_proj = nn.Linear(dim, dim)
        self.sa_kcontent_proj = nn.Linear(dim, dim)
        self.sa_kpos_proj = nn.Linear(dim, dim)
        self.sa_v_proj = nn.Linear(dim, dim)
        self.sa_out_proj = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.ca_qcontent_proj = nn.Linear(dim, dim)
        self.ca_qpos_proj = nn.Linear(dim, dim) if first else None
        self.ca_kcontent_proj = nn.Linear(dim, dim)
        self.ca_kpos_proj = nn.Linear(dim, dim)
        self.ca_v_proj = nn.Linear(dim, dim)
        self.ca_qpos_sine_proj = nn.Linear(dim, dim)
        self.ca_out_proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.linear1 = nn.Linear(dim, feedforward_dim)
        self.linear2 = nn.Linear(feedforward_dim, dim)
        self.norm3 = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(
        self,
        queries: Tensor,
        query_position: Tensor,
        query_sine: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        memory_lengths: Sequence[int],
        attention_mask: Tensor | None,
    ) -> Tensor:
        """
        Update queries (B, Q, d).

        query_position, query_sine (B, Q, d); memory, memory_position (T, d) packed by
        `memory_lengths`; attention_mask (Q, Q) is true where a query (row) may see another.
        """
        x = queries
        x = x + self.attend_queries(self.norm1(x), query_position, attention_mask)
        x = x + self._attend_memory(
            self.norm2(x), query_position, query_sine, memory, memory_position, memory_lengths
        )
        x = x + self.linear2(functional.relu(self.linear1(self.norm3(x))))
        return x

    def attend_queries(self, x: Tensor, position: Tensor, mask: Tensor | None) -> Tensor:
        """Let queries, normalised (B, Q, d), look at each other; returns the change (B, Q, d)."""
        q = self.sa_qcontent_proj(x) + self.sa_qpos_proj(position)
        k = self.sa_kcontent_proj(x) + self.sa_kpos_proj(position)
        q, k, v = (self._by_head(y).transpose(1, 2) for y in (q, k, self.sa_v_proj(x)))
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.sa_out_proj(attended.transpose(1, 2).flatten(2))

    def _attend_memory(
        self,
        x: Tensor,
        position: Tensor,
        sine: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        lengths: Sequence[int],
    ) -> Tensor:
        batch, count, _ = x.shape
        q = self.ca_qcontent_proj(x)
        k = self.ca_kcontent_proj(memory)
        k_position = self.ca_kpos_proj(memory_position)
        if self.ca_qpos_proj is not None:
            q = q + self.ca_qpos_proj(position)
            k = k + k_position
        q_sine = self.ca_qpos_sine_proj(sine)
        attended = packed_attention(
            torch.cat([self._by_head(q), self._by_head(q_sine)], dim=-1).flatten(0, 1),
            torch.cat([self._by_head(k), self._by_head(k_position)], dim=-1),
            self._by_head(self.ca_v_proj(memory)),
            [count] * batch,
            lengths,
        )
        return self.ca_out_proj(attended.flatten(1)).view_as(x)

    def _by_head(self, x: Tensor) -> Tensor:
        """Split (..., d) into (..., heads, d/heads)."""
        return x.unflatten(-1, (self.heads, -1))
