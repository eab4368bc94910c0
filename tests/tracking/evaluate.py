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
How well identities are kept on synthetic clips: `python tests/tracking/evaluate.py`.

Counts are those of py-motmetrics (CLEAR MOT, Bernardin and Stiefelhagen 2008; IDF1, Ristani et
al. 2016): a detection is of a person when it lies within a metre of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clips import Errors, Frame, frames, Scene, SCENES
from mahmr_model.tracking import Tracker, TrackerConfig
import motmetrics
import numpy as np

RATES_HZ = (10, 15, 30)
SEEDS = 5
NEAR_M = 1.0
WORSE = {
    'all, errors twice as large': Errors(0.06, 0.06, 6.0, 0.1, 0.6, 0.1, 0.2),
    'all, depth errs by 10 %': Errors(along=0.1),
}
METRICS = {
    'num_objects': 'sightings',
    'num_switches': 'switches',
    'idf1': 'IDF1',
    'mota': 'MOTA',
    'num_misses': 'missed',
    'num_false_positives': 'false',
}


@dataclass(frozen=True)
class Score:
    """What came out over some clips."""

    sightings: int
    switches: int
    idf1: float
    mota: float
    missed: int
    false: int


def score(clips: Iterable[Iterable[Frame]], config: TrackerConfig | None = None) -> Score:
    """Track each clip anew and count over all of them."""
    accumulators = []
    for clip in clips:
        tracker = Tracker(config)
        numbers: dict[str, int] = {}  # py-motmetrics wants numbers for names
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for frame in clip:
            people = tracker.update(frame.people, 100 + frame.now_s)
            assert people.ids is not None
            truth = np.array(list(frame.truth.values())).reshape(-1, 3)
            apart_m = np.linalg.norm(truth[:, None] - people.root_m[None], axis=2)
            apart_m[apart_m > NEAR_M] = np.nan
            truth_ids = [numbers.setdefault(name, len(numbers)) for name in frame.truth]
            accumulator.update(truth_ids, people.ids.tolist(), apart_m)
        accumulators.append(accumulator)
    table = motmetrics.metrics.create().compute_many(
        accumulators, metrics=list(METRICS), generate_overall=True
    )
    row = table.loc['OVERALL']
    return Score(
        int(row['num_objects']),
        int(row['num_switches']),
        float(row['idf1']),
        float(row['mota']),
        int(row['num_misses']),
        int(row['num_false_positives']),
    )


def clips_of(
    scene: Scene, rate_hz: float, seeds: int = SEEDS, errors: Errors | None = None
) -> list[list[Frame]]:
    """Give a scene as several detectors see it."""
    return [list(frames(scene, rate_hz, seed, errors)) for seed in range(seeds)]


def main() -> None:
    """Print the table of docs/tracking.md."""
    print('| clip | Hz | people seen | switches | IDF1 | MOTA | missed | false |')
    print('|---|---|---|---|---|---|---|---|')
    every: list[list[Frame]] = []
    for name, scene in SCENES.items():
        for rate_hz in RATES_HZ:
            clips = clips_of(scene, rate_hz)
            every += clips
            _print_row(name, rate_hz, score(clips))
    _print_row('all', 'all', score(every))
    for name, errors in WORSE.items():
        every = [
            clip
            for scene in SCENES.values()
            for rate_hz in RATES_HZ
            for clip in clips_of(scene, rate_hz, errors=errors)
        ]
        _print_row(name, 'all', score(every))


def _print_row(name: str, rate_hz: object, result: Score) -> None:
    print(
        f'| {name} | {rate_hz} | {result.sightings} | {result.switches} | {result.idf1:.3f} | '
        f'{result.mota:.3f} | {result.missed} | {result.false} |'
    )


if __name__ == '__main__':
    main()
