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

"""Patterns, things that stand about, and sheets of pictures."""

from __future__ import annotations

import numpy as np
import pytest
from sample_scenes import sample_scene
from training.synthetic.scenes.clutter import INDOORS, Maker, OUTDOORS
from training.synthetic.scenes.patterns import noise, PAINTERS, pattern_number, SIZE
from training.synthetic.scenes.preview import sheet, tiles
from training.synthetic.scenes.renderer import SceneRenderer


@pytest.mark.parametrize('name', list(PAINTERS))
def test_patterns_are_shares_and_the_same_each_time(name: str) -> None:
    painter = PAINTERS[name][0]
    planes = [np.broadcast_to(plane, (SIZE, SIZE)) for plane in painter(np.random.default_rng(3))]
    again = painter(np.random.default_rng(3))
    for plane, other in zip(planes, again, strict=True):
        assert np.array_equal(plane, np.broadcast_to(other, (SIZE, SIZE)))
    for share in (planes[0], planes[1], planes[3]):
        assert share.min() >= 0
        assert share.max() <= 1
    assert (planes[0] + planes[1]).max() < 2.01
    assert np.isfinite(planes[2]).all()
    assert max(float(plane.std()) for plane in planes) > 0.01


def test_noise_tiles_and_has_unit_deviation() -> None:
    field = noise(np.random.default_rng(1), 1.2)
    assert abs(float(field.std()) - 1) < 1e-3
    inner = np.abs(np.diff(field, axis=0)).mean()
    assert np.abs(field[0] - field[-1]).mean() < 2 * inner


def test_numbers_of_patterns_are_their_places() -> None:
    rng = np.random.default_rng(2)
    first = 0
    for name, (_, versions) in PAINTERS.items():
        drawn = {pattern_number(name, rng) for _ in range(60)}
        assert drawn == set(range(first, first + versions))
        first += versions


@pytest.mark.parametrize('maker', sorted({*INDOORS, *OUTDOORS}, key=lambda one: one.__name__))
def test_things_stand_on_the_ground(maker: Maker) -> None:
    for seed in range(10):
        pieces = maker(np.random.default_rng(seed))
        lowest = min(piece.centre_m[1] - piece.half_sides_m[1] for piece in pieces)
        assert -0.2 < lowest < 1.3
        assert min(min(piece.half_sides_m) for piece in pieces) > 0


def test_a_sheet_shows_each_picture_and_its_people(renderer: SceneRenderer) -> None:
    scenes = [sample_scene(1), sample_scene(2, size_hw=(128, 64)), sample_scene(3)]
    rendered = renderer(scenes)
    plain, tinted = (tiles(rendered, 100, truth=truth) for truth in (False, True))
    assert [tile.shape for tile in plain] == [(100, 100, 3)] * 3
    assert (plain[1][:, 51:] == 0).all()  # upright: the right half is empty
    changed = [(a != b).any() for a, b in zip(plain, tinted, strict=True)]
    assert changed == [bool((rendered.person[i] >= 0).any()) for i in range(3)]
    assert sheet(plain, 2).shape == (200, 200, 3)
