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

"""A new network's first weights."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.encoder.sine import sine_code
from mahmr_model.mlp import MLP
from mahmr_model.network import MAHMR
import pytest
from tiny import MODEL
import torch
from training.recipe import new_network


@pytest.fixture
def network() -> MAHMR:
    torch.manual_seed(0)
    return new_network(replace(MODEL, hidden_dim=64), load_body(OPEN_BODY))


@torch.no_grad()
def test_queries_look_at_their_boxes_first(network: MAHMR) -> None:
    """In every layer the place of a box agrees best with the same place of the picture."""
    decoder = network.decoder['decoder']
    steps = (torch.arange(8) + 0.5) / 8
    grid = torch.cartesian_prod(steps, steps)
    memory_position = sine_code(grid, network.omega)
    boxes = torch.cat([grid, torch.full_like(grid, 0.3)], dim=1)[None]
    content = network.tgt_embed.weight[:1].expand(1, len(grid), -1)
    for index, layer in enumerate(decoder.layers):
        _, sine = decoder.query_codes(content, boxes, first=index == 0)
        agreement = layer.ca_qpos_sine_proj(sine)[0] @ layer.ca_kpos_proj(memory_position).T
        away = (grid[agreement.argmax(1)] - grid).abs().amax(1)
        assert (away < 0.2).float().mean() > 0.9


@torch.no_grad()
def test_places_can_be_told_apart_beside_patches(network: MAHMR) -> None:
    """Position embeddings are about as strong as the patches of a picture."""
    patches = torch.randn(100, 3 * 14 * 14)
    convolution = network.encoder_patch_proj.get_submodule('0')
    features = patches @ convolution.get_parameter('weight').flatten(1).T
    assert 0.5 < network.encoder_pos_embeds.std() / features.std() < 2
    places = torch.nn.functional.normalize(network.encoder_pos_embeds, dim=-1)
    assert (places[1:] * places[:-1]).sum(-1).max() < 0.98  # neighbours, too
    assert (places[:, 1:] * places[:, :-1]).sum(-1).max() < 0.98


@torch.no_grad()
def test_heads_keep_the_strength_of_their_input(network: MAHMR) -> None:
    """Six layers with torch's weights would leave a hundredth of it."""
    head = network.pose_head[0]
    assert isinstance(head, MLP)
    x = torch.randn(200, 64)
    for layer in head.layers[:-1]:
        x = layer(x).relu()
    assert 0.2 < (x - x.mean(0)).std() < 5
    assert head(torch.randn(200, 64)).std(0).max() < 0.5  # but poses are the mean one
