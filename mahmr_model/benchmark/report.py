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

"""The benchmark's table and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import Any

from mahmr_model import __version__
from mahmr_model.benchmark.clock import Spread
from mahmr_model.benchmark.machine import Machine
from mahmr_model.benchmark.measure import REFERENCE, Result
from mahmr_model.files import written_beside

STAGES = (
    'copy',
    'preprocess',
    'coarse pass',
    'counts',
    'fine pass',
    'encoder',
    'decoder',
    'heads',
    'choice',
    'bodies',
    'result copy',
)


@dataclass(frozen=True)
class Report:
    """Everything that was measured of one network."""

    size: str
    picture_hw: tuple[int, int]
    device: str
    runs: int
    machine: Machine
    results: list[Result]
    rendering: dict[int, Spread]

    def table(self) -> str:
        """Return a Markdown page of all results: totals, then stages."""
        machine = self.machine
        height, width = self.picture_hw
        rates = ', '.join(f'{name} {rate:.2f}' for name, rate in machine.tflop_per_s.items())
        lines = [
            f'{self.size} size, picture {width}×{height}, {machine.name} ({self.device}, '
            f'{machine.threads} threads), torch {machine.torch}, medians of {self.runs} runs '
            '(10 to 90 %)',
            f'measured ceilings: products of large matrices {rates} TFLOP/s; '
            f'copy {machine.copy_gb_per_s:.0f} GB/s read and written',
            '',
            '| tokens | people | batch | way | ms | spread | of plain | TFLOP/s | of ceiling | '
            'vertices mean, max mm | joints max mm | away m | first call s | graphs | MiB |',
            '|' + '---:|' * 3 + '---|' + '---:|' * 11,
        ]
        lines += [self._total_row(result) for result in self.results]
        lines += ['', *self._stage_table(), '']
        lines += [
            f'Drawing the overlay of {people} people on the host: {spread.median:.1f} ms'
            for people, spread in self.rendering.items()
        ]
        return '\n'.join(lines)

    def save(self, path: Path) -> None:
        """Write all numbers as JSON."""
        numbers: dict[str, Any] = {'mahmr': __version__, **asdict(self)}
        with written_beside(path) as temporary:
            temporary.write_text(json.dumps(numbers, indent=1), encoding='utf-8')

    def _total_row(self, result: Result) -> str:
        plain = next(
            other.total.median
            for other in self.results
            if other.case == result.case and other.way == REFERENCE.name
        )
        precision = result.way.split()[1]
        rate = result.gflop / result.total.median
        ceiling = self.machine.tflop_per_s.get(precision)
        share = '' if ceiling is None else f'{100 * rate / ceiling:.0f} %'
        total = result.total
        return (
            f'| {result.tokens} | {result.case.people} | {result.case.batch} | {result.way} '
            f'| {total.median:.2f} | {total.low:.2f}–{total.high:.2f} '
            f'| {plain / total.median:.2f}× | {rate:.2f} | {share} '
            f'| {_millimetres(result.vertices_mm)} | {_largest(result.joints_mm)} '
            f'| {result.distance_m:.1f} | {result.first_s:.1f} | {result.graphs} '
            f'| {result.memory_mib:.0f} |'
        )

    def _stage_table(self) -> list[str]:
        lines = [
            'Stages, medians in ms:',
            '',
            '| tokens | batch | way | ' + ' | '.join(STAGES) + ' |',
            '|---:|---:|---|' + '---:|' * len(STAGES),
        ]
        for result in self.results:
            cells = [
                f'{result.stages[stage].median:.3f}' if stage in result.stages else ''
                for stage in STAGES
            ]
            name = f'| {result.tokens} | {result.case.batch} | {result.way} | '
            lines.append(name + ' | '.join(cells) + ' |')
        return lines


def _millimetres(mean_and_largest: tuple[float, float] | None) -> str:
    return '–' if mean_and_largest is None else ', '.join(f'{n:.3f}' for n in mean_and_largest)


def _largest(mean_and_largest: tuple[float, float] | None) -> str:
    return '–' if mean_and_largest is None else f'{mean_and_largest[1]:.3f}'
