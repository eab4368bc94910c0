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

"""The training model: the inference network, with what only training needs around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mahmr_model.body.layer import BodyLayer
from mahmr_model.decoder.query_decoder import DecoderOutput
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction, MAHMR
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
from training.batch_truth import BatchTruth, packed
from training.crowdpose import CrowdPoseBody
from training.data.annotation import Ints
from training.denoising import (
    denoising_queries,
    DenoisingConfig,
    DenoisingDraw,
    DenoisingQueries,
)
from training.half_weights import HalfWeights
from training.joint_body import JointBody
from training.people import lenses_of, query_people, query_pixels, QueryPeople, stacked
from training.target import Target
from training.token_people import TokenHead, TokenPeople

POSE_AXIS_ANGLE = 24 * 3


@dataclass(frozen=True)
class TrainingOutput:
    """
    What the losses read of a batch of B pictures and L decoder layers.

    Rows are queries: first the learnt ones, B·Q, picture after picture, then those denoising
    queries that are somebody of the truth.
    """

    rows: LayerPrediction
    """(L, R, ...): every row before it is posed."""
    picture: Ints
    """(R,) whose row it is, on the host."""
    lens: Lens
    pose: Callable[[LayerPrediction, Lens], QueryPeople]
    project: Callable[[LayerPrediction, Lens], Tensor]
    """`joints_px` of `pose` alone."""
    queries: DenoisingQueries | None
    denoising_logits: Tensor | None
    """(L, B, D) confidences of all denoising queries before the sigmoid."""
    scale_logits: Tensor | None
    """(N, 2) the scale map of the packed cells before the sigmoid, or None in plain mode."""
    fov_rad: Tensor | None
    """(B,), or None without camera branch."""
    token_people: TokenPeople | None = None
    """What tokens say of people, where they are taught that."""

    @property
    def learnt(self) -> list[QueryPeople]:
        """(L,) of (B, Q, ...): every learnt query as a person; each access poses them anew."""
        people = self.posed(self.learnt_rows)
        pictures = len(self.lens.focal_xy_px)
        whole = people.each(lambda v: v.unflatten(0, (self.layers, pictures, -1)))
        return [whole.each(partial(torch.select, dim=0, index=i)) for i in range(self.layers)]

    @property
    def layers(self) -> int:
        """L."""
        return len(self.rows.confidence_logits)

    @property
    def learnt_rows(self) -> Ints:
        """(L, B·Q) the rows of learnt queries."""
        return np.tile(np.arange(len(self.picture) - self._positives), (self.layers, 1))

    @property
    def denoising_rows(self) -> Ints:
        """(L, M) the rows of denoising queries that are somebody, as in `queries.match`."""
        first = len(self.picture) - self._positives
        return np.tile(np.arange(first, len(self.picture)), (self.layers, 1))

    @property
    def _positives(self) -> int:
        return 0 if self.queries is None else len(self.queries.match.picture)

    def posed(self, rows: Ints) -> QueryPeople:
        """Pose chosen rows (L, M) of each layer in one go: (L·M, ...), layer after layer."""
        return self.pose(*self._chosen(rows))

    def pixels(self, rows: Ints) -> Tensor:
        """Return the joints of chosen rows (L, M) in the picture: (L·M, 45, 2)."""
        return self.project(*self._chosen(rows))

    def _chosen(self, rows: Ints) -> tuple[LayerPrediction, Lens]:
        """Return chosen rows (L, M) of each layer as (L·M, ...), and the lens of each."""
        first = np.arange(self.layers)[:, None] * len(self.picture)
        flat, picture = on_device(
            np.stack([(rows + first).ravel(), self.picture[rows].ravel()]), self.device
        )
        chosen = LayerPrediction(
            *(value.flatten(0, 1).index_select(0, flat) for value in vars(self.rows).values())
        )
        return chosen, lenses_of(self.lens, picture)

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.lens.focal_xy_px.device


class TrainingModel(nn.Module):
    """Holds the network that is trained; the network itself never sees a target."""

    pose: Callable[[LayerPrediction, Lens], QueryPeople]
    project: Callable[[LayerPrediction, Lens], Tensor]

    def __init__(
        self,
        network: MAHMR,
        body: BodyLayer | CrowdPoseBody,
        denoising: DenoisingConfig | None = None,
        *,
        teach_tokens: bool = False,
    ) -> None:
        super().__init__()
        sizes = network.config
        self.network = network
        self.body = JointBody(body) if isinstance(body, BodyLayer) else body
        self.denoising = denoising
        if denoising is not None:
            self.dn_enc = nn.Linear(
                POSE_AXIS_ANGLE + network.config.shapes, network.config.hidden_dim
            )
        self.token_head = TokenHead(sizes.encoder_dim, sizes.input_size) if teach_tokens else None
        self._half_weights = HalfWeights(self)
        self.pose = partial(query_people, body=self.body, input_size=sizes.input_size)
        self.project = partial(query_pixels, body=self.body, input_size=sizes.input_size)

    def forward(
        self,
        images: Sequence[Tensor],
        targets: Sequence[Target] | BatchTruth,
        *,
        use_true_scale_map: bool = False,
        draw: DenoisingDraw | None = None,
    ) -> TrainingOutput:
        """
        Predict from normalised, padded pictures (3, H, W), every decoder layer.

        `use_true_scale_map` chooses the tokens by the truth instead of the predicted map;
        `draw` makes the denoising queries those of a larger step. In mixed precision the linear
        layers' weights are cast once and together.
        """
        device_type = self.network.mean_pose.device.type
        truth = packed(targets)
        options: dict[str, Any] = {
            'use_true_scale_map': use_true_scale_map,
            'draw': draw,
        }
        if not torch.is_autocast_enabled(device_type):
            return self._forward(images, truth, **options)
        dtype = torch.get_autocast_dtype(device_type)
        with self._half_weights(dtype):
            return self._forward(images, truth, **options)

    def _forward(
        self,
        images: Sequence[Tensor],
        truth: BatchTruth,
        *,
        use_true_scale_map: bool,
        draw: DenoisingDraw | None,
    ) -> TrainingOutput:
        network = self.network
        coarse, tokens = network.encode(images, truth.scale_map if use_true_scale_map else None)
        fov_rad = network.camera_branch(tokens)
        memory, memory_position = network.memory(tokens)
        content, box_logits = network.learnt_queries(len(images))

        queries = None
        if self.denoising is not None and self.training:
            queries = denoising_queries(truth, self.dn_enc, self.denoising, draw)
            if queries is None:  # yet processes wait for a gradient of every parameter
                nothing = torch.stack([p.sum() for p in self.dn_enc.parameters()]).sum() * 0
                content = content + nothing
        mask, first_learnt = None, 0
        if queries is not None:
            first_learnt = queries.content.shape[1]
            mask = queries.attention_mask(content.shape[1])
            content = torch.cat([queries.content, content], dim=1)
            box_logits = torch.cat([queries.box_logits, box_logits], dim=1)
        decoded = network.decode(
            content, box_logits, memory, memory_position, tokens.lengths, mask
        )
        sizes, size = truth.sizes_hw, network.config.input_size
        rows, picture = _rows(len(images), first_learnt, content.shape[1], queries)
        chosen = on_device(rows, memory.device)
        return TrainingOutput(
            stacked(network.heads(_chosen(decoded, chosen), all_layers=True)),
            picture,
            Lens.assumed(sizes, size, fov_rad).to(memory.device),
            self.pose,
            self.project,
            queries,
            self._denoising_logits(decoded, first_learnt) if queries is not None else None,
            None if coarse is None else coarse.scale_logits,
            fov_rad,
            None if self.token_head is None else self.token_head(tokens),
        )

    def _denoising_logits(self, decoded: DecoderOutput, count: int) -> Tensor:
        hidden = torch.stack([hidden[:, :count] for hidden in decoded.hidden])
        logits: Tensor = self.network.conf_head(hidden)[..., 0].float()
        return logits


def _rows(
    pictures: int, first_learnt: int, count: int, queries: DenoisingQueries | None
) -> tuple[Ints, Ints]:
    """Return which of the B·(D + Q) queries are rows of the output, and their pictures."""
    numbers = np.arange(pictures)[:, None] * count + np.arange(first_learnt, count)
    rows, picture = numbers.ravel(), np.repeat(np.arange(pictures), count - first_learnt)
    if queries is None:
        return rows, picture
    match = queries.match
    positives = match.picture * count + match.query[0]
    return np.concatenate([rows, positives]), np.concatenate([picture, match.picture])


def _chosen(decoded: DecoderOutput, rows: Tensor) -> DecoderOutput:
    """Return some of the queries (B, Q, ...) of every layer, as rows (R, ...)."""
    return DecoderOutput(
        *(
            [value.flatten(0, 1).index_select(0, rows) for value in layers]
            for layers in (decoded.hidden, decoded.boxes_cxcywh_norm)
        )
    )
