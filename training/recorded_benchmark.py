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
How fast recorded steps are, scenes beside them, and what a step is made of.

    python -m training.recorded_benchmark --cfg open_1 training.batch_size=64

Of one process on its device, with random weights. Prints a table, then the costliest kernels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
import math
import sys
import time

from accelerate import Accelerator
from mahmr_model.body.data import load_body
from mahmr_model.errors import UserError
import torch
from training.benchmark import operators, rate
from training.config import load_config, RunConfig
from training.recipe import run_body
from training.recorded import recorded_parts

_PROFILED = 3


class Parts:
    """What recorded steps are made of."""

    def __init__(self, config: RunConfig) -> None:
        """Build all of a run, as `train_recorded` does, and render its first scenes."""
        if not config.training.recorded:
            raise UserError(
                f'The steps of {config.name} are not recorded ones; take training.benchmark, or '
                'training.recorded=true.'
            )
        config.check_training()
        accelerator = Accelerator(cpu=not torch.accelerator.is_available())
        self.device = accelerator.device
        path = run_body(config)
        _, self.filling, self.step = recorded_parts(
            replace(config, starts_from=()), accelerator, load_body(path), path
        )

    def measure(self, runs: int) -> dict[str, float]:
        """Return milliseconds, in the mean of so many runs."""
        scenes = self.filling.render()
        rendering_ms = self._ms(self.filling.render, max(1, runs // 10))
        result = {
            'a step, nothing beside it': self._ms(lambda: self.step(0.0), runs),
            '  forward and backward': self._ms(self.step.backward, runs),
            '  optimiser': self._ms(self.step.update, runs),
            'a scene, nothing beside it': rendering_ms / scenes,
        }
        if self.device.type == 'cuda':
            result |= self._beside(runs)
        return result

    def _beside(self, runs: int) -> dict[str, float]:
        """Return the same of steps and as many scenes beside them as there can be."""
        self.filling.due = math.inf
        with self.filling:
            self.step(0.0)
            before, start = self.filling.rendered, time.perf_counter()
            step_ms = self._ms(lambda: self.step(0.0), runs)
            spent_ms = 1000 * (time.perf_counter() - start)
            self.filling.beside_step()  # raises what went wrong
        scenes = self.filling.rendered - before
        if not scenes:
            raise UserError(f'No scene was rendered beside {runs} steps; take more --runs.')
        return {
            'a step, scenes beside it': step_ms,
            'a scene, steps beside it': spent_ms / scenes,
        }

    def profile(self) -> str:
        """Return the costliest operations of some steps, on CUDA its kernels."""

        def steps() -> None:
            for _ in range(_PROFILED):
                self.step(0.0)

        return operators(steps, self.device)[1][0]

    def _ms(self, act: Callable[[], object], runs: int) -> float:
        return 1000 / rate(act, 1, runs, self.device)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--cfg', default='open_1')
    parser.add_argument('--runs', type=int, default=50)
    parser.add_argument('overrides', nargs='*', metavar='KEY=VALUE')
    options = parser.parse_intermixed_args(arguments)
    try:
        parts = Parts(load_config(options.cfg, options.overrides))
        for name, value in parts.measure(max(1, options.runs)).items():
            sys.stdout.write(f'{name:<28}{value:9.2f} ms\n')
        sys.stdout.write(f'{parts.profile()}\n')
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
