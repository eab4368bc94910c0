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
Networks that start from smaller ones: what is new says nothing at first, so nothing is lost.

So a network can be trained on with more blocks, more layers or a wider encoder (Net2Net, arXiv
1511.05641).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
import math
import re

from mahmr_model.checkpoint import State
from mahmr_model.decoder.layer import DecoderLayer
from mahmr_model.encoder.vit import Block
from mahmr_model.errors import UserError
from mahmr_model.mlp import MLP
from mahmr_model.network import MAHMR
import torch
from torch import nn, Tensor

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

_OF_ENCODER = ('encoder', 'enc_inter_norm.', 'scale_head.', 'fov_head.', 'feature_proj.weight')
_TABLES = ('encoder_pos_embeds', 'encoder_cr_token')
"""Their last axis is of channels."""
_WRITES = re.compile(r'attn\.proj\.|mlp\.fc2\.|encoder_patch_proj\.')
"""What adds to the encoder's channels, which are its first axis."""
_SCALES = {'attn.proj.': 'ls1.gamma', 'mlp.fc2.': 'ls2.gamma'}
"""By what is that multiplied, channel by channel; that of new channels is 1."""
_NORM_WEIGHT = re.compile(r'norm\d?\.weight$')
_READS_UNITS = re.compile(r'(scale_head\.layers\.[1-9]\d*|fov_head\.layers\.\d+)\.weight$')
"""Layers that read new units, or channels that no norm has gone over."""


def grow(network: MAHMR, state: State, source: str) -> tuple[State, tuple[str, ...]]:
    """
    Make a file's weights fit a network that has more blocks and layers, or a wider encoder.

    Returns them, and what the names of parameters begin with that are new and silent. `source`
    names the file in errors.
    """
    return _widened(network, state, source), _deepened(network, state)


@torch.no_grad()
def _deepened(network: MAHMR, file_names: Collection[str]) -> tuple[str, ...]:
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


@torch.no_grad()
def _widened(network: MAHMR, state: State, source: str) -> State:
    """
    Return weights for a wider encoder; tensors do not tell how wide heads are: the network's are.

    A token's new channels hold the mean of the others, which norms take away: they come out as 0
    and are read by all. New heads and units say something and are read by none. So all of them can
    learn. Only a group of four cells is a little different: the maximum of means is no mean.
    """
    own, token = network.state_dict(), state.get('encoder_cr_token')
    wide = network.config.encoder_dim
    if token is None or token.ndim != 2 or token.shape[1] >= wide:
        return state
    narrow = token.shape[1]
    head = wide // network.config.encoder_heads
    if narrow % head:
        raise UserError(
            f'{source} has an encoder of {narrow} channels, which are no heads of {head} as in a '
            f'network of {wide} with {network.config.encoder_heads} heads; choose '
            'model.encoder_heads so that heads are as wide as those of the file.'
        )
    return {
        name: _placed(name, value, own[name], state)
        if name.startswith(_OF_ENCODER) and name in own and _fits(value, own[name], narrow, wide)
        else value  # who loads it says what is wrong with it
        for name, value in state.items()
    }


def _fits(value: Tensor, new: Tensor, narrow: int, wide: int) -> bool:
    """Say whether every axis is as long as before, or as much longer as the encoder is wider."""
    if value.ndim != new.ndim:
        return False
    if value.ndim == 3:  # positions, of any input size
        return value.shape[2] == narrow
    return all(a in (b, b * narrow // wide) for a, b in zip(value.shape, new.shape, strict=True))


def _placed(name: str, value: Tensor, new: Tensor, state: State) -> Tensor:
    """Return a new network's parameter with a smaller one of a file in its place."""
    value = value.to(new.dtype)
    if name in _TABLES:
        return _with_more(value, value.mean(-1, keepdim=True), new.shape[-1], -1)
    if '.qkv.' in name:  # queries, keys and values one below the other
        parts = zip(value.chunk(3), new.chunk(3), strict=True)
        return torch.cat([_within(narrow, wide.clone()) for narrow, wide in parts])
    if _NORM_WEIGHT.search(name):
        usual = torch.full_like(new, float(value.mean()))
        return _within(value, usual) * math.sqrt(len(value) / len(new))
    if part := _WRITES.search(name):
        added = value
        if part.group() in _SCALES:
            scale = state[name[: part.start()] + _SCALES[part.group()]]
            added = value * scale.view(-1, *[1] * (value.ndim - 1))
        written = _with_more(value, added.mean(0, keepdim=True), len(new), 0)
        return _within(written, torch.zeros_like(new))
    wide = new.clone()
    if _READS_UNITS.search(name):
        old, units = value.shape
        wide[:old, units:] = 0
    return _within(value, wide)


def _with_more(value: Tensor, one: Tensor, size: int, axis: int) -> Tensor:
    """Put as many copies of `one` behind a value as make an axis so long."""
    return torch.cat([value, *[one] * (size - value.shape[axis])], dim=axis)


def _within(value: Tensor, wide: Tensor) -> Tensor:
    """Put a value at the beginning of a wider one's axes."""
    wide[tuple(slice(size) for size in value.shape)] = value
    return wide
