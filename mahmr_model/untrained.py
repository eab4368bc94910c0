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

"""A small network with fixed random weights: it shows that all works, and knows nothing."""

from __future__ import annotations

import math

from mahmr_model.body.data import BodyData
from mahmr_model.config import ModelConfig
from mahmr_model.mlp import MLP
from mahmr_model.network import MAHMR
import torch

SEED = 5
CONFIG = ModelConfig(
    input_size=448,
    encoder_dim=192,
    encoder_depth=6,
    encoder_heads=3,
    hidden_dim=192,
    decoder_layers=3,
    feedforward_dim=384,
    queries=12,
)


def untrained_network(
    body: BodyData, input_size: int | None = None, config: ModelConfig = CONFIG
) -> MAHMR:
    """
    Build the network on a body, of this small size or another; the same weights every time.

    The last layers are scaled so that some people stand a few metres away in roughly the
    body's mean pose, and every token level occurs: its results look like results, and every
    part of the way from picture to mesh is in use.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = MAHMR(
            config.with_input_size(input_size),
            None if body.mean_pose is None else torch.from_numpy(body.mean_pose),
            None if body.mean_shape is None else torch.from_numpy(body.mean_shape),
        )
        scales = {'pose_head': 0.5, 'shape_head': 5.0, 'bbox_embed': 1.0, 'scale_head': 40.0}
        with torch.no_grad():
            for name, module in network.named_modules():
                if isinstance(module, MLP):
                    factor = scales.get(name.split('.')[0], 1.0)
                    module.last.weight.normal_(0, factor / math.sqrt(module.last.in_features))
            network.cam_head.last.weight.mul_(torch.tensor([[3.0], [1.0], [4.0]]))
            network.cam_head.last.bias.copy_(torch.tensor([0.0, 0.0, -1.7]))
            network.conf_head.weight.normal_(0, 1 / math.sqrt(network.config.hidden_dim))
            network.conf_head.bias.fill_(-1.2)
            network.fov_head.last.weight.mul_(0.1)
            network.fov_head.last.bias.fill_(0.8)
    return network
