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

"""The learning rate over a run: warm-up, cosine, and a limit of time."""

from __future__ import annotations

from accelerate import Accelerator
import pytest
import torch
from training import pace as module
from training.pace import MEASURED_EVERY, Pace, PacedSchedule


def test_rate_rises_and_falls_to_zero_over_all_steps() -> None:
    pace = Pace(steps=100, warmup_steps=9, minutes=None)
    assert [pace(step) for step in (0, 4)] == pytest.approx([0.1, 0.5], rel=0.01)
    assert pace(50) == pytest.approx(0.5)
    assert (pace(100), pace(130)) == (0, 0)
    without = Pace(steps=100, warmup_steps=0, minutes=None)
    assert without(0) == 1


def test_time_takes_the_place_of_steps_where_it_is_over_first() -> None:
    pace = Pace(steps=1000, warmup_steps=0, minutes=2.0)
    assert pace.share(10) == pytest.approx(0.01)  # nothing was measured yet
    pace.measured(20, 0.5)
    assert pace.share(20) == pytest.approx(0.25)
    assert pace.share(40) == pytest.approx(0.5)  # as fast as before
    pace.measured(40, 1.5)  # but it was slower
    assert pace.share(40) == pytest.approx(0.75)
    assert pace.share(50) == 1
    assert pace(50) == 0
    pace.measured(60, 2.1)
    assert pace.share(60) == 1


class Clock:
    """Time that passes as it is told to."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def schedule(minutes: float) -> tuple[PacedSchedule, torch.optim.Optimizer]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    pace = Pace(10_000, 0, minutes)
    return PacedSchedule(optimiser, pace, Accelerator(cpu=True)), optimiser


def step(paced: PacedSchedule) -> None:
    """Make one, in the order that torch wants."""
    paced._schedule.optimizer.step()
    paced.step()


def run(paced: PacedSchedule, clock: Clock, seconds_a_step: float) -> int:
    """Make steps until the time is over; returns how many."""
    paced.start_clock()
    steps = 0
    while not paced.is_over:
        clock.seconds += seconds_a_step
        step(paced)
        steps += 1
    return steps


def test_run_ends_when_its_minutes_are_over_at_a_rate_of_zero(clock: Clock) -> None:
    paced, optimiser = schedule(minutes=1.0)
    steps = run(paced, clock, 0.5)
    assert abs(steps - 120) <= MEASURED_EVERY
    assert optimiser.param_groups[0]['lr'] == 0


def test_slow_steps_end_as_soon_as_the_time_is_over(clock: Clock) -> None:
    assert run(schedule(minutes=1.0)[0], clock, 25) == 3
    assert run(schedule(minutes=0.1)[0], clock, 25) == 1


def test_time_between_pieces_does_not_count(clock: Clock) -> None:
    first, _ = schedule(minutes=1.0)
    first.start_clock()
    for _ in range(3 * MEASURED_EVERY):
        clock.seconds += 0.5
        step(first)
    clock.seconds += 1e6
    second, _ = schedule(minutes=1.0)
    second.load_state_dict(first.state_dict())
    assert second.rates() == first.rates()
    assert abs(run(second, clock, 0.5) - 60) <= MEASURED_EVERY


def test_run_that_is_over_goes_on_with_more_minutes(clock: Clock) -> None:
    first, _ = schedule(minutes=1.0)
    run(first, clock, 0.5)
    longer, _ = schedule(minutes=2.0)
    longer.load_state_dict(first.state_dict())
    assert not longer.is_over
    clock.seconds += 1
    step(longer)
    assert longer.rates()[0] > 0
