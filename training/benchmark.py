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
How fast a run trains: loader, renderer and step, by precision, and the plain way beside it.

    python -m training.benchmark --cfg open_1                        sizes and batch of that stage
    python -m training.benchmark --cfg open_1 --batch 64 model.input_size=448

Pictures a second of one process on its device, after warming up. Prints a table and a JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
import json
from pathlib import Path
import statistics
import sys
import time
from typing import Any, get_args
from unittest import mock
import warnings

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from mahmr_model.body.data import load_body
from mahmr_model.errors import UserError
from mahmr_model.files import check_writable, written_beside
import torch
from training.ahead import one_ahead
from training.batches import DeviceBatch
from training.compiling import compile_parts
from training.config import load_config, MixedPrecision, RunConfig
from training.criterion import Criterion
from training.optimiser import make_optimiser
from training.recipe import build_model, MeshRecipe, run_body
from training.run_data import training_data
from training.sampling import EpochSampler, NumberedBatch, StepOrder, training_loader

PLAIN = 'plain'
"""float32, and attention picture by picture."""
_PARTS = ('network', 'losses', 'backward', 'optimiser')


class Step:
    """A step of training on one batch, part by part."""

    def __init__(self, config: RunConfig, precision: str) -> None:
        """Build the model of a run; `precision` as `mixed_precision` says it, or `PLAIN`."""
        self.plain = precision == PLAIN
        AcceleratorState._reset_state(reset_partial_state=True)  # it remembers one precision
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision='no' if self.plain else precision,
        )
        self._config = config
        body = load_body(run_body(config))
        model = build_model(replace(config, starts_from=()), body).to(self.accelerator.device)
        on_cuda = self.accelerator.device.type == 'cuda'
        if config.training.compile and on_cuda and not self.plain:
            compile_parts(model)
        optimiser = make_optimiser(model, config.training, self.accelerator.device)
        self._model, self._optimiser = self.accelerator.prepare(model, optimiser)
        self._model.train()
        self._criterion = Criterion(config.matched_losses, config.model.input_size)
        self.recipe = MeshRecipe(config, self.accelerator, body)

    def __call__(self, batch: DeviceBatch) -> None:
        """Make the step."""
        for _ in self.parts(batch):
            pass

    def parts(self, batch: DeviceBatch) -> Iterator[None]:
        """Make the step, halting after each of `_PARTS`."""
        with self._attention():
            plan = self.recipe.plan([batch], 0)[0]
            output = self._model(
                batch.images, batch.truth, use_true_scale_map=True, draw=plan.draw
            )
            yield
            losses = self._criterion(output, batch.truth, plan.shares)[0]
            total = self.recipe.total(losses)
            yield
            self.accelerator.backward(total)
            yield
            self.accelerator.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimiser.step()
            self._optimiser.zero_grad()
            yield

    def _attention(self) -> AbstractContextManager[Any]:
        if not self.plain:
            return nullcontext()
        return mock.patch(
            'mahmr_model.encoder.attention.variable_length_kernel', return_value=None
        )


def measure(config: RunConfig, precisions: list[str], runs: int) -> dict[str, Any]:
    """Return all numbers; the loader is measured with as many workers as the run has."""
    result: dict[str, Any] = {}
    size = config.training.batch_size * (2 if config.data.mirrored else 1)
    batches = _batches(config)
    first = next(batches)
    result['loader'] = rate(lambda: next(batches), size, 5 + runs // 2)
    device_batch: DeviceBatch | None = None
    for precision in precisions:
        step = Step(config, precision)
        device = step.accelerator.device
        made = step.recipe.prepare(first) if device_batch is None else device_batch
        if device_batch is None:
            result['device'] = _device(device)
            result['people'] = len(made.truth)
            prepare = partial(step.recipe.prepare, first)
            result['to the device'] = rate(prepare, size, runs, device)
            device_batch = made
        _reset_memory(device)
        result[f'step, {precision}'] = rate(partial(step, made), size, runs, device)
        result[f'parts in ms, {precision}'] = _parts(step, made, device, runs)
        result[f'memory in GiB, {precision}'] = _memory(device)
        if precision == precisions[0]:
            result['waits for the device'] = _waits(step, made, device)
            whole = partial(_whole, step, one_ahead(map(step.recipe.prepare, batches), device))
            result[f'whole, {precision}'] = rate(whole, size, runs, device)
        del step
    return result


def _whole(step: Step, batches: Iterator[DeviceBatch]) -> None:
    step(next(batches))


def _batches(config: RunConfig) -> Iterator[NumberedBatch]:
    data = training_data(config, run_body(config))
    order = StepOrder(len(data), config.training.batch_size)
    on_cuda = torch.accelerator.is_available()
    loader = training_loader(data, EpochSampler(order, 0), config.data.workers, pin_memory=on_cuda)
    yield from loader


def rate(
    act: Callable[[], object], pictures: int, runs: int, device: torch.device | None = None
) -> float:
    """Return pictures a second, over all of `runs` after three to warm up."""
    for _ in range(3):
        act()
    wait(device)
    start = time.perf_counter()
    for _ in range(runs):
        act()
    wait(device)
    return pictures * runs / (time.perf_counter() - start)


def _parts(step: Step, batch: DeviceBatch, device: torch.device, runs: int) -> dict[str, float]:
    """Return the median milliseconds of each part, the device waited for after each."""
    times: dict[str, list[float]] = {part: [] for part in _PARTS}
    for _ in range(max(3, runs // 3)):
        wait(device)
        start = time.perf_counter()
        for part, _ in zip(_PARTS, step.parts(batch), strict=True):
            wait(device)
            now = time.perf_counter()
            times[part].append(1000 * (now - start))
            start = now
    return {part: statistics.median(values) for part, values in times.items()}


def _waits(step: Step, batch: DeviceBatch, device: torch.device) -> list[str]:
    """Return where the host waits for the device in a step, as PyTorch reports it."""
    if device.type != 'cuda':
        return []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        step(batch)
        torch.cuda.set_sync_debug_mode('default')
    return [f'{Path(w.filename).name}:{w.lineno}' for w in caught if 'synchron' in str(w.message)]


def profile(config: RunConfig, precision: str) -> str:
    """Return which operators a step costs, on the device and on the host, and how many kernels."""
    step = Step(config, precision)
    device = step.accelerator.device
    batch = step.recipe.prepare(next(_batches(config)))
    for _ in range(3):
        step(batch)
    wait(device)
    launches, tables = operators(partial(step, batch), device)
    return '\n'.join([f'{launches} kernels launched in a step', *tables])


def operators(act: Callable[[], object], device: torch.device) -> tuple[int, list[str]]:
    """Return how many kernels are launched, and tables of the costliest operators."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    keys = ['self_cpu_time_total']
    if device.type == 'cuda':
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        keys.insert(0, 'self_cuda_time_total')
    with torch.profiler.profile(activities=activities) as profiled:
        act()
        wait(device)
    averages = profiled.key_averages()
    launches = sum(a.count for a in averages if a.key.startswith(('cudaLaunch', 'cuLaunch')))
    return launches, [
        averages.table(sort_by=key, row_limit=60, max_name_column_width=90) for key in keys
    ]


def wait(device: torch.device | None) -> None:
    """Wait until a device has done all it was told, if it is one that goes on by itself."""
    if device is not None and device.type == 'cuda':
        torch.cuda.synchronize(device)


def _reset_memory(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _memory(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == 'cuda' else None


def _device(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == 'cuda' else str(device)
    return f'{name}, torch {torch.__version__}'


def _table(result: dict[str, Any]) -> str:
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            shown = ', '.join(f'{part} {ms:.1f}' for part, ms in value.items())
        elif isinstance(value, float):
            shown = f'{value:.1f}' + ('' if 'GiB' in name else ' pictures/s')
        else:
            shown = str(value)
        lines.append(f'{name:<28}{shown}')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--cfg', default='open_1')
    parser.add_argument('--batch', type=int, help='pictures of a step; else as configured')
    parser.add_argument(
        '--precisions',
        nargs='+',
        choices=(*get_args(MixedPrecision), PLAIN),
        default=['bf16', 'no', PLAIN],
    )
    parser.add_argument('--runs', type=int, default=30)
    parser.add_argument(
        '--profile',
        action='store_true',
        help='print what a step is made of, in the first precision',
    )
    parser.add_argument('--json', type=Path, help='also write the numbers here')
    parser.add_argument('overrides', nargs='*', metavar='KEY=VALUE')
    options = parser.parse_intermixed_args(arguments)
    overrides = list(options.overrides)
    if options.batch:
        overrides.append(f'training.batch_size={options.batch}')
    try:
        config = load_config(options.cfg, overrides)
        if options.profile:
            sys.stdout.write(f'{profile(config, options.precisions[0])}\n')
            return 0
        if options.json:
            check_writable(options.json)
        result = measure(config, options.precisions, options.runs)
        sys.stdout.write(f'{_table(result)}\n{json.dumps(result)}\n')
        if options.json:
            with written_beside(options.json) as temporary:
                temporary.write_text(json.dumps(result, indent=1))
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
