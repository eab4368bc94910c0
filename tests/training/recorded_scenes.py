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

"""A tiny run of recorded steps, and what its tests make of rendered scenes."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.network import MAHMR
from tiny import MODEL, tiny_model
import torch
from torch import Tensor
from training.batches import DeviceBatch
from training.config import DataSource, load_config, RunConfig
from training.scene_pool import PoolPictures, ScenePool

CPU = torch.device('cpu')
BODY = load_body(OPEN_BODY)
SIZES = replace(MODEL, input_size=224, shapes=11)


def config_of_tiny() -> RunConfig:
    config = replace(load_config('open_0'), model=SIZES, mixed_precision='no')
    scenes = DataSource('scenes', 'train', count=1000)
    return replace(config, data=replace(config.data, training=(scenes,), workers=0))


def pool_of(rendered: DeviceBatch, network: MAHMR) -> PoolPictures:
    pool = ScenePool(SIZES, len(rendered.images), CPU)
    pool.put(rendered, network.cells(rendered.images).yx)
    return pool.pictures


def without_border(pictures: PoolPictures) -> list[Tensor]:
    """Return pictures as the network takes them, padded to multiples of 56."""
    sizes = [(-(-int(h) // 56) * 56, -(-int(w) // 56) * 56) for h, w in pictures.size_hw]
    images = pictures.images.float()
    return [one[:, :h, :w] for one, (h, w) in zip(images, sizes, strict=True)]


def network_of_all_levels(rendered: DeviceBatch) -> MAHMR:
    """Give a random network with a map that says "somebody" and "small" in some places."""
    torch.manual_seed(0)
    network = tiny_model(config_of_tiny()).network
    with torch.no_grad():
        network.scale_head.last.weight.mul_(30)
        presence, size = network.coarse_pass(rendered.images).scale_logits.unbind(1)
        network.scale_head.last.bias.sub_(torch.stack([presence.quantile(0.8), size.median()]))
        network.scale_head.last.bias[0] += torch.tensor(SIZES.presence_threshold).logit()
    return network
