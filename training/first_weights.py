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
First weights of a network that nothing is loaded into, where they decide how fast it learns.

Published runs begin with weights that know pictures and people. In place of these, a new network
gets places that it can tell apart, and queries that look at where their boxes are.
"""

from __future__ import annotations

from mahmr_model.decoder.query_decoder import logit, QueryDecoder
from mahmr_model.encoder.sine import sine_code
from mahmr_model.mlp import MLP
from mahmr_model.network import MAHMR
import torch
from torch import nn

TYPICAL_BOX = (0.15, 0.35)
"""Sides of a person's box relative to the picture's, where learnt boxes start from."""
PLACE_TEMPERATURE = 10_000.0
"""The codes' periods are from 2π steps of the grid to so many times that."""
SMALL = 0.1
"""What the usual first weights of `SMALL_FIRST` are multiplied by."""
SMALL_FIRST = ('pose_head', 'shape_head', 'cam_head', 'scale_head', 'query_scale')
"""Whose output is nearly the same for everything at first: poses and shapes are the mean ones."""


@torch.no_grad()
def set_first_weights(network: MAHMR) -> None:
    """Set all first weights that differ from torch's."""
    _spread_boxes(network)
    _code_places(network)
    for name, module in network.named_modules():
        if isinstance(module, MLP):
            _keep_signal(module)
            if set(name.split('.')) & set(SMALL_FIRST):
                module.last.weight.mul_(SMALL)
        if isinstance(module, QueryDecoder):
            _look_at_own_box(module)


def _spread_boxes(network: MAHMR) -> None:
    """Let learnt boxes lie all over the picture: a query is near everybody from the beginning."""
    boxes = network.refpoint_embed.weight
    places = torch.empty_like(boxes[:, :2]).uniform_(0.02, 0.98)
    sides = torch.tensor(TYPICAL_BOX).expand_as(places)
    boxes.copy_(logit(torch.cat([places, sides], dim=1)))


def _code_places(network: MAHMR) -> None:
    """
    Let position embeddings begin as sine codes (arXiv 2205.01580), as strong as the patches.

    Random ones of the usual 0.02 say nothing beside patches, and it takes long until they do.
    """
    embeddings = network.encoder_pos_embeds
    rows, columns, channels = embeddings.shape
    pairs = torch.arange(channels // 2) // 2
    omega = PLACE_TEMPERATURE ** (-4 * pairs / channels)
    yx = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    embeddings.copy_(sine_code(yx.flip(1), omega).unflatten(0, (rows, columns)))


def _keep_signal(head: MLP) -> None:
    """
    Let hidden layers keep the strength of what they get (He et al., arXiv 1502.01852).

    With torch's weights six layers leave a hundredth of it, and of its gradient.
    """
    for layer in head.layers:
        if layer is not head.last:
            nn.init.kaiming_normal_(layer.get_parameter('weight'), nonlinearity='relu')
            nn.init.zeros_(layer.get_parameter('bias'))


def _look_at_own_box(decoder: QueryDecoder) -> None:
    """
    Let queries look at memory near their boxes.

    The codes of both places are turned by one rotation, so that they agree best where the places
    do; two random matrices would make every place as good as any other.
    """
    for layer in decoder.layers:
        query, key = (layer.get_submodule(f'ca_{n}_proj') for n in ('qpos_sine', 'kpos'))
        nn.init.orthogonal_(query.get_parameter('weight'))
        key.get_parameter('weight').copy_(query.get_parameter('weight'))
        nn.init.zeros_(query.get_parameter('bias'))
        nn.init.zeros_(key.get_parameter('bias'))
    nn.init.ones_(decoder.query_scale.last.bias)  # of the codes after the first layer
