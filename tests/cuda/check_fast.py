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
Hold the fast path on a CUDA card to the plain network, and to the published numbers.

    python tests/cuda/check_fast.py

No test machine has such a card, so this is a script: it prints one line for each check and ends
with 1 where one fails.
"""

from __future__ import annotations

import json
from pathlib import Path
import sys
import time
import traceback

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests' / 'golden'), str(ROOT)]

from golden_tools import (  # noqa: E402, I100
    build_network,
    error_in_tolerances,
    golden_body,
    model_config,
    OUTPUT,
)
from mahmr_model.benchmark.cases import random_model, random_picture, SIZES  # noqa: E402
from mahmr_model.body.layer import BodyLayer  # noqa: E402
from mahmr_model.eager import EagerBackend  # noqa: E402
from mahmr_model.fast import ops  # noqa: E402
from mahmr_model.fast.backend import FastBackend  # noqa: E402
from mahmr_model.fast.fused import fused_kernels  # noqa: E402
from mahmr_model.found import Found, InputPicture  # noqa: E402
from mahmr_model.preprocess import resized_size  # noqa: E402

CUDA = torch.device('cuda')
ALLOWED_MM = {torch.float16: 2.0, torch.bfloat16: 8.0}
"""Mean distance of half precision's vertices from the published ones that is allowed."""


def triton_kernels() -> str:
    assert fused_kernels(CUDA) is not None, 'Triton kernels do not work'
    return 'Triton kernels give the numbers of torch'


def wide_products() -> str:
    a, b = torch.randn(200, 768, device=CUDA).half(), torch.randn(300, 768, device=CUDA).half()
    exact = a.double() @ b.double().T
    error = (ops.wide_product(a, b.T).double() - exact).norm() / exact.norm()
    assert error < 1e-5, f'relative error {error:.1e}'
    return f'half precision in, float32 out: relative error {error:.1e}'


def published_numbers(name: str, precision: torch.dtype) -> str:
    with np.load(ROOT / 'tests' / 'golden' / f'network_{name}.npz') as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop('meta_json')))
    config, body = model_config(meta['config']), golden_body()
    network = build_network(config, meta['seed'], arrays, body).to(CUDA)
    layer = BodyLayer(body, kid=config.shapes == 11).to(CUDA)
    backend = FastBackend(network, layer, precision)
    inputs = [
        InputPicture(arrays[f'image_{i}'][:height, :width], (height, width), None)
        for i, (height, width) in enumerate(meta['image_sizes'])
    ]
    worst, furthest_mm = 0.0, 0.0
    for _ in range(5):  # two calls, then a capture, then replays
        for index, found in enumerate(backend(inputs, -1.0)):
            order = np.argsort(-arrays['out/pred_confs'][index, :, 0], kind='stable')
            golden = arrays['out/pred_verts'][index][order]
            ours = found.vertices_camera_m[:, :: meta['vertex_stride']]
            worst = max(worst, error_in_tolerances(ours, golden, OUTPUT))
            nearest = np.linalg.norm(ours[:, None] - golden, axis=-1).mean(-1).min(1)
            furthest_mm = max(furthest_mm, float(nearest.mean()) * 1e3)
    graphs = backend.graphs
    assert graphs > 0, 'nothing was captured'
    if precision == torch.float32:
        assert worst <= 1, f'{worst:.2f} of the tolerance'
    else:
        assert furthest_mm < ALLOWED_MM[precision], f'{furthest_mm:.2f} mm'
    share = f'{worst:.3f} of the tolerance, ' if precision == torch.float32 else ''
    return f'{share}{furthest_mm:.3f} mm mean, {graphs} graphs'


def same_people(ours: list[Found], theirs: list[Found], allowed_mm: float) -> float:
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert len(a.confidence) == len(b.confidence), (len(a.confidence), len(b.confidence))
        distance = np.linalg.norm(a.vertices_camera_m[:, None] - b.vertices_camera_m, axis=-1)
        worst = max(worst, float(distance.mean(-1).min(1).max()) * 1e3)
    assert worst < allowed_mm, f'{worst:.3f} mm'
    return worst


def many_sizes_and_counts(precision: torch.dtype, allowed_mm: float) -> str:
    """Replay graphs with other pictures, token counts, batches than they were captured with."""
    model = random_model(SIZES['open'])
    network = model.network.to(CUDA).eval()
    layer = BodyLayer(model.body, kid=True).to(CUDA)
    plain, fast = (
        EagerBackend(network, layer, torch.float32),
        FastBackend(network, layer, precision),
    )
    worst = 0.0
    for seed in range(3):
        for height, width, batch in ((420, 560, 1), (420, 560, 3), (560, 315, 2)):
            pictures = [
                InputPicture(
                    random_picture(height, width, 10 * seed + i),
                    resized_size(height, width, 560),
                    None,
                )
                for i in range(batch)
            ]
            cells = (-(-height // 56) * 2) * (-(-width // 56) * 2)
            generator = torch.Generator().manual_seed(seed)
            scale_map = torch.rand(batch, cells, 2, generator=generator)
            scale_map[..., 0] *= torch.rand(batch, 1, generator=generator)
            scale_map = scale_map.to(CUDA)
            theirs = plain(pictures, -1.0, scale_map.flatten(0, 1))
            for _ in range(4):
                ours = fast(pictures, -1.0, scale_map)
                worst = max(worst, same_people(ours, theirs, allowed_mm))
    return f'{worst:.4f} mm at most, {fast.graphs} graphs'


def warm_up() -> str:
    model = random_model(SIZES['open'])
    network = model.network.to(CUDA).eval()
    backend = FastBackend(network, BodyLayer(model.body, kid=True).to(CUDA), torch.float16)
    start = time.perf_counter()
    backend.warm_up(1, 576, 768, lambda message: None, 512)
    return f'{backend.graphs} graphs in {time.perf_counter() - start:.1f} s'


def main() -> int:
    checks = [
        ('fused kernels', triton_kernels),
        ('wide products', wide_products),
        *(
            (
                f'published numbers, {name}, {precision}',
                lambda n=name, p=precision: published_numbers(n, p),
            )
            for name in ('adaptive', 'two_levels', 'official')
            for precision in (torch.float32, torch.float16, torch.bfloat16)
            if name == 'official' or precision == torch.float32
        ),
        ('sizes and counts, float32', lambda: many_sizes_and_counts(torch.float32, 0.5)),
        ('sizes and counts, float16', lambda: many_sizes_and_counts(torch.float16, 100.0)),
        ('warm-up', warm_up),
    ]
    failed = 0
    for name, check in checks:
        start = time.perf_counter()
        try:
            outcome = check()
        except Exception as error:
            failed += 1
            trace = ''.join(traceback.format_exc().splitlines(keepends=True)[-7:])
            outcome = f'FAILED: {error}\n{trace}'
        print(f'{name}: {outcome} ({time.perf_counter() - start:.1f} s)', flush=True)
    return int(failed > 0)


if __name__ == '__main__':
    raise SystemExit(main())
