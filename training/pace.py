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

"""How far a run is, by steps or by the clock, and the learning rate that follows from it."""

from __future__ import annotations

import math
import time
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
import torch

MEASURED_EVERY = 20
"""Steps between two looks at the clock; between them time is taken to go on as it did."""
_SLOW_MINUTES = 1 / 60
"""After steps as long as this the clock is looked at each time, as after the first."""


class Pace:
    """
    The share of a run that is done, whichever of steps and time is nearer to its end.

    Called with a step it gives the factor of the learning rate: linear warm-up, then cosine to 0
    over the whole run. Everything in it goes into a checkpoint along with the schedule.
    """

    def __init__(self, steps: int, warmup_steps: int, minutes: float | None) -> None:
        self.steps, self.warmup_steps = steps, warmup_steps
        self.minutes = minutes
        self.known_step, self.known_minutes, self.minutes_a_step = 0, 0.0, 0.0

    def __call__(self, step: int) -> float:
        """Return what the learning rate is multiplied by after so many steps."""
        warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
        return warm * (1 + math.cos(math.pi * self.share(step))) / 2

    def share(self, step: int) -> float:
        """Return how much of the run is done, 0…1, after so many steps."""
        share = step / self.steps
        if self.minutes is not None:
            now = self.known_minutes + (step - self.known_step) * self.minutes_a_step
            share = max(share, now / self.minutes)
        return min(1.0, share)

    def looks_at_clock(self, step: int) -> bool:
        """Return whether time is to be `measured` after so many steps."""
        slow = self.known_step == 0 or self.minutes_a_step > _SLOW_MINUTES
        return slow or step % MEASURED_EVERY == 0

    def measured(self, step: int, minutes: float) -> None:
        """Take note of how long all training until a step took."""
        if step > self.known_step:
            self.minutes_a_step = (minutes - self.known_minutes) / (step - self.known_step)
        self.known_step, self.known_minutes = step, minutes


def of_main_process(minutes: float) -> float:
    """Return the main process's number in every process; all call it."""
    agreed = [minutes]
    broadcast_object_list(agreed)
    return agreed[0]


class PacedSchedule:
    """Learning rates by a `Pace`; with a limit of time it looks at the clock every few steps."""

    def __init__(
        self, optimiser: torch.optim.Optimizer, pace: Pace, accelerator: Accelerator
    ) -> None:
        self._pace, self._accelerator = pace, accelerator
        self._schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, pace)
        self._minutes_at_start, self._start = 0.0, 0.0

    def start_clock(self) -> None:
        """Count the time from now on; what was between the last step and now does not count."""
        self._minutes_at_start, self._start = self._pace.known_minutes, time.monotonic()

    def step(self) -> None:
        """Go on to the next step's rates; every process calls this."""
        step = self._schedule.last_epoch + 1
        if self._pace.minutes is not None and self._pace.looks_at_clock(step):
            minutes = self._minutes_at_start + (time.monotonic() - self._start) / 60
            self._pace.measured(step, of_main_process(minutes))
        self._schedule.step()

    @property
    def is_over(self) -> bool:
        """Whether no step is left to be made."""
        return self._pace.share(self._schedule.last_epoch) >= 1

    def rates(self) -> list[float]:
        """Return the learning rate of every group of parameters."""
        return [float(rate) for rate in self._schedule.get_last_lr()]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return self._schedule.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, within the limits that this run has now."""
        steps, warmup, minutes = self._pace.steps, self._pace.warmup_steps, self._pace.minutes
        self._schedule.load_state_dict(state)
        self._pace.steps, self._pace.warmup_steps, self._pace.minutes = steps, warmup, minutes
