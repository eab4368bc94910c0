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

"""Identities on clips with truth; docs/tracking.md has the whole table."""

from __future__ import annotations

from clips import Errors, frames, SCENES
from evaluate import clips_of, score
from mahmr_model.tracking import TrackerConfig
from mahmr_model.tracking.motion import MotionConfig
import numpy as np
import pytest

SEEDS = 2


@pytest.mark.parametrize('rate_hz', [10, 15, 30])
def test_identities_are_kept(rate_hz: float) -> None:
    """Over all scenes, with misses and false detections: few switches, IDF1 near its limit."""
    result = score([c for scene in SCENES.values() for c in clips_of(scene, rate_hz, SEEDS)])
    found = 2 * (result.sightings - result.missed)
    limit = found / (found + result.missed + result.false)
    assert result.switches <= 12
    assert result.idf1 > limit - 0.06


@pytest.mark.parametrize('name', SCENES)
def test_without_errors_nobody_is_mixed_up(name: str) -> None:
    """Every person has one id while they are not hidden for long, exactly."""
    clips = [list(frames(SCENES[name], hz, 0, Errors(0, 0, 0, 0, 0, 0, 0))) for hz in (10, 30)]
    result = score(clips)
    assert (result.switches, result.missed, result.false) == (0, 0, 0)
    assert result.idf1 > 0.9


def test_the_score_sees_a_worse_tracker() -> None:
    """Without prediction people who walk and cross are mixed up, and the numbers say so."""
    clips = clips_of(SCENES['turning robot'], 10, SEEDS)
    still = TrackerConfig(motion=MotionConfig(memory_s=1e-3, speed_m_s=0.1))
    worse, better = score(clips, still), score(clips)
    assert worse.switches > better.switches + 10
    assert worse.idf1 < better.idf1 - 0.2


def test_a_clip_is_what_it_says() -> None:
    """Rates, misses and false detections come out as asked for."""
    clip = list(frames(SCENES['turning robot'], 30, 0, Errors(missed=0.2, false_a_picture=0.5)))
    assert len(clip) == 181
    sightings = sum(len(frame.truth) for frame in clip)
    found = sum(len(frame.people) for frame in clip)
    assert found == pytest.approx(0.8 * sightings + 0.5 * len(clip), rel=0.1)
    np.testing.assert_allclose([frame.now_s for frame in clip][:2], [0, 1 / 30])
