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

"""The training layout of golden files: losses, matches, gradients of one training step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from golden_tools import (
    Arrays,
    build_network,
    error_in_tolerances,
    EXACT,
    golden_body,
    IN_PIXELS,
    model_config,
    OUTPUT,
    PIXELS,
    Tolerance,
)
from mahmr_model.body.layer import BodyLayer
from mahmr_model.preprocess import pad_and_normalise
import numpy as np
from random_weights import random_weights
import torch
from training.criterion import Criterion, weighted_sum
from training.denoising import DenoisingConfig
from training.target import Target
from training.train_model import TrainingModel

LOSSES = Tolerance(0.0, 1e-3)
GRADIENTS = Tolerance(1e-6, 1e-3)


def check_train(arrays: Arrays, meta: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Run one training step on the file's pictures; yield every number's error in tolerances."""
    config = model_config(meta['config'])
    body = golden_body()
    network = build_network(config, meta['seed'], arrays, body)
    model = TrainingModel(network, BodyLayer(body, kid=config.shapes == 11), denoising(meta))
    if model.denoising is not None:
        shapes = {f'dn_enc.{k}': tuple(v.shape) for k, v in model.dn_enc.named_parameters()}
        for name, value in random_weights(shapes, meta['seed']).items():
            model.get_parameter(name).data.copy_(torch.from_numpy(value))
    targets = [target(arrays, index) for index in range(len(meta['image_sizes']))]
    images = [
        pad_and_normalise(torch.from_numpy(arrays[f'image_{i}']), config.pad_multiple)
        for i in range(len(targets))
    ]
    # the published 'boxes' computes giou, too
    criterion = Criterion([*meta['config']['losses'], 'giou'], config.input_size)
    output = model.train()(images, targets)
    losses, match = criterion(output, targets)
    weights = {k: v for k, v in meta['config']['weight_dict'].items() if '.' not in k}
    total = weighted_sum(losses, weights)
    total.backward()

    for name in arrays:
        kind, _, rest = name.partition('/')
        golden = arrays[name]
        if kind == 'loss':
            ours = losses.get(rest, torch.zeros(())).detach().numpy()
            yield name, error_in_tolerances(ours, golden, LOSSES)
        elif kind == 'total':
            yield name, error_in_tolerances(total.detach().numpy(), golden, LOSSES)
        elif kind == 'grad_norm':
            parameter = network_parameter(model, rest)
            gradient = torch.zeros(()) if parameter.grad is None else parameter.grad.norm()
            yield name, error_in_tolerances(gradient.numpy(), golden, GRADIENTS)
        elif kind.startswith('match_'):
            mine = match.picture == int(kind.removeprefix('match_'))
            first = sum(len(t) for t in targets[: int(kind.removeprefix('match_'))])
            pairs = torch.stack([match.query[mine], match.person[mine] - first])
            yield name, error_in_tolerances(pairs.numpy(), golden, EXACT)
    yield from outputs(output, arrays)


def outputs(output: Any, arrays: Arrays) -> Iterator[tuple[str, float]]:
    """Compare what the last layer says of the learnt queries."""
    last = output.learnt[-1]
    ours = {
        'poses': last.pose_axis_angle,
        'betas': last.betas,
        'boxes': last.boxes_cxcywh_norm,
        'confs': last.confidence_logits.sigmoid()[..., None],
        'j3ds': last.joints_camera_m,
        'j2ds': last.joints_px,
        'depths': last.depths,
        'transl': last.translation_m,
    }
    for short, value in ours.items():
        name = f'out/pred_{short}'
        tolerance = PIXELS if name in IN_PIXELS else OUTPUT
        yield name, error_in_tolerances(value.detach().numpy(), arrays[name], tolerance)


def network_parameter(model: TrainingModel, name: str) -> torch.nn.Parameter:
    """Return a parameter by its published name."""
    return model.get_parameter(name if name.startswith('dn_enc') else f'network.{name}')


def denoising(meta: Mapping[str, Any]) -> DenoisingConfig | None:
    """Translate a golden file's denoising configuration."""
    if not meta['config'].get('dn'):
        return None
    golden = meta['config']['dn_cfg']
    names = ('dn_number', 'box_noise_scale', 'tgt_noise_scale')
    return DenoisingConfig(**{name: golden[name] for name in names})


def target(arrays: Arrays, index: int) -> Target:
    """Read the truth of one picture."""
    mine = {
        name.removeprefix(f'target_{index}/'): value
        for name, value in arrays.items()
        if name.startswith(f'target_{index}/')
    }

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(np.asarray(mine[name]))

    layers = tensor('depth_ids')[:, 0] if 'depth_ids' in mine else None
    height, width = mine['img_size'].tolist()
    return Target(
        size_hw=(height, width),
        pose_axis_angle=tensor('poses'),
        betas=tensor('betas'),
        translation_m=tensor('transl'),
        joints_camera_m=tensor('j3ds'),
        joints_px=tensor('j2ds'),
        joints_mask=tensor('j2ds_mask'),
        boxes_cxcywh_norm=tensor('boxes'),
        depths=tensor('depths'),
        focal_px=tensor('focals')[:, 0],
        heights_m=torch.zeros(len(mine['boxes'])),
        scale_map=tensor('scale_map'),
        intrinsics=tensor('cam_intrinsics'),
        valid_3d=bool(mine['3d_valid']),
        detect_all_people=bool(mine['detect_all_people']),
        depth_layers=layers,
    )
