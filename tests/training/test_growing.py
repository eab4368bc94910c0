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

"""A larger network goes on from what a smaller one says, and learns in its new parts too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mahmr_model.errors import UserError
from mahmr_model.network import NetworkOutput
import pytest
from tiny import MODEL, run_config, tiny_model
import torch
from torch import Tensor
from training.recipe import start_from
from training.train_model import TrainingModel

CONFIG = run_config()
WIDER = replace(MODEL, encoder_dim=48, encoder_heads=3, levels=2)
DEEPER = replace(MODEL, encoder_depth=MODEL.encoder_depth + 2, decoder_layers=4)


def weights(model: TrainingModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def said(model: TrainingModel) -> NetworkOutput:
    size = MODEL.input_size
    images = [torch.randn(3, size, size, generator=torch.Generator().manual_seed(1))]
    output: NetworkOutput = model.network(images, all_layers=True)
    return output


@pytest.mark.parametrize('one_name', [False, True])
def test_a_deeper_network_says_the_same_at_first(one_name: bool) -> None:
    shallow = tiny_model(CONFIG).eval()
    with torch.no_grad():  # box heads are silent at first
        for parameter in shallow.network.bbox_embed.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    deep = tiny_model(replace(CONFIG, model=DEEPER)).eval()
    state = weights(shallow)
    if one_name:  # files may hold the box heads once
        state = {k: v for k, v in state.items() if not k.startswith('decoder.decoder.bbox_embed')}
    start_from(deep, state, Path('shallow.safetensors'))
    ours, theirs = said(deep), said(shallow)
    assert len(ours.layers) == 4
    last = MODEL.decoder_layers - 1
    for layer in ours.layers[last:]:
        for name, value in vars(layer).items():
            torch.testing.assert_close(value, getattr(theirs.layers[-1], name))
    torch.testing.assert_close(ours.fov_rad, theirs.fov_rad)


def test_its_new_parts_learn() -> None:
    deep = tiny_model(replace(CONFIG, model=DEEPER))
    start_from(deep, weights(tiny_model(CONFIG)), Path('shallow.safetensors'))
    new = [f'encoder.blocks.{i}.' for i in range(MODEL.encoder_depth, DEEPER.encoder_depth)]
    new += [
        f'{name}.{i}.'
        for name in ('decoder.decoder.layers', 'bbox_embed', 'pose_head', 'shape_head')
        for i in range(MODEL.decoder_layers, 4)
    ]
    moving = {n: p for n, p in deep.network.named_parameters() if n.startswith(tuple(new))}
    before = {name: p.detach().clone() for name, p in moving.items()}
    optimiser = torch.optim.AdamW(deep.parameters(), lr=1e-3, weight_decay=0)
    for _ in range(3):
        output = said(deep)
        optimiser.zero_grad()
        sum(
            value.square().sum() for layer in output.layers for value in vars(layer).values()
        ).backward()
        optimiser.step()
    assert {n for n, p in moving.items() if torch.equal(p, before[n])} == set()


def test_a_wider_encoder_says_the_same_at_first() -> None:
    narrow = tiny_model(replace(CONFIG, model=replace(MODEL, levels=2))).eval()
    with torch.no_grad():  # as trained weights have
        for parameter in narrow.network.encoder.parameters():
            parameter += 0.1 * torch.rand_like(parameter)
    wide = tiny_model(replace(CONFIG, model=WIDER)).eval()
    before = {name: value.clone() for name, value in wide.network.state_dict().items()}
    start_from(wide, weights(narrow), Path('narrow.safetensors'))
    ours, theirs = said(wide), said(narrow)
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        for name, value in vars(layer).items():
            torch.testing.assert_close(value, getattr(other, name), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.fov_rad, theirs.fov_rad)
    mine, other = (output.coarse.scale_logits for output in (ours, theirs))
    torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)
    first = before['encoder.blocks.0.mlp.fc1.weight']
    assert torch.equal(wide.network.encoder.blocks[0].mlp.fc1.weight[:, 32:], first[:, 32:])


def test_its_new_channels_heads_and_units_learn() -> None:
    narrow = tiny_model(replace(CONFIG, model=replace(MODEL, levels=2)))
    wide = tiny_model(replace(CONFIG, model=WIDER))
    start_from(wide, weights(narrow), Path('narrow.safetensors'))
    small = dict(narrow.network.named_parameters())
    before = {name: p.detach().clone() for name, p in wide.network.named_parameters()}
    optimiser = torch.optim.AdamW(wide.parameters(), lr=1e-3, weight_decay=0)
    for _ in range(3):
        output = said(wide)
        optimiser.zero_grad()
        values = [value for layer in output.layers for value in vars(layer).values()]
        values += [output.coarse.scale_logits, output.fov_rad]
        sum(value.square().sum() for value in values).backward()
        optimiser.step()
    for name, p in wide.network.named_parameters():
        if p.shape != small[name].shape:
            new = torch.ones_like(p, dtype=torch.bool)
            new[tuple(slice(size) for size in small[name].shape)] = False
            moved = (p != before[name])[new].float().mean()
            assert moved > 0.3, name  # units of a ReLU may stand still


def test_only_an_encoder_with_heads_as_wide_can_be_widened() -> None:
    state = weights(tiny_model(CONFIG))
    other = tiny_model(replace(CONFIG, model=replace(MODEL, encoder_dim=40, encoder_heads=2)))
    with pytest.raises(UserError, match='32 channels, which are no heads of 20'):
        start_from(other, state, Path('file.safetensors'))


@pytest.mark.parametrize('hidden_dim', [16, 48])
def test_a_decoder_cannot_be_widened(hidden_dim: int) -> None:
    state = weights(tiny_model(CONFIG))
    both = replace(MODEL, encoder_dim=48, encoder_heads=3, hidden_dim=hidden_dim)
    with pytest.raises(UserError, match='holds tensors of another size'):
        start_from(tiny_model(replace(CONFIG, model=both)), state, Path('file.safetensors'))


@pytest.mark.parametrize(
    ('name', 'shape'),
    [
        ('encoder.blocks.0.mlp.fc1.weight', (256, 32)),
        ('encoder.norm.weight', (64,)),
        ('encoder.norm.weight', (32, 1)),
        ('encoder_patch_proj.0.weight', (32, 3, 16, 16)),
        ('scale_head.layers.0.weight', (7, 32)),
    ],
)
def test_what_is_of_no_narrower_encoder_is_named(name: str, shape: tuple[int, ...]) -> None:
    state = weights(tiny_model(CONFIG)) | {name: torch.zeros(shape)}
    wide = replace(MODEL, encoder_dim=48, encoder_heads=3)
    with pytest.raises(UserError, match=rf'holds tensors of another size: {name}'):
        start_from(tiny_model(replace(CONFIG, model=wide)), state, Path('file.safetensors'))


def test_a_half_precise_file_without_a_camera_is_widened_and_deepened_at_once() -> None:
    narrow = tiny_model(replace(CONFIG, model=replace(MODEL, levels=2))).eval()
    state = {k: v.half() for k, v in weights(narrow).items() if not k.startswith('fov_head.')}
    narrow.network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    model = tiny_model(replace(CONFIG, model=replace(WIDER, encoder_depth=6))).eval()
    start_from(model, state, Path('file.safetensors'))
    ours, theirs = said(model).layers[-1], said(narrow).layers[-1]
    torch.testing.assert_close(ours.pose_6d, theirs.pose_6d, atol=1e-4, rtol=1e-4)


def test_a_file_of_another_picture_size_is_widened_too() -> None:
    state = weights(tiny_model(CONFIG))
    wide = replace(MODEL, encoder_dim=48, encoder_heads=3, input_size=168)
    model = tiny_model(replace(CONFIG, model=wide))
    start_from(model, state, Path('file.safetensors'))
    positions = model.network.encoder_pos_embeds
    assert positions.shape == (12, 12, 48)
    mean = positions[..., :32].mean(-1, keepdim=True)
    torch.testing.assert_close(positions[..., 32:], mean.expand(12, 12, 16))
    assert positions[11, 11].all()


def test_nothing_else_may_be_missing_and_nothing_is_left_out() -> None:
    state = weights(tiny_model(CONFIG))
    deep = tiny_model(replace(CONFIG, model=DEEPER))
    lacking = {k: v for k, v in state.items() if not k.startswith('encoder.blocks.1.norm1')}
    with pytest.raises(UserError, match=r'lacks tensors .*: encoder\.blocks\.1\.norm1'):
        start_from(deep, lacking, Path('file.safetensors'))
    lacking = {k: v for k, v in state.items() if not k.startswith('pose_head.1.')}
    with pytest.raises(UserError, match='lacks tensors of this network'):
        start_from(deep, lacking, Path('file.safetensors'))
    with pytest.raises(UserError, match='holds tensors that this network lacks'):
        start_from(tiny_model(CONFIG), weights(deep), Path('file.safetensors'))
