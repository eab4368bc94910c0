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

"""What is measured: networks with random weights, a picture, and scale maps made to order."""

from __future__ import annotations

import math

from mahmr_model.body.data import BodyData, load_body, OPEN_BODY
from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.mlp import MLP
from mahmr_model.types import ImageArray
from mahmr_model.untrained import SEED, untrained_network
from mahmr_model.weights import LoadedModel
import numpy as np
import torch
from torch import nn, Tensor

SIZES = {
    'official': ModelConfig(),
    'open': ModelConfig(
        input_size=392,
        encoder_dim=384,
        encoder_depth=10,
        encoder_heads=6,
        hidden_dim=192,
        decoder_layers=3,
        feedforward_dim=512,
        queries=24,
    ),
    'medium': ModelConfig(
        input_size=560,
        encoder_dim=384,
        encoder_depth=9,
        encoder_heads=6,
        hidden_dim=256,
        decoder_layers=4,
        feedforward_dim=1024,
    ),
}
"""The published network, the one whose weights are shipped, and one between them."""
PICTURES = {'official': (724, 1288), 'open': (576, 768), 'medium': (576, 768)}
"""Height and width of the picture that each of them is measured with."""


def random_model(config: ModelConfig, body: BodyData | None = None) -> LoadedModel:
    """
    Make a network with random weights that pass on what they get, the same every time.

    Inner matrices have the deviation 1/√inputs, so that differences between tokens, and errors,
    are as large at the end as at the start; heads are scaled so that people stand in front of
    the camera.
    """
    body = load_body(OPEN_BODY) if body is None else body
    network = untrained_network(body, config=config)
    generator = torch.Generator().manual_seed(SEED)
    factors = {'pose_head': 0.3, 'shape_head': 0.3, 'cam_head': 0.3, 'fov_head': 0.05}
    last_layers: dict[nn.Module, float] = {
        module.last: factors.get(name.split('.')[0], 1.0)
        for name, module in network.named_modules()
        if isinstance(module, MLP)
    }
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                weight = module.weight
                noise = torch.randn(weight.shape, generator=generator)
                factor = last_layers.get(module, 1.0) / math.sqrt(weight[0].numel())
                weight.copy_(factor * noise)
    return LoadedModel(network, body, 'random weights', True)


def random_picture(height: int, width: int, seed: int = 0) -> ImageArray:
    """Return a picture of coloured blocks under noise: neither flat nor noise alone."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 200, (-(-height // 40), -(-width // 40), 3))
    large = np.kron(blocks, np.ones((40, 40, 1), np.int64))[:height, :width]
    return (large + generator.integers(0, 56, large.shape)).astype(np.uint8)


def scale_map_for(tokens: int, cells: int, config: ModelConfig) -> tuple[Tensor, int]:
    """
    Return a scale map (1, cells, 2) that makes about so many tokens, and how many it makes.

    As where people are small: (nearly) every cell in which somebody is becomes fine. The groups
    of cells with people are spread evenly. The camera token does not count.
    """
    groups = cells // 4 if config.levels == 3 else 0
    least, most = (groups or cells), 4 * cells
    if not least <= tokens <= most:
        raise UserError(
            f'Pictures of this size have from {least} to {most} tokens; {tokens} cannot be made.'
        )
    steps = round((tokens - least) / 3)  # a group with people, and a fine cell, add three each
    with_people = -(-steps // 5) if groups else cells // 4
    fine = min(steps - with_people if groups else steps, 4 * with_people)
    chosen = np.linspace(0, cells // 4, with_people, endpoint=False).astype(int)
    scale_map = torch.zeros(cells, 2)
    inside = torch.from_numpy((4 * chosen[:, None] + np.arange(4)).ravel())
    scale_map[inside] = torch.tensor([1.0, 1.0])
    scale_map[inside[:fine], 1] = 0.0
    made = least + 3 * ((with_people if groups else 0) + fine)
    return scale_map[None], made
