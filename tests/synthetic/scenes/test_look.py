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

"""What is drawn at random about looks."""

from __future__ import annotations

import numpy as np
from sample_scenes import sample_scene
from training.synthetic.scenes.look import draw_look
from training.synthetic.scenes.outfit import PARTS
from training.synthetic.scenes.patterns import PAINTERS
from training.synthetic.scenes.surface import COLUMNS

_PATTERNS = sum(versions for _, versions in PAINTERS.values())


def test_looks_follow_from_the_seed_alone() -> None:
    first, again, other = (draw_look(sample_scene(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.surfaces, again.surfaces)
    assert np.array_equal(first.outfits.cut, again.outfits.cut)
    assert first.sensor.exposure == again.sensor.exposure
    assert not np.array_equal(first.surfaces, other.surfaces)


def test_rows_are_surfaces() -> None:
    for seed in range(40):
        scene = sample_scene(seed, people=seed % 4)
        look = draw_look(scene)
        assert look.outfits.surfaces.shape == (seed % 4, len(PARTS), COLUMNS)
        assert len(look.things) == len(scene.things) + len(look.extras)
        for rows in (look.surfaces, look.things, look.outfits.surfaces.reshape(-1, COLUMNS)):
            assert np.isfinite(rows).all()
            assert (rows[:, :9] >= 0).all()
            assert (rows[:, 10] >= 0).all()
            assert (rows[:, 10] < _PATTERNS).all()
            assert (rows[:, 11] > 0).all()


def test_walls_stand_behind_everybody() -> None:
    for seed in range(40):
        scene = sample_scene(seed)
        look = draw_look(scene)
        right, _, front = look.axes @ scene.translation_m.T
        assert np.linalg.det(look.axes) < 0  # right, up, front
        np.testing.assert_allclose(look.axes @ look.axes.T, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(look.axes[1], scene.ground_normal, atol=1e-6)
        assert (right < look.room.right - 1).all()
        assert (-right < look.room.left - 1).all()
        assert (front < look.room.front - 1).all()
        assert (-front < look.room.back - 1).all()
        assert look.room.ceiling > scene.ground_offset_m


def test_extras_hide_nobody_and_stand_on_the_ground() -> None:
    count = 0
    for seed in range(40):
        scene = sample_scene(seed)
        look = draw_look(scene)
        for thing in look.extras:
            count += 1
            assert np.linalg.det(thing.rotation) > 0.99
            lowest = scene.ground_normal @ thing.centre_m + scene.ground_offset_m
            assert lowest > -0.05
            # Whoever lies in its direction is nearer.
            for person in scene.translation_m:
                both = (
                    person / np.linalg.norm(person),
                    thing.centre_m / np.linalg.norm(thing.centre_m),
                )
                if both[0] @ both[1] > np.cos(0.15):
                    assert np.linalg.norm(person) < np.linalg.norm(thing.centre_m)
    assert count > 100
