"""The training model: the inference network, with what only training needs around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import MAHMR
from training.crowdpose import CrowdPoseBody
from training.denoising import (
    denoising_queries,
    DenoisingConfig,
    DenoisingDraw,
    DenoisingQueries,
)
from training.people import query_people, QueryPeople
from training.target import Target

POSE_AXIS_ANGLE = 24 * 3


@dataclass(frozen=True)
class TrainingOutput:
    """What the losses read of a batch; lists have an entry a decoder layer."""

    learnt: list[QueryPeople]
    denoising: list[QueryPeople]
    """Empty without denoising queries."""
    queries: DenoisingQueries | None
    scale_logits: Tensor | None
    """(N, 2) the scale map of the packed cells before the sigmoid, or None in plain mode."""
    fov_rad: Tensor | None
    """(B,), or None without camera branch."""


class TrainingModel(nn.Module):
    """Holds the network that is trained; the network itself never sees a target."""

    def __init__(
        self,
        network: MAHMR,
        body: BodyLayer | CrowdPoseBody,
        denoising: DenoisingConfig | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.body = body.joints_only()
        self.denoising = denoising
        if denoising is not None:
            self.dn_enc = nn.Linear(
                POSE_AXIS_ANGLE + network.config.shapes, network.config.hidden_dim
            )

    def forward(
        self,
        images: Sequence[Tensor],
        targets: Sequence[Target],
        *,
        use_true_scale_map: bool = False,
        draw: DenoisingDraw | None = None,
    ) -> TrainingOutput:
        """
        Predict from normalised, padded pictures (3, H, W), every decoder layer.

        `use_true_scale_map` chooses the tokens by the truth instead of the predicted map;
        `draw` makes the denoising queries those of a larger step.
        """
        network = self.network
        true_map = torch.cat([t.scale_map for t in targets]) if use_true_scale_map else None
        coarse, tokens = network.encode(images, true_map)
        fov_rad = network.camera_branch(tokens)
        memory, memory_position = network.memory(tokens)
        content, box_logits = network.learnt_queries(len(images))

        queries = None
        if self.denoising is not None and self.training:
            queries = denoising_queries(targets, self.dn_enc, self.denoising, draw)
        mask, first_learnt = None, 0
        if queries is not None:
            first_learnt = queries.content.shape[1]
            mask = queries.attention_mask(content.shape[1])
            content = torch.cat([queries.content, content], dim=1)
            box_logits = torch.cat([queries.box_logits, box_logits], dim=1)
        decoded = network.decode(
            content, box_logits, memory, memory_position, tokens.lengths, mask
        )
        lens = Lens.assumed(
            [target.size_hw for target in targets], network.config.input_size, fov_rad
        ).to(memory.device)
        layers = [
            query_people(layer, self.body, lens, network.config.input_size)
            for layer in network.heads(decoded, all_layers=True)
        ]
        return TrainingOutput(
            [people.part(slice(first_learnt, None)) for people in layers],
            [people.part(slice(first_learnt)) for people in layers] if queries else [],
            queries,
            None if coarse is None else coarse.scale_logits,
            fov_rad,
        )
