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
What smoothing gains and what it costs: `python tests/tracking/evaluate_smoothing.py`.

One person on a known path is seen with the errors of `clips.Errors`. The error is the root mean
square distance from the truth of the same moment, across the line of sight and along it; the
delay is the shift in time by which the smoothed path lies nearest to the true one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

from clips import boxes_of, Errors, standing
from mahmr_model.tracking import Smoother, SmootherConfig
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation

RATES_HZ = (10, 15, 30)
SECONDS = 40.0
SETTLED_S = 2.0
"""What the filters do before this is left out."""
ARM = 16
"""The joint that turns: the left shoulder."""


@dataclass(frozen=True)
class Motion:
    """A path: metres at a time, and the angle of the arm in radians."""

    place_m: Callable[[float], tuple[float, float, float]]
    arm_rad: Callable[[float], float] = lambda _: 0.0


def _to_and_fro(now_s: float) -> float:
    """Walk 4 m to and fro at 1.3 m/s, from -2 to 2."""
    phase = (1.3 * now_s) % 8
    return 2 - abs(phase - 4)


MOTIONS = {
    'stands, 5 m away': Motion(lambda _: (0.3, 0.0, 5.0)),
    'walks across, 1.3 m/s': Motion(lambda t: (_to_and_fro(t), 0.0, 5.0)),
    'walks along, 1.3 m/s': Motion(lambda t: (0.3, 0.0, 5 + _to_and_fro(t))),
    'stands, waves at 1 Hz': Motion(
        lambda _: (0.3, 0.0, 5.0), lambda t: 0.6 * math.sin(2 * math.pi * t)
    ),
}


@dataclass(frozen=True)
class Gain:
    """Raw and smoothed errors, and delays (nan where nothing moves)."""

    across_mm: tuple[float, float]
    along_mm: tuple[float, float]
    turn_deg: tuple[float, float]
    place_delay_ms: float
    turn_delay_ms: float


def gain(
    motion: Motion, rate_hz: float, seed: int = 0, config: SmootherConfig | None = None
) -> Gain:
    """Play a motion, smooth what is seen of it, and compare both with the truth."""
    errors = Errors()
    rng = np.random.default_rng(seed)
    smoother = Smoother(lambda people: people, config)
    times = np.arange(0, SECONDS, 1 / rate_hz)
    raw_m, smooth_m, raw_rad, smooth_rad = [], [], [], []
    for now_s in times.tolist():
        at = np.array([motion.place_m(now_s)], np.float32)
        at[:, :2] += rng.normal(0, errors.across_m, 2).astype(np.float32)
        at *= np.float32(1 + rng.normal(0, errors.along))
        pose = np.zeros((1, 24, 3), np.float32)
        noise = Rotation.from_rotvec(rng.normal(0, errors.rotation_rad, 3))
        pose[0, ARM] = (Rotation.from_rotvec([0, 0, motion.arm_rad(now_s)]) * noise).as_rotvec()
        seen = standing(at, boxes_of([tuple(at[0])]), pose, np.zeros((1, 10), np.float32))
        smooth = smoother.update(seen.with_ids(np.array([1])), 100 + now_s)
        raw_m.append(at[0])
        smooth_m.append(smooth.translation_m[0])
        raw_rad.append(pose[0, ARM])
        smooth_rad.append(smooth.pose_axis_angle[0, ARM])
    return _compare(motion, times, *map(np.array, (raw_m, smooth_m, raw_rad, smooth_rad)))


def _compare(
    motion: Motion,
    times: np.ndarray,
    raw_m: np.ndarray,
    smooth_m: np.ndarray,
    raw_rad: np.ndarray,
    smooth_rad: np.ndarray,
) -> Gain:
    settled = times > SETTLED_S

    def truth_m(shift_s: float) -> np.ndarray:
        return np.array([motion.place_m(t - shift_s) for t in times.tolist()])[settled]

    def truth_rad(shift_s: float) -> np.ndarray:
        return np.array([(0, 0, motion.arm_rad(t - shift_s)) for t in times.tolist()])[settled]

    across, along, turn = [], [], []
    for seen_m, seen_rad in ((raw_m, raw_rad), (smooth_m, smooth_rad)):
        error = seen_m[settled] - truth_m(0)
        sight = truth_m(0) / np.linalg.norm(truth_m(0), axis=1, keepdims=True)
        part = (error * sight).sum(1)
        along.append(1000 * _rms(part))
        across.append(1000 * _rms(np.linalg.norm(error - part[:, None] * sight, axis=1)))
        apart = Rotation.from_rotvec(truth_rad(0)).inv() * Rotation.from_rotvec(seen_rad[settled])
        turn.append(math.degrees(_rms(apart.magnitude())))
    return Gain(
        (across[0], across[1]),
        (along[0], along[1]),
        (turn[0], turn[1]),
        _delay_ms(lambda s: smooth_m[settled] - truth_m(s), truth_m(0)),
        _delay_ms(lambda s: smooth_rad[settled] - truth_rad(s), truth_rad(0)),
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _delay_ms(difference: Callable[[float], np.ndarray], truth: np.ndarray) -> float:
    if np.ptp(truth, axis=0).max() == 0:
        return math.nan
    found = minimize_scalar(
        lambda s: float((difference(s) ** 2).sum()), bounds=(0, 1), method='bounded'
    )
    return 1000 * float(found.x)


def main() -> None:
    """Print the table of docs/tracking.md."""
    print(
        '| motion | Hz | across, mm | along, mm | arm, ° | delay of place, ms | of the arm, ms |\n'
        '|---|---|---|---|---|---|---|'
    )
    for name, motion in MOTIONS.items():
        for rate_hz in RATES_HZ:
            row = gain(motion, rate_hz)
            pairs = ' | '.join(
                f'{raw:.1f} → {smooth:.1f}'
                for raw, smooth in (row.across_mm, row.along_mm, row.turn_deg)
            )
            delays = ' | '.join(
                '' if math.isnan(ms) else f'{ms:.0f}'
                for ms in (row.place_delay_ms, row.turn_delay_ms)
            )
            print(f'| {name} | {rate_hz} | {pairs} | {delays} |')


if __name__ == '__main__':
    main()
