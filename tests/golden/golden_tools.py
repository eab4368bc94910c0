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

"""What the checks of all golden layouts share: tolerances and networks made by the rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import tempfile
from typing import Any

from mahmr_model.body.data import BodyData, load_body
from mahmr_model.config import ModelConfig
from mahmr_model.network import MAHMR
import numpy as np
from random_body import random_body
from random_weights import random_weights
import torch

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """|Δ| ≤ absolute + relative·|golden|; both 0 means equal."""

    absolute: float
    relative: float


OUTPUT = Tolerance(1e-4, 1e-4)
PIXELS = Tolerance(1e-2, 1e-3)
EXACT = Tolerance(0.0, 0.0)
IN_PIXELS = ('out/pred_j2ds', 'out/pred_intrinsics')


def error_in_tolerances(ours: np.ndarray, golden: np.ndarray, tolerance: Tolerance) -> float:
    """Return the largest error as a multiple of what is allowed; infinity if shapes differ."""
    if ours.shape != golden.shape or not np.isfinite(ours).all():
        return float('inf')
    if not ours.size:
        return 0.0
    difference = np.abs(ours.astype(np.float64) - golden)
    allowed = tolerance.absolute + tolerance.relative * np.abs(golden.astype(np.float64))
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.where(difference == 0, 0.0, difference / allowed).max())


def model_config(golden: Mapping[str, Any]) -> ModelConfig:
    """Translate a golden file's configuration into ours."""
    adaptive = golden.get('sat_cfg', {})
    thresholds = {}
    if adaptive.get('use_sat', True):
        levels = adaptive.get('num_lvls', golden.get('lvls', 3))
        thresholds = {
            ours: adaptive[theirs]
            for ours, theirs in (
                ('presence_threshold', 'conf_thresh'),
                ('fine_threshold', 'scale_thresh'),
            )
            if theirs in adaptive
        }
    else:
        levels = 0
    return ModelConfig(
        input_size=golden['size'],
        levels=levels,
        encoder_dim=golden['vit']['embed_dim'],
        encoder_depth=golden['vit']['depth'],
        encoder_heads=golden['vit']['num_heads'],
        hidden_dim=golden['hidden_dim'],
        decoder_layers=golden['dec_layers'],
        decoder_heads=golden['nheads'],
        feedforward_dim=golden['dim_feedforward'],
        queries=golden['num_queries'],
        shapes=11 if golden['kid'] else 10,
        camera_branch=golden['fov'],
        **thresholds,
    )


def golden_body() -> BodyData:
    """Return the random body that the golden numbers were made with."""
    with tempfile.TemporaryDirectory() as folder:
        return load_body(Path(random_body(folder, seed=0)))


def build_network(config: ModelConfig, seed: int, arrays: Arrays, body: BodyData) -> MAHMR:
    """Build a network with the weights of the rule, but for what the file replaces."""
    assert body.mean_pose is not None
    assert body.mean_shape is not None
    network = MAHMR(config, torch.from_numpy(body.mean_pose), torch.from_numpy(body.mean_shape))
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    weights = random_weights(shapes, seed)
    weights |= {
        name.removeprefix('weight/'): arrays[name] for name in arrays if name.startswith('weight/')
    }
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(torch.from_numpy(weights[name]))
    return network.eval()
