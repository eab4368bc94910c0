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

"""One layer of the query decoder (DAB-DETR, arXiv 2201.12329, pre-norm, no dropout)."""

from __future__ import annotations

from mahmr_model.encoder.attention import Lengths, packed_attention
import torch
from torch import nn, Tensor
import torch.nn.functional as functional

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
        memory_lengths: Lengths,
        attention_mask: Tensor | None,
    ) -> Tensor:
        """
        Update queries (B, Q, d).

        query_position, query_sine (B, Q, d); memory, memory_position (T, d) packed by
        `memory_lengths`; attention_mask (Q, Q) is true where a query (row) may see another.
        """
        batch, count, _ = queries.shape
        position = query_position
        q, k, v = self.before(queries, position)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask)
        x, q, k, v = self.between(queries, attended, position, query_sine, memory, memory_position)
        attended = packed_attention(q, k, v, [count] * batch, memory_lengths)
        return self.after(x, attended)

    def attend_queries(self, x: Tensor, position: Tensor, mask: Tensor | None) -> Tensor:
        """Let queries, normalised (B, Q, d), look at each other; returns the change (B, Q, d)."""
        q, k, v = self._self_projections(x, position)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.sa_out_proj(attended.transpose(1, 2).flatten(2))

    def before(self, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v (B, heads, Q, d/heads) of the queries among themselves."""
        return self._self_projections(self.norm1(x), position)

    def between(
        self,
        x: Tensor,
        attended: Tensor,
        position: Tensor,
        sine: Tensor,
        memory: Tensor,
        memory_position: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """
        Take in what queries saw of each other (B, heads, Q, d/heads).

        Returns the queries (B, Q, d), and for their look at the memory q (B·Q, heads, 2d/heads),
        k (T, heads, 2d/heads) and v (T, heads, d/heads).
        """
        x = x + self.sa_out_proj(attended.transpose(1, 2).flatten(2))
        normalised = self.norm2(x)
        q = self.ca_qcontent_proj(normalised)
        k = self.ca_kcontent_proj(memory)
        k_position = self.ca_kpos_proj(memory_position)
        if self.ca_qpos_proj is not None:
            q = q + self.ca_qpos_proj(position)
            k = k + k_position
        q_sine = self.ca_qpos_sine_proj(sine)
        return (
            x,
            torch.cat([self._by_head(q), self._by_head(q_sine)], dim=-1).flatten(0, 1),
            torch.cat([self._by_head(k), self._by_head(k_position)], dim=-1),
            self._by_head(self.ca_v_proj(memory)),
        )

    def after(self, x: Tensor, attended: Tensor) -> Tensor:
        """Take in what queries saw of the memory (B·Q, heads, d/heads)."""
        x = x + self.ca_out_proj(attended.flatten(1)).view_as(x)
        return x + self.linear2(functional.relu(self.linear1(self.norm3(x))))

    def _self_projections(self, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.sa_qcontent_proj(x) + self.sa_qpos_proj(position)
        k = self.sa_kcontent_proj(x) + self.sa_kpos_proj(position)
        q, k, v = (self._by_head(y).transpose(1, 2) for y in (q, k, self.sa_v_proj(x)))
        return q, k, v

    def _by_head(self, x: Tensor) -> Tensor:
        """Split (..., d) into (..., heads, d/heads)."""
        return x.unflatten(-1, (self.heads, -1))
