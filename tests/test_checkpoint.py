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

"""Every way a checkpoint may fit, and every way it may not."""

from collections.abc import Callable
import json
import os
from pathlib import Path
import pickle

from mahmr_model.checkpoint import (
    CAMERA_BRANCH,
    infer_config,
    load_dinov2,
    load_state,
    read_checkpoint,
    read_state,
    save_weights,
    State,
)
from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
import numpy as np
import pytest
import safetensors.torch
import torch

STAGE_3 = ModelConfig(
    input_size=224,
    encoder_dim=64,
    encoder_depth=5,
    encoder_heads=1,
    hidden_dim=32,
    decoder_layers=2,
    feedforward_dim=48,
    queries=6,
)


def variant(**change: object) -> ModelConfig:
    return ModelConfig.from_dict({**STAGE_3.as_dict(), **change})


STAGE_1 = variant(shapes=10, camera_branch=False)


def network_of(config: ModelConfig, seed: int = 0) -> MAHMR:
    torch.manual_seed(seed)
    network = MAHMR(config, torch.randn(144), torch.randn(10)).eval()
    for parameter in network.parameters():  # nothing may equal an initial value by chance
        torch.nn.init.normal_(parameter, std=0.05)
    return network


def published(network: MAHMR) -> State:
    """Return what the published code saves: also the body's data."""
    return {**network.state_dict(), 'human_model.v_template': torch.zeros(3, 3)}


def assert_equal(ours: MAHMR, theirs: MAHMR) -> None:
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    'wrap',
    [
        lambda state: state,
        lambda state: {f'module.{name}': value for name, value in state.items()},
        lambda state: {'model': state, 'epoch': 3},
        lambda state: {'state_dict': state},
    ],
)
def test_a_published_file_loads_key_for_key(tmp_path: Path, wrap: Callable) -> None:
    theirs = network_of(STAGE_3)
    path = tmp_path / 'mahmr_stage3.bin'
    torch.save(wrap(published(theirs)), path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.config == STAGE_3
    assert checkpoint.body == 'smpl'
    ours = network_of(checkpoint.config, seed=1)
    report = load_state(ours, checkpoint.state, path.name)
    assert_equal(ours, theirs)
    assert report.not_in_file == []
    assert report.not_used == ['human_model.v_template']


@pytest.mark.parametrize('levels', [0, 2, 3])
def test_our_own_file_keeps_configuration_and_weights(tmp_path: Path, levels: int) -> None:
    config = variant(levels=levels, encoder_heads=4, presence_threshold=0.4)
    theirs = network_of(config)
    path = tmp_path / 'ours.safetensors'
    save_weights(theirs, path, 'open')
    assert os.listdir(tmp_path) == ['ours.safetensors']
    checkpoint = read_checkpoint(path)
    assert (checkpoint.config, checkpoint.body) == (config, 'open')
    ours = network_of(config, seed=1)
    assert load_state(ours, checkpoint.state, path.name).not_in_file == []
    assert_equal(ours, theirs)


def test_published_safetensors_without_header(tmp_path: Path) -> None:
    theirs = network_of(STAGE_3)
    state = {k: v.clone() for k, v in theirs.state_dict().items()}
    safetensors.torch.save_file(state, tmp_path / 'plain.safetensors')
    assert read_checkpoint(tmp_path / 'plain.safetensors').config == STAGE_3


def test_plain_mode_is_recognised() -> None:
    config = variant(levels=0)
    assert infer_config(published(network_of(config)), Path('x.bin')) == config


def test_stage_1_starts_stage_2() -> None:
    theirs = network_of(STAGE_1)
    state = published(theirs) | {
        'dn_enc.weight': torch.zeros(32, 82),
        'dn_enc.bias': torch.ones(32),
    }
    assert infer_config(state, Path('mahmr_stage1.bin')) == STAGE_1
    ours = MAHMR(variant(shapes=10))
    before = {k: v.clone() for k, v in ours.fov_head.state_dict().items()}
    with pytest.raises(UserError, match=r'lacks tensors.*fov_head'):
        load_state(ours, state, 'mahmr_stage1.bin')
    report = load_state(ours, state, 'mahmr_stage1.bin', may_start_new=CAMERA_BRANCH)
    assert all(name.startswith('fov_head.') for name in report.not_in_file)
    assert len(report.not_in_file) == 8
    assert {'dn_enc.weight', 'dn_enc.bias'} < set(report.not_used)
    for name, value in ours.fov_head.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(ours.tgt_embed.weight, theirs.tgt_embed.weight)


def test_ten_shapes_become_eleven_with_zeros() -> None:
    theirs = network_of(variant(shapes=10))
    ours = network_of(STAGE_3, seed=1)
    load_state(ours, published(theirs), 'mahmr_stage2.bin')
    assert ours.mean_shape[10] == 0
    assert torch.equal(ours.mean_shape[:10], theirs.mean_shape)
    for head, old in zip(ours.shape_head, theirs.shape_head, strict=True):
        assert not head.last.weight[10].any()
        assert head.last.bias[10] == 0
        assert torch.equal(head.last.weight[:10], old.last.weight)
    picture = [torch.randn(3, 112, 224)]
    with torch.inference_mode():
        new, before = ours(picture).layers[-1], theirs(picture).layers[-1]
    torch.testing.assert_close(new.betas[..., :10], before.betas)
    assert not new.betas[..., 10].any()


def test_another_input_size_resizes_positions_and_derives_the_rest() -> None:
    theirs = network_of(STAGE_3)
    config = variant(input_size=336)
    ours = MAHMR(config)
    fresh = MAHMR(config)
    load_state(ours, published(theirs), 'sat_224.pth')
    for name in ('cam_intrinsics', 'z_order_map', 'y_coords', 'x_coords'):
        assert torch.equal(getattr(ours, name), getattr(fresh, name))
    expected = torch.nn.functional.interpolate(
        theirs.encoder_pos_embeds.permute(2, 0, 1)[None], size=(24, 24), mode='bicubic'
    )[0].permute(1, 2, 0)
    torch.testing.assert_close(ours.encoder_pos_embeds.detach(), expected.detach())


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    theirs = network_of(STAGE_3)
    state = {k: v.half() if v.is_floating_point() else v for k, v in published(theirs).items()}
    torch.save(state, tmp_path / 'half.pth')
    ours = MAHMR(STAGE_3)
    load_state(ours, read_state(tmp_path / 'half.pth'), 'half.pth')
    assert ours.tgt_embed.weight.dtype == torch.float32
    torch.testing.assert_close(
        ours.tgt_embed.weight, theirs.tgt_embed.weight, atol=1e-4, rtol=1e-3
    )


def test_box_heads_may_have_either_name_or_both() -> None:
    theirs = network_of(STAGE_3)
    state = {k: v for k, v in published(theirs).items() if 'decoder.decoder.bbox' not in k}
    ours = network_of(STAGE_3, seed=1)
    load_state(ours, state, 'x.bin')
    assert_equal(ours, theirs)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s | {'extra.weight': torch.zeros(1)}, 'lacks: extra.weight'),
        (
            lambda s: {k: v for k, v in s.items() if k != 'conf_head.bias'},
            'lacks tensors.*conf_head',
        ),
        (lambda s: s | {'conf_head.bias': torch.zeros(2)}, 'another size: conf_head.bias'),
        (lambda s: s | {'fov_head.layers.9.bias': torch.zeros(2)}, 'fov_head.layers.9.bias'),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: Callable, message: str) -> None:
    ours = network_of(STAGE_3, seed=1)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_state(ours, change(published(network_of(STAGE_3))), 'file.bin')
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name])


def test_eleven_shapes_do_not_become_ten() -> None:
    with pytest.raises(UserError, match='another size'):
        load_state(network_of(variant(shapes=10)), published(network_of(STAGE_3)), 'file.bin')


def dinov2(dim: int = 64, depth: int = 5) -> State:
    generator = torch.Generator().manual_seed(3)
    names = network_of(STAGE_3).encoder.state_dict()
    state = {
        name: torch.randn(value.shape, generator=generator)
        for name, value in names.items()
        if name.startswith('norm.')
        or (name.startswith('blocks.') and int(name.split('.')[1]) < depth)
    }
    return state | {
        'cls_token': torch.randn(1, 1, dim, generator=generator),
        'pos_embed': torch.randn(1, 1 + 37 * 37, dim, generator=generator),
        'mask_token': torch.zeros(1, dim),
        'patch_embed.proj.weight': torch.randn(dim, 3, 14, 14, generator=generator),
        'patch_embed.proj.bias': torch.randn(dim, generator=generator),
    }


def test_dinov2_starts_an_encoder() -> None:
    state, ours = dinov2(), network_of(STAGE_3)
    load_dinov2(ours, state, 'dinov2_vitb14_pretrain.pth')
    for first in range(3):
        weight = state[f'blocks.{first}.attn.qkv.weight']
        assert torch.equal(ours.encoder.blocks[first].attn.qkv.weight, weight)
        assert torch.equal(ours.encoder.additional_blocks[first].attn.qkv.weight, weight)
    for projection in ours.encoder_patch_proj:
        assert torch.equal(projection.weight, state['patch_embed.proj.weight'])
    assert torch.equal(ours.enc_inter_norm.bias, state['norm.bias'])
    token = state['cls_token'][0] + state['pos_embed'][0, :1]
    assert torch.equal(ours.encoder_cr_token, token)
    # Sampling at (i + ½)·37/(G + 0.1) − ½, so a field that is linear in x stays linear:
    ramp = torch.arange(37.0).repeat(37)[None, :, None].expand(1, -1, 64)
    load_dinov2(ours, state | {'pos_embed': torch.cat([torch.zeros(1, 1, 64), ramp], 1)}, 'x')
    inner = torch.arange(2, 14)
    expected = (inner + 0.5) * 37 / 16.1 - 0.5
    # torch's cubic kernel bends a ramp by up to 0.05; a factor of 16/37 would be off by 0.18
    torch.testing.assert_close(
        ours.encoder_pos_embeds[7, 2:14, 5].detach(), expected, atol=0.06, rtol=0
    )


def test_dinov2_starts_a_plain_encoder() -> None:
    state, ours = dinov2(), network_of(variant(levels=0))
    load_dinov2(ours, state, 'dinov2_vits14_pretrain.pth')
    assert torch.equal(ours.encoder_patch_proj.weight, state['patch_embed.proj.weight'])


def test_dinov2_of_another_size_is_refused() -> None:
    with pytest.raises(UserError, match='does not fit this encoder'):
        load_dinov2(network_of(STAGE_3), dinov2(depth=4), 'dinov2_vits14_pretrain.pth')
    with pytest.raises(UserError, match='expected DINOv2 weights'):
        load_dinov2(network_of(STAGE_3), published(network_of(STAGE_3)), 'mahmr_stage3.bin')
    with pytest.raises(UserError, match='without registers'):
        load_dinov2(network_of(STAGE_3), dinov2() | {'register_tokens': torch.zeros(1)}, 'reg4')
    cut = {key: value for key, value in dinov2().items() if 'patch_embed' not in key}
    with pytest.raises(UserError, match='expected DINOv2 weights'):
        load_dinov2(network_of(STAGE_3), cut, 'cut')


class Hostile:
    """Runs something when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.system, (f'touch {self.mark}',))


def test_a_file_with_code_is_refused(tmp_path: Path) -> None:
    hostile = Hostile(tmp_path / 'ran')
    torch.save({'model': {'x': hostile}}, tmp_path / 'evil.pth')
    with pytest.raises(UserError, match='could run code'):
        read_state(tmp_path / 'evil.pth')
    (tmp_path / 'plain.pth').write_bytes(pickle.dumps(hostile, protocol=4))
    with pytest.raises(UserError, match=r'could run code|not a readable checkpoint'):
        read_state(tmp_path / 'plain.pth')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'value',
    [torch.eye(3).to_sparse(), torch.zeros(3, dtype=torch.complex64)],
)
def test_tensors_that_are_no_parameters_are_refused(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save({'conf_head.weight': value}, tmp_path / 'odd.pth')
    with pytest.raises(UserError, match=r'odd\.pth: conf_head\.weight is a'):
        read_state(tmp_path / 'odd.pth')


@pytest.mark.parametrize('suffix', ['.bin', '.pth', '.safetensors'])
@pytest.mark.parametrize('keep', [0.0, 0.001, 0.5, 0.99])
def test_a_half_downloaded_file_is_told(tmp_path: Path, suffix: str, keep: float) -> None:
    network = network_of(STAGE_3)
    path = tmp_path / f'whole{suffix}'
    if suffix == '.safetensors':
        save_weights(network, path, 'open')
    else:
        torch.save(published(network), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(
        UserError, match=r'whole\.\w+: not a readable checkpoint .*download it again'
    ):
        read_checkpoint(path)


def test_damaged_bytes_are_told_whatever_they_make_of_the_file(tmp_path: Path) -> None:
    torch.save({'a': torch.arange(9.0), 'b': {'c': torch.zeros(2, 3)}}, tmp_path / 'whole.pth')
    content = bytearray((tmp_path / 'whole.pth').read_bytes())
    rng, refused = np.random.default_rng(0), 0
    for _ in range(400):
        damaged = content.copy()
        for place in rng.integers(0, len(content), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / 'damaged.pth').write_bytes(damaged)
        try:
            read_state(tmp_path / 'damaged.pth')
        except UserError:
            refused += 1
    assert refused > 100


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no such file'):
        read_checkpoint(tmp_path / 'missing.bin')
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(UserError, match='expected a checkpoint'):
        read_checkpoint(tmp_path / 'notes.txt')
    torch.save([1, 2], tmp_path / 'list.pt')
    with pytest.raises(UserError, match='expected named tensors, got list'):
        read_checkpoint(tmp_path / 'list.pt')
    torch.save({'layer1.weight': torch.zeros(3)}, tmp_path / 'resnet.pth')
    with pytest.raises(UserError, match='checkpoint of another network'):
        read_checkpoint(tmp_path / 'resnet.pth')
    (tmp_path / 'page.bin').write_text('<html>404</html>')
    with pytest.raises(UserError, match='download it again'):
        read_checkpoint(tmp_path / 'page.bin')
    (tmp_path / 'old.pkl.bin').write_bytes(pickle.dumps({'a': 1}))
    with pytest.raises(UserError, match=r'download it again|refused'):
        read_checkpoint(tmp_path / 'old.pkl.bin')


def test_a_header_with_unknown_keys_is_refused(tmp_path: Path) -> None:
    header = json.dumps({'config': {**STAGE_3.as_dict(), 'quries': 3}, 'body': 'open'})
    path = tmp_path / 'odd.safetensors'
    safetensors.torch.save_file({'x': torch.zeros(1)}, path, metadata={'mahmr': header})
    with pytest.raises(UserError, match=r"'quries'.*did you mean 'queries'"):
        read_checkpoint(path)
    header = json.dumps({'config': {**STAGE_3.as_dict(), 'encoder_heads': 0}, 'body': 'open'})
    safetensors.torch.save_file({'x': torch.zeros(1)}, path, metadata={'mahmr': header})
    with pytest.raises(UserError, match=r'odd\.safetensors.*encoder_heads'):
        read_checkpoint(path)
    safetensors.torch.save_file({'x': torch.zeros(1)}, path, metadata={'mahmr': '{"body": 3'})
    with pytest.raises(UserError, match='header'):
        read_checkpoint(path)
