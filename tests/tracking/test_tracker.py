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

"""Identities over time in small staged scenes."""

from __future__ import annotations

from clips import people_at, PlaceM, Scene
from mahmr_model.tracking import Tracker
import numpy as np
import pytest


def play(
    scene: Scene,
    seconds: float,
    rate_hz: float,
    noise_m: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    tracker: Tracker | None = None,
) -> dict[str, list[int]]:
    """Track a scene, people in random order each time; give the ids that each name had."""
    rng = np.random.default_rng(seed)
    tracker = tracker or Tracker()
    ids: dict[str, list[int]] = {}
    for step in range(int(seconds * rate_hz) + 1):
        now_s = step / rate_hz
        shown = list(scene(now_s).items())
        rng.shuffle(shown)
        places = [_seen(place, noise_m, rng) for _, place in shown]
        tracked = tracker.update(people_at(places), 100 + now_s)
        assert tracked.ids is not None
        assert len(set(tracked.ids.tolist())) == len(shown)
        for (name, _), identity in zip(shown, tracked.ids, strict=True):
            ids.setdefault(name, []).append(int(identity))
    return ids


def _seen(place: PlaceM, noise_m: tuple[float, float], rng: np.random.Generator) -> PlaceM:
    """Give a place with errors across the line of sight (small) and along it (large)."""
    stretch = 1 + rng.normal(0, noise_m[1]) / float(np.linalg.norm(place))
    x, y, z = place
    return (x + rng.normal(0, noise_m[0])) * stretch, y * stretch, z * stretch


def crossing(now_s: float) -> dict[str, PlaceM]:
    """Two walk past each other at 1.3 m/s, 0.8 m apart in depth."""
    x = -2 + 1.3 * now_s
    return {'right': (x, 0, 4.0), 'left': (-x, 0, 4.8)}


@pytest.mark.parametrize('rate_hz', [10, 15, 30])
@pytest.mark.parametrize('noise_m', [(0.0, 0.0), (0.04, 0.15)])
@pytest.mark.parametrize('seed', range(5))
def test_people_who_cross_keep_their_ids(
    rate_hz: float, noise_m: tuple[float, float], seed: int
) -> None:
    ids = play(crossing, 3, rate_hz, noise_m, seed)
    assert {len(set(seen)) for seen in ids.values()} == {1}
    assert ids['right'][0] != ids['left'][0]


@pytest.mark.parametrize('rate_hz', [10, 30])
@pytest.mark.parametrize('seed', range(5))
def test_hidden_while_somebody_passes(rate_hz: float, seed: int) -> None:
    def scene(now_s: float) -> dict[str, PlaceM]:
        shown = crossing(now_s)
        if 1.1 < now_s < 1.9:
            del shown['left']
        return shown

    ids = play(scene, 3, rate_hz, (0.03, 0.1), seed)
    assert {len(set(seen)) for seen in ids.values()} == {1}


@pytest.mark.parametrize(('away_s', 'same'), [(1.0, True), (1.7, False), (2.5, False)])
def test_who_leaves_for_long_comes_back_as_another(away_s: float, same: bool) -> None:
    def scene(now_s: float) -> dict[str, PlaceM]:
        shown: dict[str, PlaceM] = {'stays': (-1, 0, 4)}
        if not 1 < now_s < 1 + away_s:
            shown['leaves'] = (1, 0, 5)
        return shown

    ids = play(scene, 5, 10)
    assert len(set(ids['stays'])) == 1
    assert (ids['leaves'][0] == ids['leaves'][-1]) == same
    assert max(ids['leaves']) == (2 if same else 3), 'no id is given twice'


def test_a_stranger_far_from_where_somebody_vanished_is_new() -> None:
    tracker = Tracker()
    tracker.update(people_at([(0, 0, 4)]), 0.0)
    assert tracker.update(people_at([(1.5, 0, 4)]), 0.1).ids == [2]
    # Depth errs more than what is across: the same step along the view is the same person.
    assert tracker.update(people_at([(1.5, 0, 5.0)]), 0.2).ids == [2]


@pytest.mark.parametrize('noise_m', [(0.03, 0.1), (0.05, 0.4)])
def test_a_crowd_that_stands_is_never_mixed_up(noise_m: tuple[float, float]) -> None:
    places: dict[str, PlaceM] = {f'{i}': (i * 0.9 - 3, 0, 5 + i % 2) for i in range(8)}
    ids = play(lambda _: places, 5, 20, noise_m)
    assert {len(set(seen)) for seen in ids.values()} == {1}


@pytest.mark.parametrize('jump_s', [-0.5, -100.0, 4.0])
def test_a_jump_of_time_starts_all_over(jump_s: float) -> None:
    tracker = Tracker()
    for step in range(5):
        tracker.update(people_at([(step, 0, 4)]), 200 + step / 10)
    again = tracker.update(people_at([(4, 0, 4), (0, 0, 4)]), 200.4 + jump_s)
    assert sorted(again.ids) == [1, 2]


@pytest.mark.parametrize('picture_s', [0.033, 0.1])
def test_a_short_gap_starts_nothing_over(picture_s: float) -> None:
    """After two seconds without a picture everybody is new, but ids go on."""
    tracker = Tracker()
    for step in range(4):
        assert tracker.update(people_at([(0, 0, 4)]), 200 + step * picture_s).ids == [1]
    assert tracker.update(people_at([(0, 0, 4)]), 202.5).ids == [2]


@pytest.mark.parametrize('picture_s', [1.2, 2.0, 5.0, 30.0])
def test_a_slow_network_keeps_ids(picture_s: float) -> None:
    """Who stands keeps an id over pictures that are seconds apart, one of them missed."""
    rng = np.random.default_rng(0)
    tracker = Tracker()
    for step in range(8):
        places = {1: (-2.0, 0, 5.0), 2: (2.0, 0, 6.0)}
        if step == 4:
            del places[2]
        seen = [_seen(place, (0.03, 0.1), rng) for place in places.values()]
        ids = tracker.update(people_at(seen), 100 + step * picture_s).ids
        assert ids is not None
        assert ids.tolist() == list(places)


def test_a_pause_of_a_fast_network_is_a_jump_and_of_a_slow_one_is_none() -> None:
    for picture_s, expected in ((0.1, [1]), (2.0, [2])):
        tracker = Tracker()
        now_s = 50.0
        for _ in range(4):
            now_s += picture_s
            tracker.update(people_at([(0, 0, 4)]), now_s)
        ids = tracker.update(people_at([(3, 0, 9)]), now_s + 4).ids
        assert ids is not None
        assert ids.tolist() == expected


def test_nobody_and_the_same_stamp_twice() -> None:
    tracker = Tracker()
    for now_s in (0.0, 0.0, 0.1):
        ids = tracker.update(people_at([]), now_s).ids
        assert ids is not None
        assert ids.shape == (0,)
        assert ids.dtype == np.int64
    assert tracker.update(people_at([(0, 0, 4)]), 0.2).ids == [1]
    assert tracker.update(people_at([(0, 0, 4)]), 0.2).ids == [1]
    assert len(tracker.update(people_at([]), 0.3)) == 0
    assert tracker.update(people_at([(0, 0, 4)]), 0.4).ids == [1]


@pytest.mark.filterwarnings('error')
def test_places_that_are_no_numbers_disturb_nobody() -> None:
    tracker = Tracker()
    tracker.update(people_at([(0, 0, 4), (float('nan'), 0, 4)]), 0.0)
    ids = tracker.update(people_at([(float('nan'), 0, 4), (0, 0, 4)]), 0.1).ids
    assert ids is not None
    assert ids[1] == 1
    assert ids[0] == 3


def test_the_same_pictures_give_the_same_ids() -> None:
    first = play(crossing, 3, 20, (0.2, 0.8), seed=3)
    assert first == play(crossing, 3, 20, (0.2, 0.8), seed=3)
    tracker = Tracker()
    play(crossing, 3, 20, (0.2, 0.8), seed=1, tracker=tracker)
    # Time starts again: the tracker does as a new one would.
    assert first == play(crossing, 3, 20, (0.2, 0.8), seed=3, tracker=tracker)
