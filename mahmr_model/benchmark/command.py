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

"""The command `mahmr benchmark`."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
import sys

from mahmr_model.benchmark.cases import PICTURES, random_model, SIZES
from mahmr_model.benchmark.kernels import kernel_table
from mahmr_model.benchmark.machine import measure_machine
from mahmr_model.benchmark.measure import Bench, Case, REFERENCE, Result, Way
from mahmr_model.benchmark.report import Report
from mahmr_model.errors import UserError
from mahmr_model.fast.layout import bucket
from mahmr_model.files import written_beside
from mahmr_model.predictor import choose_device
from mahmr_model.transfer import working_on
import torch

CASES = {'official': ('1001:2', '2153:6'), 'open': ('180:5',), 'medium': ('400:6',)}
"""Tokens and people of the pictures that speed is spoken of; spec of the published code's."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    command = commands.add_parser(
        'benchmark', help='measure speed, and what it costs in numbers, with random weights'
    )
    command.add_argument('--size', choices=SIZES, default='official', help='network (%(default)s)')
    command.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, … (auto)')
    command.add_argument(
        '--case',
        dest='cases',
        nargs='+',
        metavar='TOKENS:PEOPLE',
        help='tokens that scale maps are made for, and people (1001:2 2153:6; open: 180:5; '
        'medium: 400:6)',
    )
    command.add_argument(
        '--ways',
        nargs='+',
        metavar='BACKEND:PRECISION[:tf32]',
        help='what stands beside the plain network in float32, such as fast:float16',
    )
    command.add_argument(
        '--batch', type=_count, nargs='+', default=[1], help='pictures at once (1)'
    )
    command.add_argument(
        '--runs', type=_count, default=30, help='timed runs of each (%(default)s)'
    )
    command.add_argument('--threads', type=_count, help='threads of torch on a CPU')
    command.add_argument('--out', type=Path, help='a file for all numbers, .json')
    command.add_argument(
        '--profile', type=Path, help='a file for tables of the kernels of each way'
    )
    command.add_argument(
        '--kernels', action='store_true', help="the encoder's kernels one by one (CUDA)"
    )
    command.set_defaults(run=run_benchmark)


def run_benchmark(options: argparse.Namespace) -> int:
    """Measure, print the table, write the numbers."""
    if options.threads:
        torch.set_num_threads(options.threads)
    logging.getLogger('mahmr_model.fast').setLevel(logging.INFO)  # which kernels it chooses
    device = choose_device(options.device)
    with working_on(device):
        return _measure(options, device)


def _measure(options: argparse.Namespace, device: torch.device) -> int:
    config, picture_hw = SIZES[options.size], PICTURES[options.size]
    cases = [
        _case(text, batch, config.queries)
        for batch in options.batch
        for text in options.cases or CASES[options.size]
    ]
    ways = [REFERENCE, *(_ways(options.ways) if options.ways else _usual_ways(device))]
    precisions: list[str] = sorted({way.precision for way in ways})
    machine = measure_machine(device, precisions)
    bench = Bench(random_model(config), device, picture_hw, options.runs)
    results: list[Result] = []
    profiles: list[str] = []
    for case in cases:
        print(f'# {case}', file=sys.stderr, flush=True)  # noqa: T201
        results += bench.measure(ways, case, profiles.append if options.profile else None)
    report = Report(
        options.size, picture_hw, str(device), options.runs, machine, results, bench.rendering
    )
    print(report.table())  # noqa: T201 – the command's result
    if options.kernels and device.type == 'cuda':
        with torch.inference_mode():
            rows = [1 + bench.cells, *(bucket(1 + case.tokens) for case in cases)]
            print(kernel_table(config, rows, torch.float16))  # noqa: T201
    if options.out:
        report.save(options.out)
    if options.profile:
        with written_beside(options.profile) as temporary:
            temporary.write_text('\n\n'.join(profiles), encoding='utf-8')
    return 0


def _usual_ways(device: torch.device) -> list[Way]:
    if device.type == 'cpu':
        return [Way('fast', 'float32')]
    return [
        Way('eager', 'float32', tf32=True),
        Way('fast', 'float32'),
        Way('fast', 'float16'),
        Way('fast', 'bfloat16'),
    ]


def _case(text: str, batch: int, most_people: int) -> Case:
    tokens, _, people = text.partition(':')
    if not (tokens.isdecimal() and people.isdecimal() and int(people) > 0):
        raise UserError(f'A case is TOKENS:PEOPLE, such as 2153:6, not {text}.')
    if int(people) > most_people:
        raise UserError(f'This network finds {most_people} people at most, not {people}.')
    return Case(int(tokens), int(people), batch)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f'expected a whole number above 0, got {text}')
    return int(text)


def _ways(texts: list[str]) -> list[Way]:
    ways: list[Way] = []
    for text in texts:
        backend, _, rest = text.partition(':')
        precision, _, extra = rest.partition(':')
        if (
            backend not in ('fast', 'eager')
            or precision not in ('float32', 'float16', 'bfloat16')
            or extra not in ('', 'tf32')
        ):
            raise UserError(f'A way is BACKEND:PRECISION, such as fast:float16, not {text}.')
        ways.append(Way(backend, precision, extra == 'tf32'))  # type: ignore[arg-type]
    return ways
