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

"""Lenses, solids and the spheres that stand for people: small geometry with known answers."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.body.joints import JOINT_NAMES_45
import numpy as np
import pytest
from training.synthetic.scenes.camera import draw_view, View
from training.synthetic.scenes.draw import draw_scene, SceneConfig
from training.synthetic.scenes.people import draw_people, People
from training.synthetic.scenes.placing import place
from training.synthetic.scenes.rotations import matrices
from training.synthetic.scenes.seats import carriers
from training.synthetic.scenes.small_body import small_body
from training.synthetic.scenes.solids import Crowd, scatter, Solid, upright
from training.synthetic.scenes.spheres import hidden_by_people, sphere_centres, touching

LEVEL = View((400, 600), 500.0, np.array([300.0, 200]), 1.5, np.diag([1.0, -1, -1]), 0.0, 4.0)


def standing(count: int) -> People:
    generator = np.random.default_rng(0)
    while True:
        people = draw_people(count, generator)
        if set(people.categories) <= {'stand', 'walk'}:
            return people


def test_a_level_lens_sees_what_is_ahead_where_it_should() -> None:
    world = np.array([[0, 1.5, -4.0], [1, 1.5, -4], [0, 0, -4]])
    pixels = LEVEL.project(LEVEL.to_camera(world))
    np.testing.assert_allclose(pixels, [[300, 200], [425, 200], [300, 387.5]])
    for seed in range(40):
        view = draw_view(560, np.random.default_rng(seed))
        np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(view.rotation) == pytest.approx(1)
        # Ahead on the ground is lower in the picture than the horizon, which is at this pitch.
        ahead = view.to_camera(np.array([0, view.height_m - np.tan(view.pitch), -1.0]))
        np.testing.assert_allclose(ahead[:2], 0, atol=1e-9)


@pytest.mark.parametrize('shape', ['box', 'cylinder', 'ellipsoid'])
def test_a_solid_hides_what_is_behind_it_and_nothing_else(shape: str) -> None:
    at, size_m = np.array([0.0, -3]), np.array([0.3, 0.8, 0.3])
    solid = upright(shape, at, size_m, 0.4)  # type: ignore[arg-type]
    eye = np.array([0, 1.0, 0])
    points = np.array(
        [[0, 1.0, -6], [0, 1.0, -2], [2.0, 1, -6], [0, 3.0, -6], [0, 0.8, 6], [0, 0.8, -3]]
    )
    assert solid.hides(points, eye).tolist() == [True, False, False, False, False, True]


def test_distances_to_a_solid_are_those_to_its_turned_box() -> None:
    solid = Solid('box', np.array([1.0, 0.5, -2]), np.array([1.0, 0.5, 0.2]), np.pi / 2)
    points = np.array([[1, 0.5, -2.0], [1.5, 0.5, -2], [1, 1.5, -2], [1, 0.5, -3.4]])
    np.testing.assert_allclose(solid.distance_m(points), [0, 0.3, 0.5, 0.4], atol=1e-12)
    thing = solid.thing(LEVEL)
    np.testing.assert_allclose(thing.centre_m, [1, 1.0, 2])
    np.testing.assert_allclose(thing.rotation.T @ thing.rotation, np.eye(3), atol=1e-12)


def test_people_touch_where_they_stand_together_and_hide_who_is_behind() -> None:
    spheres = sphere_centres(standing(1).joints_m[0])
    apart = np.array([[0.1, 0, 0], [2.5, 0, 0]])
    assert touching(spheres + apart[:, None], spheres[None]).tolist() == [True, False]
    assert not touching(spheres + apart[:, None], np.array([])).any()
    joints = standing(1).joints_m[0]
    two = joints @ LEVEL.rotation.T + np.array([[[0, 1.0, 2]], [[0, 1.0, 4]]])
    hidden = hidden_by_people(two, sphere_centres(two))
    assert not hidden[0].any()
    assert hidden[1, JOINT_NAMES_45.index('spine3')]
    aside = two + np.array([[[0, 0, 0]], [[3.0, 0, 0]]])
    assert not hidden_by_people(aside, sphere_centres(aside)).any()


def test_nobody_is_placed_on_somebody_else_or_out_of_sight() -> None:
    people = standing(4)
    placed = place(people, LEVEL, np.zeros(4), np.random.default_rng(1))
    assert len(placed.rows) >= 2
    gaps = np.linalg.norm(placed.feet_m[:, None] - placed.feet_m, axis=-1)
    assert gaps[np.triu_indices(len(gaps), 1)].min() > 0.2
    far = replace(LEVEL, focus_m=400.0)  # nobody is large enough there
    assert len(place(people, far, np.zeros(4), np.random.default_rng(1)).rows) == 0


def test_a_seat_is_under_who_sits_and_touches_him_nowhere_else() -> None:
    generator = np.random.default_rng(3)
    sat = 0
    while sat < 20:
        people = draw_people(4, generator)
        for person, category in enumerate(people.categories):
            own = carriers(people, person, 0.0, 0.0, np.zeros(3), generator)
            if category != 'seat':
                assert own == []
                continue
            sat += bool(own)
            part = small_body().part
            skin = people.skin_m[person]
            for solid in own:
                # Flesh gives way by a good centimetre; heels may be under the seat's edge.
                trunk = skin[np.isin(part, (0, 3, 6, 9, 12, 15))]
                inside = solid.half_sides_m - np.abs(solid.local(trunk))
                assert inside.min(1).max() < 0.045


def test_things_leave_people_room_and_in_sight() -> None:
    generator = np.random.default_rng(5)
    for _ in range(25):
        people = standing(2)
        joints = people.joints_m + np.array([[[-0.7, 0, -4.0]], [[0.8, 0, -5.0]]])
        spheres, main = sphere_centres(joints), joints[:, :22]
        crowd = Crowd(spheres, main, np.ones((2, 22), bool))
        kept = scatter(LEVEL, crowd, [], generator)
        hidden = np.zeros((2, 22), bool)
        for solid in kept:
            assert solid.distance_m(spheres).min() > 0.04
            assert solid.distance_m(LEVEL.eye_m) > 0.2
            hidden |= solid.hides(main, LEVEL.eye_m)
        assert hidden.mean(1).max() < 0.6


def test_no_thing_of_a_scene_runs_through_anybody() -> None:
    deepest = []
    for index in range(40):
        scene = draw_scene(SceneConfig(), 21, index)
        turns = matrices(scene.pose_axis_angle.reshape(-1, 24, 3))
        joints = small_body().pose(turns, scene.betas).joints + scene.translation_m[:, None]
        for thing in scene.things:
            local = (joints[:, :22] - thing.centre_m) @ thing.rotation
            deepest.append((thing.half_sides_m - np.abs(local)).min(-1).max())
    assert len(deepest) > 60
    assert max(deepest) < 0.02
