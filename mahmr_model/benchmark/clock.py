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

"""Times of stages, on the device's own clock where it has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
import functools
import time
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Spread:
    """Times of many runs in milliseconds."""

    median: float
    low: float
    """A tenth of the runs were quicker."""
    high: float
    """A tenth of the runs were slower."""

    @classmethod
    def of(cls, values_ms: list[float]) -> Spread:
        """Summarise runs."""
        low, median, high = np.percentile(values_ms, (10, 50, 90))
        return cls(float(median), float(low), float(high))


@dataclass
class StageClock:
    """
    Collects how long each stage took, run after run.

    A stage lasts from the mark before its own to its own; on CUDA these are events in the queue,
    which cost next to nothing and show when the device, not the host, was there.
    """

    cuda: bool
    times_ms: dict[str, list[float]] = field(default_factory=dict)
    _marks: list[tuple[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        """Begin a run."""
        self._marks = []
        self('')

    def __call__(self, stage: str) -> None:
        """Take note that a stage is over."""
        if self.cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append((stage, event))
        else:
            self._marks.append((stage, time.perf_counter()))

    def stop(self) -> None:
        """End a run; stages of one name add up."""
        if self.cuda:
            torch.cuda.synchronize()
        run: dict[str, float] = {}
        for (_, before), (stage, after) in zip(self._marks, self._marks[1:], strict=False):
            spent = before.elapsed_time(after) if self.cuda else (after - before) * 1e3
            run[stage] = run.get(stage, 0.0) + spent
        for stage, spent in run.items():
            self.times_ms.setdefault(stage, []).append(spent)

    def spreads(self) -> dict[str, Spread]:
        """Return every stage's times."""
        return {stage: Spread.of(times) for stage, times in self.times_ms.items()}

    def wrapped(self, function: Callable[..., Any], before: str, stage: str) -> Callable[..., Any]:
        """Return a function that marks what was before it, and itself."""

        @functools.wraps(function)
        def marked(*arguments: Any, **options: Any) -> Any:
            if before:
                self(before)
            result = function(*arguments, **options)
            self(stage)
            return result

        return marked


def median_ms(function: Callable[[], object], cuda: bool, runs: int) -> float:
    """Return how long a call takes, the middle of several after two that do not count."""
    times: list[float] = []
    for number in range(runs + 2):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if cuda:
            torch.cuda.synchronize()
        if number >= 2:
            times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))
