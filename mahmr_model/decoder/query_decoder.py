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

"""The decoder's loop over layers: boxes give the queries their places and are refined by them."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.decoder.layer import DecoderLayer, NORM_EPS
from mahmr_model.encoder.attention import Lengths
from mahmr_model.encoder.sine import frequencies, sine_code
from mahmr_model.mlp import MLP
import torch
from torch import nn, Tensor

LOGIT_EPS = 1e-5


@dataclass(frozen=True)
class DecoderOutput:
    """What every layer says of every query; lists have an entry a layer."""

    hidden: list[Tensor]
    """(B, Q, d) after the decoder's norm."""
    boxes_cxcywh_norm: list[Tensor]
    """(B, Q, 4) centre and size relative to S, after the sigmoid."""


def logit(x: Tensor) -> Tensor:
    """Invert the sigmoid; x and 1 − x are clamped at 1e-5 (Deformable DETR's inverse_sigmoid)."""
    x = x.clamp(0, 1)
    return (x.clamp(min=LOGIT_EPS) / (1 - x).clamp(min=LOGIT_EPS)).log()


class QueryDecoder(nn.Module):
    """Decoder layers whose queries are boxes (DAB-DETR, section 4); six in the published one."""

    omega: Tensor

    def __init__(
        self, dim: int, heads: int, feedforward_dim: int, layers: int, box_heads: nn.ModuleList
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(dim, heads, feedforward_dim, first=index == 0) for index in range(layers)
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.query_scale = MLP(dim, dim, dim, 2)
        self.ref_point_head = MLP(2 * dim, dim, dim, 2)
        self.ref_anchor_head = MLP(dim, dim, 2, 2)
        self.bbox_embed = box_heads
        self.register_buffer('omega', frequencies(dim // 2), persistent=False)

    def forward(
        self,
        content: Tensor,
        box_logits: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        memory_lengths: Lengths,
        attention_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """
        Decode content (B, Q, d) and boxes before the sigmoid (B, Q, 4).

        memory, memory_position (T, d) packed by `memory_lengths`; attention_mask (Q, Q) is true
        where a query (row) may see another (column), None for everywhere.
        """
        output = DecoderOutput([], [])
        x = content
        entering = box_logits.sigmoid()  # keeps its gradient for the box this layer puts out
        current = entering  # gives places; detached after the learnt box (DINO: look once)
        for index, layer in enumerate(self.layers):
            position, sine = self.query_codes(x, current, first=index == 0)
            x = layer(x, position, sine, memory, memory_position, memory_lengths, attention_mask)
            hidden, box, entering = self.refine(self.bbox_embed[index], x, entering, current)
            output.hidden.append(hidden)
            output.boxes_cxcywh_norm.append(box)
            current = entering.detach()
        return output

    def refine(
        self, box_head: nn.Module, x: Tensor, entering: Tensor, current: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised queries, their box, and the box that enters the next layer."""
        hidden = self.norm(x)
        with torch.autocast(x.device.type, enabled=False):  # half precision costs pixels
            shift = box_head(hidden.float())
        return hidden, (shift + logit(entering)).sigmoid(), (shift + logit(current)).sigmoid()

    def query_codes(self, x: Tensor, box: Tensor, *, first: bool) -> tuple[Tensor, Tensor]:
        """Return the queries' position (B, Q, d) and their modulated sine code (B, Q, d)."""
        place = sine_code(box[..., :2], self.omega)
        size = sine_code(box[..., 2:], self.omega)
        position = self.ref_point_head(torch.cat([place, size], dim=-1))
        scaled = place if first else place * self.query_scale(x)
        # The code has y first, boxes have w first (modulated attention, DAB-DETR, eq. 6).
        ratio = (self.ref_anchor_head(x).sigmoid() / box[..., 2:]).flip(-1)
        return position, (scaled.unflatten(-1, (2, -1)) * ratio[..., None]).flatten(-2)
