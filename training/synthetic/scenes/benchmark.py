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

"""How many scenes a second are drawn: `python -m training.synthetic.scenes.benchmark`."""

from __future__ import annotations

import argparse
import time

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
import numpy as np
import torch
from training.synthetic.scenes.batch import pack, Packed
from training.synthetic.scenes.draw import draw_scene, SceneConfig
from training.synthetic.scenes.look import draw_look
from training.synthetic.scenes.renderer import SceneRenderer

_SEED = 1


def _waited(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--batch', type=int, default=8, help='scenes at once')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--profile', action='store_true', help='list the costliest operations')
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    body = BodyLayer(load_body(OPEN_BODY), kid=True)
    start = time.perf_counter()
    renderer = SceneRenderer(body, device)
    print(f'renderer made in {_waited(device) - start:.1f} s')  # noqa: T201
    start = time.perf_counter()
    scenes = [draw_scene(SceneConfig(), _SEED, number) for number in range(arguments.batch)]
    laid_out = time.perf_counter()
    looks = [draw_look(scene) for scene in scenes]
    drawn = time.perf_counter()
    packed = pack(scenes, looks)
    ended = time.perf_counter()
    count = arguments.batch
    print(  # noqa: T201
        f'for a worker: {(laid_out - start) / count * 1e3:.1f} ms a scene, '
        f'{(drawn - laid_out) / count * 1e3:.1f} ms its look, '
        f'{(ended - drawn) / count * 1e3:.1f} ms to pack it'
    )
    if device.type == 'cuda':
        packed = packed.pin_memory()
    for _ in range(2):
        renderer.draw(packed)
    times = []
    for _ in range(arguments.rounds):
        start = _waited(device)
        renderer.draw(packed)
        times.append(_waited(device) - start)
    best, middle = min(times), float(np.median(times))
    print(  # noqa: T201
        f'{count} pictures of up to {packed.canvas_hw[0]}×{packed.canvas_hw[1]}, '
        f'{sum(len(scene.betas) for scene in scenes)} people: '
        f'median {middle * 1e3:.1f} ms ({count / middle:.0f} a second), '
        f'best {best * 1e3:.1f} ms ({count / best:.0f} a second)'
    )
    if device.type == 'cuda':
        most_gib = torch.cuda.max_memory_allocated(device) / 2**30
        print(f'most memory: {most_gib:.2f} GiB')  # noqa: T201
    if arguments.profile:
        _profile(renderer, packed, device)


def _profile(renderer: SceneRenderer, packed: Packed, device: torch.device) -> None:
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == 'cuda':
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities, record_shapes=True) as profile:
        renderer.draw(packed)
        _waited(device)
    key = 'self_cuda_time_total' if device.type == 'cuda' else 'self_cpu_time_total'
    table = profile.key_averages(group_by_input_shape=True).table(sort_by=key, row_limit=45)
    print(table)  # noqa: T201


if __name__ == '__main__':
    main()
