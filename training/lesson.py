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
What recorded steps train, and its losses: steps of one shape, in which the host decides nothing.

Every token learns of the person it shows, the coarse pass where people are and how large, the
camera token the lens, and queries, where they have losses, of people (`people_lesson`).
"""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.body.data import BodyData
from mahmr_model.body.layer import BodyLayer
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.network import LayerPrediction
import torch
from torch import nn, Tensor
from training.config import MAP_LOSSES, RunConfig, TOKEN_LOSSES
from training.half_weights import HalfWeights
from training.losses.losses import cell_losses, fov_errors
from training.people_lesson import PeopleLesson
from training.recipe import begin, encoder_names, new_network
from training.scene_pool import PoolPictures
from training.static_encoder import StaticEncoder, StaticEncoding
from training.token_people import (
    depths_of_tokens,
    parts_of_tokens,
    people_of_tokens,
    token_errors,
    TokenHead,
    TokenTruth,
)

ENCODER_LOSSES = (*MAP_LOSSES, *TOKEN_LOSSES, 'fov')


class Lesson(nn.Module):
    """The network, or its encoder alone, and its losses on pictures of one shape."""

    weights: Tensor
    left_out: Tensor
    """Pictures so far that had no place among the encoder's rows."""

    def __init__(self, config: RunConfig, body: BodyData, pictures: int) -> None:
        """Take a run and how many pictures a step has; queries learn where they have losses."""
        super().__init__()
        sizes = config.model
        self.network = new_network(sizes, body)
        self.token_head = TokenHead(sizes.encoder_dim, sizes.input_size)
        self.names: tuple[str, ...] = ENCODER_LOSSES
        self.people: PeopleLesson | None = None
        if config.query_losses:
            names = [name for name in config.query_losses if name != 'confs']
            layer = BodyLayer(body, kid=sizes.shapes == 11)
            self.people = PeopleLesson(layer, names, sizes.input_size)
            self.names += ('confs', *names)
        else:
            encoder = encoder_names(self.network)
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad_(name in encoder)
        self.token_head.requires_grad_(config.teaches_tokens)
        self._half_weights = HalfWeights(self)
        self._precision = torch.bfloat16 if config.mixed_precision == 'bf16' else torch.float32
        self._encoder = StaticEncoder(sizes, pictures)
        weights = [config.losses[name] for name in self.names]
        self.register_buffer('weights', torch.tensor(weights), persistent=False)
        self.register_buffer('left_out', torch.zeros(()), persistent=False)

    def forward(self, pictures: PoolPictures) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses, and these one by one as `names` says."""
        device = self.weights.device.type
        half = self._precision != torch.float32
        with torch.autocast(device, self._precision, enabled=half, cache_enabled=False):
            if not half:
                losses = self._losses(pictures)
            else:
                with self._half_weights(self._precision):
                    losses = self._losses(pictures)
        return (losses * self.weights).sum(), losses.detach()

    def _losses(self, pictures: PoolPictures) -> Tensor:
        network = self.network
        encoding = self._encoder(network, pictures.images.float(), pictures.size_hw)
        tokens = encoding.tokens
        fov_rad = network.camera_branch(tokens)
        assert fov_rad is not None
        layers = [] if self.people is None else self._decoded(tokens, len(fov_rad))
        scale_map = pictures.scale_map.flatten(0, 1).float()
        with torch.autocast(fov_rad.device.type, enabled=False):
            losses = cell_losses(encoding.scale_logits, scale_map, encoding.inside)
            losses |= self.token_losses(encoding, pictures)
            # The mean of pictures, in place of their sum.
            seen = encoding.seen
            self.left_out += (~seen).sum()
            errors = torch.where(seen, fov_errors(fov_rad, pictures.fov_rad), 0)
            losses['fov'] = errors.sum() / seen.sum().clamp(min=1)
            if self.people is not None:
                losses |= self.people(layers, fov_rad, pictures, seen)
        return torch.stack([losses[name] for name in self.names])

    def _decoded(self, tokens: Tokens, pictures: int) -> list[LayerPrediction]:
        network = self.network
        memory, position = network.memory(tokens)
        content, box_logits = network.learnt_queries(pictures)
        decoded = network.decode(content, box_logits, memory, position, tokens.lengths)
        return network.heads(decoded, all_layers=True)

    def token_losses(self, encoding: StaticEncoding, pictures: PoolPictures) -> dict[str, Tensor]:
        """Return the mean errors of tokens that show somebody, or near whom somebody is seen."""
        tokens, picture = encoding.tokens, encoding.picture
        said = self.token_head(replace(tokens, features=tokens.features.float()), picture)
        person = people_of_tokens(said, pictures.person_map)
        shown, place = encoding.real & (person >= 0), (picture, person.clamp(min=0))
        parts = parts_of_tokens(said, pictures.part_map) * encoding.real[:, None]
        depths_m = depths_of_tokens(said, pictures.depth_map)
        depths_m = torch.where(encoding.real[:, None], depths_m, torch.inf)
        joints = pictures.joints_px[place], pictures.joints_m[place]
        true = TokenTruth(shown, *joints, parts, depths_m)
        shown_count, near_count = (some.sum().clamp(min=1) for some in (shown, true.near))
        size = self.network.config.input_size
        return token_errors(said, true, shown_count, near_count, size)


def new_lesson(config: RunConfig, body: BodyData) -> Lesson:
    """Return a run's lesson with the weights that it starts from, the same in every process."""
    torch.manual_seed(config.training.seed)
    lesson = Lesson(config, body, config.training.batch_size)
    begin(lesson, config)
    return lesson
