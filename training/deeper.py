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
Networks that start from shallower ones: what is new says nothing at first, so nothing is lost.

So a network can be trained on with more blocks or layers (Net2Net, arXiv 1511.05641).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from mahmr_model.decoder.layer import DecoderLayer
from mahmr_model.encoder.vit import Block
from mahmr_model.mlp import MLP
from mahmr_model.network import MAHMR
import torch
from torch import nn

_TOGETHER = (
    ('encoder.blocks.',),
    (
        'decoder.decoder.layers.',
        'decoder.decoder.bbox_embed.',
        'bbox_embed.',
        'pose_head.',
        'shape_head.',
    ),
)
"""Blocks; layers, and the heads of each layer, which add to what the layer before has said."""


@torch.no_grad()
def deepen(network: MAHMR, file_names: Collection[str]) -> tuple[str, ...]:
    """
    Silence the blocks and layers of a network that a file of weights, which holds fewer, lacks.

    Returns what the names of their parameters begin with.
    """
    new = tuple(_beyond(network, file_names))
    for prefix in new:
        _silence(network.get_submodule(prefix.removesuffix('.')))
    return new


def _beyond(network: MAHMR, file_names: Collection[str]) -> Iterator[str]:
    for prefixes in _TOGETHER:
        numbers = {
            prefix: {
                name.removeprefix(prefix).split('.')[0]
                for name in file_names
                if name.startswith(prefix)
            }
            for prefix in prefixes
        }
        depths = {len(held) for held in numbers.values() if held}  # box heads may have one name
        if len(depths) == 1:  # else something is missing, not shallower
            wanted = len(list(network.get_submodule(prefixes[0].removesuffix('.')).children()))
            for place in range(depths.pop(), wanted):
                yield from (f'{prefix}{place}.' for prefix in prefixes)


def _silence(part: nn.Module) -> None:
    """Let a residual part add nothing; it learns to from its first step on."""
    if isinstance(part, Block):
        for scale in (part.ls1, part.ls2):
            nn.init.zeros_(scale.gamma)
        return
    assert isinstance(part, (DecoderLayer, MLP))
    last = (
        (part.last,)
        if isinstance(part, MLP)
        else (part.sa_out_proj, part.ca_out_proj, part.linear2)
    )
    for linear in last:
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
