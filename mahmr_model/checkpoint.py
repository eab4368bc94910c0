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
Checkpoints: read them safely, tell what network they are of, load them strictly.

Known files: MA-HMR's `mahmr_stage*.bin` and SAT-HMR's `sat_*.pth` (PyTorch's zip format), DINOv2's
`dinov2_vit*14_pretrain.pth`, and this project's own safetensors, whose header holds the
configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import pickle
from typing import get_args

from mahmr_model.body.data import BodyKind
from mahmr_model.config import ModelConfig, PATCH
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from mahmr_model.network import MAHMR
import safetensors
import safetensors.torch
import torch
from torch import Tensor

State = dict[str, Tensor]

METADATA_KEY = 'mahmr'
VIT_HEAD_DIM = 64
"""Channels per head in every DINOv2 model; a published checkpoint does not say its heads."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds."""

    state: State
    config: ModelConfig
    body: BodyKind
    """The body whose shape axes the weights speak: SMPL's, or the open body's."""


def read_checkpoint(path: Path) -> Checkpoint:
    """
    Read a checkpoint of a whole network.

    Raises UserError where the file is missing, damaged, not a checkpoint, or of another network.
    """
    if path.suffix == '.safetensors':
        state, metadata = _read_safetensors(path)
        if METADATA_KEY in metadata:
            return Checkpoint(state, *_read_header(metadata[METADATA_KEY], path))
    else:
        state = read_state(path)
    return Checkpoint(state, infer_config(state, path), 'smpl')


def read_state(path: Path) -> State:
    """
    Read the named tensors of a file without running anything that it brings.

    Takes `.safetensors`, and PyTorch files through `weights_only=True`, bare or below 'model' or
    'state_dict', with or without the 'module.' of distributed training.
    """
    if path.suffix == '.safetensors':
        return _read_safetensors(path)[0]
    if path.suffix not in ('.bin', '.pth', '.pt'):
        raise UserError(
            f'{path}: expected a checkpoint (.bin, .pth, .pt or .safetensors); '
            'name the file that was downloaded.'
        )
    _require_file(path)
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        if 'GLOBAL' in str(error):  # torch names one that it does not allow
            raise UserError(
                f'{path}: refused, because it holds more than tensors and could run code; '
                'use the published file.'
            ) from error
        raise _damaged(path) from error
    except Exception as error:  # a damaged archive can raise nearly anything
        raise _damaged(path) from error
    for wrapper in ('model', 'state_dict'):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise UserError(f'{path}: expected named tensors, got {type(content).__name__}.')
    return {
        str(name).removeprefix('module.'): _plain(value, f'{path}: {name}')
        for name, value in content.items()
        if isinstance(value, Tensor)
    }


def infer_config(state: State, path: Path) -> ModelConfig:
    """
    Tell from the shapes of its tensors what network a published checkpoint is of.

    The heads are not in a file: 64 channels each in the encoder, as in every DINOv2, and 4 in
    the decoder, as in every published MA-HMR and SAT-HMR.
    """
    try:
        queries, hidden = state['tgt_embed.weight'].shape
        grid, _, channels = state['encoder_pos_embeds'].shape
        return ModelConfig(
            input_size=grid * PATCH,
            levels=len(state['level_embed']) if 'level_embed' in state else 0,
            encoder_dim=channels,
            encoder_depth=_count(state, 'encoder.blocks.'),
            encoder_heads=max(1, channels // VIT_HEAD_DIM),
            hidden_dim=hidden,
            decoder_layers=_count(state, 'decoder.decoder.layers.'),
            decoder_heads=4,
            feedforward_dim=len(state['decoder.decoder.layers.0.linear1.weight']),
            queries=queries,
            shapes=len(state['mean_shape']),
            camera_branch='fov_head.layers.0.weight' in state,
        )
    except KeyError as error:
        raise UserError(
            f'{path}: this is a checkpoint of another network (it has no {error}); '
            'expected one of MA-HMR or SAT-HMR, such as mahmr_stage3.bin.'
        ) from error
    except (ValueError, TypeError, UserError) as error:
        raise UserError(
            f'{path}: this is a checkpoint of another network ({error}); '
            'expected one of MA-HMR or SAT-HMR, such as mahmr_stage3.bin.'
        ) from error


@dataclass(frozen=True)
class LoadReport:
    """What a load left as it was, by name."""

    not_in_file: list[str]
    """Parameters of the network that keep their initial values."""
    not_used: list[str]
    """Tensors of the file that this network has no place for, all of a known kind."""


EXTRAS = ('human_model.', 'dn_enc.', 'token_head.')
"""A checkpoint may hold these, and an inference network never takes them."""
DERIVED = ('cam_intrinsics', 'z_order_map', 'y_coords', 'x_coords')
"""Buffers that follow from the configuration."""
CAMERA_BRANCH = ('fov_head.',)
"""A stage 1 file lacks these; stage 2 trains them from their initial values."""


def load_state(
    network: MAHMR, state: State, name: str, *, may_start_new: tuple[str, ...] = ()
) -> LoadReport:
    """
    Load a checkpoint's tensors into a network, strictly.

    Besides an equal network these fit: a file with 10 shapes into a network with 11, and a file
    of another input size. Parameters whose names begin with one of `may_start_new` (training:
    `CAMERA_BRANCH`) may be missing and keep their initial values. `name` is the file's, for
    errors. Raises UserError that names what does not fit; the network is then unchanged.
    """
    own = network.state_dict()
    not_used = [key for key in state if key.startswith(EXTRAS)]
    given = {k: v for k, v in state.items() if not k.startswith(EXTRAS) and k not in DERIVED}
    for key in own:  # the box heads have two names; a file may hold one
        alias = key.removeprefix('decoder.decoder.')
        if key not in given and alias in given:
            given[key] = given[alias]
    _grow_shapes(given, own)
    _resize_positions(given, own)

    unexpected = [key for key in given if key not in own]
    missing = [k for k in own if k not in given and k not in DERIVED]
    not_new = [key for key in missing if not key.startswith(may_start_new)]
    differing = [k for k, v in given.items() if k in own and v.shape != own[k].shape]
    for keys, what in (
        (unexpected, 'holds tensors that this network lacks'),
        (not_new, 'lacks tensors of this network'),
        (differing, 'holds tensors of another size'),
    ):
        if keys:
            raise UserError(
                f'{name} is of another network: it {what}: {_some(keys)}; '
                'use the configuration it was trained with.'
            )
    network.load_state_dict(given, strict=False)
    return LoadReport(missing, not_used)


def load_dinov2(network: MAHMR, state: State, name: str) -> None:
    """
    Start a network's encoder from DINOv2's own checkpoint (`dinov2_vit*14_pretrain.pth`).

    Its 37×37 patch positions are resized bicubically with the scale factor (G + 0.1)/37 that
    DINOv2 uses; the first blocks and the patch convolution are copied for the coarse pass.
    """
    needed = ('pos_embed', 'cls_token', 'patch_embed.proj.weight', 'patch_embed.proj.bias')
    if any(key not in state for key in needed) or 'register_tokens' in state:
        raise UserError(
            f'{name}: expected DINOv2 weights without registers, such as '
            'dinov2_vitb14_pretrain.pth.'
        )
    positions = state['pos_embed'][0]
    side = round((len(positions) - 1) ** 0.5)
    grid = network.config.grid(0)
    patches = positions[1:].view(side, side, -1).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        patches, scale_factor=(grid + 0.1) / side, mode='bicubic'
    )
    ours = {
        'encoder_cr_token': state['cls_token'][0] + positions[:1],
        'encoder_pos_embeds': resized[0].permute(1, 2, 0),
    }
    projections = ('encoder_patch_proj.0.', 'encoder_patch_proj.1.')
    for projection in projections if network.config.adaptive else ('encoder_patch_proj.',):
        for part in ('weight', 'bias'):
            ours[projection + part] = state[f'patch_embed.proj.{part}']
    for key, value in state.items():
        if key.startswith(('blocks.', 'norm.')):
            ours[f'encoder.{key}'] = value
            copy = f'encoder.{key.replace("blocks.", "additional_blocks.")}'
            if key.startswith('norm.') and network.config.adaptive:
                ours[f'enc_inter_{key}'] = value
            elif copy in network.state_dict():
                ours[copy] = value
    own = network.state_dict()
    wrong = [k for k, v in ours.items() if k not in own or own[k].shape != v.shape]
    prefixes = ('encoder.', 'encoder_', 'enc_inter_')
    wrong += [key for key in own if key.startswith(prefixes) and key not in ours]
    if wrong:
        raise UserError(
            f'{name} does not fit this encoder ({network.config.encoder_dim} channels, '
            f'{network.config.encoder_depth} blocks): {_some(wrong)}; use the DINOv2 of its size.'
        )
    network.load_state_dict(ours, strict=False)


def save_weights(
    network: MAHMR, path: Path, body: BodyKind, extras: Mapping[str, Tensor] | None = None
) -> None:
    """
    Write a network as safetensors with its configuration in the header.

    `extras` are tensors beside it, named as `EXTRAS` says, which training alone needs.
    """
    state = {
        key: value.contiguous()
        for key, value in network.state_dict().items()
        if key not in DERIVED and not key.startswith('decoder.decoder.bbox_embed.')
    }
    state |= {key: value.contiguous() for key, value in (extras or {}).items()}
    header = json.dumps({'config': network.config.as_dict(), 'body': body})
    with written_beside(path) as temporary:
        try:
            safetensors.torch.save_file(state, temporary, metadata={METADATA_KEY: header})
        except safetensors.SafetensorError as error:  # what it makes of a full disk
            raise OSError(str(error)) from error


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    _require_file(path)
    try:
        with safetensors.safe_open(path, framework='pt') as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path) from error


def _read_header(text: str, path: Path) -> tuple[ModelConfig, BodyKind]:
    try:
        header = json.loads(text)
        config, body = ModelConfig.from_dict(header['config']), header['body']
    except (ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(
            f'{path}: its header does not say what network it is of ({error}); get it again.'
        ) from error
    if body not in get_args(BodyKind):
        raise UserError(f"{path}: expected the body 'smpl' or 'open' in its header, got {body!r}.")
    return config, body


def _plain(value: Tensor, name: str) -> Tensor:
    """Refuse tensors that no network's parameters are: sparse, complex, without data."""
    if value.layout != torch.strided or value.is_complex() or value.is_meta:
        raise UserError(
            f'{name} is a {value.layout} {value.dtype} tensor; expected plain numbers.'
        )
    return value


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f'{path}: there is no such file; put the checkpoint there or name another.'
        )


def _damaged(path: Path) -> UserError:
    return UserError(
        f'{path}: not a readable checkpoint ({path.stat().st_size:,} bytes); it is damaged or '
        'only half downloaded: download it again.'
    )


def _count(state: State, prefix: str) -> int:
    """Count the different numbers behind a prefix."""
    return len({key.removeprefix(prefix).split('.')[0] for key in state if key.startswith(prefix)})


def _some(keys: list[str], most: int = 4) -> str:
    more = f' and {len(keys) - most} more' if len(keys) > most else ''
    return ', '.join(keys[:most]) + more


def _grow_shapes(given: State, own: State) -> None:
    """Give a file with 10 shapes an eleventh that starts at zero, where the network has it."""
    for key in list(given):
        last_layer = key == 'mean_shape' or key.startswith('shape_head.')
        if last_layer and key in own and (len(given[key]), len(own[key])) == (10, 11):
            given[key] = torch.cat([given[key], torch.zeros_like(given[key][:1])])


def _resize_positions(given: State, own: State) -> None:
    """Bring the position embeddings of another input size to this network's grid."""
    key = 'encoder_pos_embeds'
    if key not in given or given[key].ndim != 3:
        return
    rows, columns = given[key].shape[:2]
    if rows == columns != own[key].shape[0]:
        given[key] = torch.nn.functional.interpolate(
            given[key].permute(2, 0, 1)[None].float(), size=own[key].shape[:2], mode='bicubic'
        )[0].permute(1, 2, 0)
