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
from mahmr_model.encoder.cells import Cells
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.network import LayerPrediction
from mahmr_model.preprocess import StackedImages
import torch
from torch import nn, Tensor
from training.config import MAP_LOSSES, RunConfig, TOKEN_LOSSES
from training.even_tokens import EvenSelection
from training.half_weights import HalfWeights
from training.losses.losses import cell_losses, fov_errors
from training.people_lesson import PeopleLesson
from training.recipe import begin, encoder_names, new_network
from training.scene_pool import PoolPictures
from training.token_people import STRIDE_PX, token_errors, TokenHead, TokenPeople

ENCODER_LOSSES = (*MAP_LOSSES, *TOKEN_LOSSES, 'fov')


class Lesson(nn.Module):
    """The network, or its encoder alone, and its losses on pictures of one shape."""

    weights: Tensor
    picture: Tensor

    def __init__(self, config: RunConfig, body: BodyData, pictures: int) -> None:
        """Take a run and how many pictures a step has; queries learn where they have losses."""
        super().__init__()
        sizes = config.model
        self.network = new_network(sizes, body)
        self.token_head = TokenHead(sizes.encoder_dim, sizes.input_size)
        self.names: tuple[str, ...] = ENCODER_LOSSES
        self.people: PeopleLesson | None = None
        if config.query_losses:
            names = [name for name in config.matched_losses if config.losses[name]]
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
        self._selection = EvenSelection(pictures, sizes.grid(1) ** 2)
        weights = [config.losses[name] for name in self.names]
        self.register_buffer('weights', torch.tensor(weights), persistent=False)
        tokens = torch.arange(pictures).repeat_interleave(self._selection.tokens)
        self.register_buffer('picture', tokens, persistent=False)
        self._cells: Cells | None = None

    def forward(self, pictures: PoolPictures) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses, and these one by one as `names` says."""
        device = self.picture.device.type
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
        images = pictures.images.float()
        size = (network.config.input_size,) * 2
        stacked = StackedImages(images, [size] * len(images))
        coarse = network.coarse_pass(stacked, self.cells(stacked))
        selection = self._selection(coarse.scale_map, network.config.presence_threshold)
        fine, fine_yx = network.fine_pass(stacked, coarse.cells, selection)
        tokens = network.merge(coarse, selection, fine, fine_yx)
        fov_rad = network.camera_branch(tokens)
        assert fov_rad is not None
        layers = [] if self.people is None else self._decoded(tokens, len(images))
        scale_map = pictures.scale_map.flatten(0, 1).float()
        with torch.autocast(self.picture.device.type, enabled=False):
            tokens = replace(tokens, features=tokens.features.float())
            losses = cell_losses(
                coarse.scale_logits, scale_map, torch.ones_like(scale_map[:, 0], dtype=torch.bool)
            )
            losses |= self._token_losses(self.token_head(tokens, self.picture), pictures)
            # The mean of pictures, in place of their sum.
            losses['fov'] = fov_errors(fov_rad, pictures.fov_rad).mean()
            if self.people is not None:
                losses |= self.people(layers, fov_rad, pictures)
        return torch.stack([losses[name] for name in self.names])

    def _decoded(self, tokens: Tokens, pictures: int) -> list[LayerPrediction]:
        network = self.network
        memory, position = network.memory(tokens)
        content, box_logits = network.learnt_queries(pictures)
        decoded = network.decode(content, box_logits, memory, position, tokens.lengths)
        return network.heads(decoded, all_layers=True)

    def cells(self, images: StackedImages) -> Cells:
        """Return the cells of all pictures, which are the same in every step."""
        if self._cells is None:
            self._cells = self.network.cells(images)
        return self._cells

    def _token_losses(self, said: TokenPeople, pictures: PoolPictures) -> dict[str, Tensor]:
        """Return the mean errors of tokens that show somebody."""
        column, row = (said.centres_px / STRIDE_PX).round().long().unbind(1)
        person = pictures.person_map[self.picture, row, column].long()
        shown, place = person >= 0, (self.picture, person.clamp(min=0))
        joints_px, joints_m = pictures.joints_px[place], pictures.joints_m[place]
        count = shown.sum().clamp(min=1)
        size = self.network.config.input_size
        return token_errors(said, joints_px, joints_m, shown, count, size)


def new_lesson(config: RunConfig, body: BodyData) -> Lesson:
    """Return a run's lesson with the weights that it starts from, the same in every process."""
    torch.manual_seed(config.training.seed)
    lesson = Lesson(config, body, config.training.batch_size)
    begin(lesson, config)
    return lesson
