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
MA-HMR (arXiv 2511.13282): every person of a picture as a metric body, in five steps.

Built on SAT-HMR (arXiv 2411.19824), DAB-DETR (arXiv 2201.12329) and DINOv2 (arXiv 2304.07193).
Parameters have the names of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

from mahmr_model.config import ModelConfig
from mahmr_model.decoder.query_decoder import DecoderOutput, QueryDecoder
from mahmr_model.encoder.attention import Lengths
from mahmr_model.encoder.encoder import CoarsePass, ImageEncoder
from mahmr_model.encoder.sine import frequencies, sine_code
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.geometry.placement import assumed_focal_px
from mahmr_model.mlp import MLP
import torch
from torch import nn, Tensor

POSE_6D = 24 * 6
MIN_FOV_RAD = 0.08


@dataclass(frozen=True)
class LayerPrediction:
    """What one decoder layer says of every query."""

    pose_6d: Tensor
    """(B, Q, 144) 24 rotations of 6 numbers; `rotation_from_6d` reads them."""
    betas: Tensor
    """(B, Q, S)."""
    boxes_cxcywh_norm: Tensor
    """(B, Q, 4) relative to S."""
    confidence_logits: Tensor
    """(B, Q)."""
    camera_abc: Tensor
    """(B, Q, 3) weak-perspective camera; `translation_m` reads it."""


@dataclass(frozen=True)
class NetworkOutput:
    """What the network says of a batch of B pictures."""

    layers: list[LayerPrediction]
    """The last layer's, or every layer's where that was asked for (the last one is the result)."""
    fov_rad: Tensor | None
    """(B,) the vertical angle over each picture's height H', or None without a camera branch."""
    coarse: CoarsePass | None
    """Scale map and cells, or None in plain mode."""
    tokens: Tokens


class MAHMR(ImageEncoder):
    """
    The network without a body: pictures in, poses, shapes, boxes and cameras of Q queries out.

    `mean_pose` (144,) and `mean_shape` (10,) are where poses and shapes start from
    (`smpl_mean_params.npz`); a checkpoint brings its own.
    """

    cam_intrinsics: Tensor
    mean_pose: Tensor
    mean_shape: Tensor
    omega: Tensor

    def __init__(
        self,
        config: ModelConfig,
        mean_pose: Tensor | None = None,
        mean_shape: Tensor | None = None,
    ) -> None:
        super().__init__(config)
        d, layers = config.hidden_dim, config.decoder_layers
        if config.adaptive:
            self.level_embed = nn.Parameter(torch.randn(config.levels, d))
        self.feature_proj = nn.Linear(config.encoder_dim, d)
        self.tgt_embed = nn.Embedding(config.queries, d)
        self.refpoint_embed = nn.Embedding(config.queries, 4)
        self.bbox_embed = nn.ModuleList(MLP(d, d, 4, 3) for _ in range(layers))
        query_decoder = QueryDecoder(
            d, config.decoder_heads, config.feedforward_dim, layers, self.bbox_embed
        )
        self.decoder = nn.ModuleDict({'decoder': query_decoder})  # the published names have both
        self.pose_head = nn.ModuleList(MLP(d, d, POSE_6D, 6) for _ in range(layers))
        self.shape_head = nn.ModuleList(MLP(d, d, config.shapes, 5) for _ in range(layers))
        self.cam_head = MLP(d, d // 2, 3, 3)
        self.conf_head = nn.Linear(d, 1)
        if config.camera_branch:
            self.fov_head = MLP(config.encoder_dim, config.encoder_dim, 1, 4)
        self._register_constants(mean_pose, mean_shape)
        self._initialise()

    def _register_constants(self, mean_pose: Tensor | None, mean_shape: Tensor | None) -> None:
        size = self.config.input_size
        focal = assumed_focal_px(size)
        self.register_buffer(
            'cam_intrinsics',
            torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]),
        )
        if mean_pose is None:
            mean_pose = torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(24)
        if mean_shape is None:
            mean_shape = torch.zeros(10)
        missing = self.config.shapes - len(mean_shape)  # the kid axis starts from zero
        self.register_buffer('mean_pose', mean_pose.float().clone())
        self.register_buffer('mean_shape', nn.functional.pad(mean_shape.float(), (0, missing)))
        self.register_buffer('omega', frequencies(self.config.hidden_dim // 2), persistent=False)

    def _initialise(self) -> None:
        """Set the initial values that a new network wants; a checkpoint replaces them."""
        nn.init.constant_(self.conf_head.bias, -math.log(99))
        for head in self.bbox_embed:
            assert isinstance(head, MLP)
            nn.init.zeros_(head.last.weight)
            nn.init.zeros_(head.last.bias)
        if self.config.camera_branch:
            nn.init.xavier_uniform_(self.fov_head.last.weight, gain=0.1)
            nn.init.constant_(self.fov_head.last.bias, math.pi / 6)

    def forward(
        self,
        images: Sequence[Tensor],
        *,
        all_layers: bool = False,
        scale_map: Tensor | None = None,
    ) -> NetworkOutput:
        """
        Predict from normalised, padded pictures.

        images: float32 (3, H, W) each, of any sizes; sides multiples of
        `config.pad_multiple`, at most S. `all_layers` keeps every decoder layer's prediction;
        `scale_map` as in `encode`.
        """
        coarse, tokens = self.encode(images, scale_map)
        fov_rad = self.camera_branch(tokens)
        memory, memory_position = self.memory(tokens)
        content, box_logits = self.learnt_queries(len(images))
        decoded = self.decode(content, box_logits, memory, memory_position, tokens.lengths)
        return NetworkOutput(self.heads(decoded, all_layers=all_layers), fov_rad, coarse, tokens)

    def encode(
        self, images: Sequence[Tensor], scale_map: Tensor | None = None
    ) -> tuple[CoarsePass | None, Tokens]:
        """
        Turn pictures into tokens.

        `scale_map` (N, 2) of the packed cells takes the place of the predicted one in choosing
        the tokens.
        """
        if not self.config.adaptive:
            return None, self.encode_plain(images)
        coarse = self.coarse_pass(images)
        selection = self.select(coarse, scale_map)
        fine_features, fine_yx = self.fine_pass(images, coarse.cells, selection)
        return coarse, self.merge(coarse, selection, fine_features, fine_yx)

    def camera_branch(self, tokens: Tokens) -> Tensor | None:
        """Return the vertical field of view (B,) in radians, always in float32."""
        if not self.config.camera_branch:
            return None
        with torch.autocast(tokens.camera_tokens.device.type, enabled=False):
            fov: Tensor = self.fov_head(tokens.camera_tokens.float())[:, 0]
        return fov.clamp(min=MIN_FOV_RAD)

    def memory(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return what queries look at, and where it is: (T, d), (T, d)."""
        position = sine_code(tokens.centres_xy_norm, self.omega)
        if self.config.adaptive:
            position = position + nn.functional.embedding(tokens.levels, self.level_embed)
        return self.feature_proj(tokens.features), position

    def learnt_queries(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return content (B, Q, d) and boxes before the sigmoid (B, Q, 4)."""
        return (
            self.tgt_embed.weight.expand(batch, -1, -1),
            self.refpoint_embed.weight.expand(batch, -1, -1),
        )

    def decode(
        self,
        content: Tensor,
        box_logits: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        memory_lengths: Lengths,
        attention_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Run the query decoder; see `QueryDecoder.forward`."""
        return self.decoder['decoder'](
            content, box_logits, memory, memory_position, memory_lengths, attention_mask
        )

    def heads(self, decoded: DecoderOutput, *, all_layers: bool) -> list[LayerPrediction]:
        """
        Read people off the queries; pose and shape add up from layer to layer.

        Always in float32: in half precision the camera alone would cost a percent of depth.
        """
        with torch.autocast(self.mean_pose.device.type, enabled=False):
            return self._heads(decoded, all_layers=all_layers)

    def _heads(self, decoded: DecoderOutput, *, all_layers: bool) -> list[LayerPrediction]:
        pose, betas = self.mean_pose, self.mean_shape
        predictions: list[LayerPrediction] = []
        last = len(decoded.hidden) - 1
        for index, hidden in enumerate(decoded.hidden):
            queries = hidden.float()
            pose = pose + self.pose_head[index](queries)
            betas = betas + self.shape_head[index](queries)
            if all_layers or index == last:
                predictions.append(
                    LayerPrediction(
                        pose,
                        betas,
                        decoded.boxes_cxcywh_norm[index],
                        self.conf_head(queries)[..., 0],
                        self.cam_head(queries),
                    )
                )
        return predictions
