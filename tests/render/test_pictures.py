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

"""Overlay, views and panel: what they show, and that nothing breaks them."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.render import (
    colour_of,
    draw_birds_eye_view,
    draw_overlay,
    draw_panel,
    draw_side_view,
    render_meshes,
)
from mahmr_model.types import Camera, People
import numpy as np
import numpy.typing as npt
import pytest

CAMERA = Camera(300, 300, 160, 120, 320, 240)
Place = tuple[float, float, float]

# A box of 0.5 × 1.8 × 0.3 m stands for a body: its corners, and two triangles a side.
BOX = np.array([[x, y, z] for x in (-0.25, 0.25) for y in (-0.9, 0.9) for z in (-0.15, 0.15)])
SIDES = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
)
FACES = np.concatenate([SIDES[:, [0, 1, 2]], SIDES[:, [0, 2, 3]]])


def people_at(places: list[Place], untrained: bool = False, ids: bool = True) -> People:
    count = len(places)
    at = np.array(places, np.float32).reshape(count, 1, 3)
    joints = np.repeat(at, 45, 1)
    return People(
        confidence=np.ones(count, np.float32),
        boxes_xyxy_px=np.zeros((count, 4), np.float32),
        pose_axis_angle=np.zeros((count, 24, 3), np.float32),
        betas=np.zeros((count, 10), np.float32),
        translation_m=at[:, 0],
        joints_camera_m=joints,
        joints_px=CAMERA.project(joints),
        vertices_camera_m=(BOX + at).astype(np.float32),
        height_m=np.full(count, 1.8, np.float32),
        faces=FACES,
        camera=CAMERA,
        camera_source='estimated',
        untrained=untrained,
        ids=np.arange(1, count + 1) if ids else None,
    )


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def is_colour(image: npt.NDArray[np.uint8], identity: int) -> npt.NDArray[np.bool_]:
    """Say which pixels have the hue of a person, whatever the light on it."""
    colour = np.array(colour_of(identity), np.float64)
    pixels = image.astype(np.float64)
    length = np.linalg.norm(pixels, axis=2)
    cosine = pixels @ colour / np.linalg.norm(colour) / np.maximum(length, 1)
    return (cosine > 0.999) & (length > 60)


def test_rendering_tells_depth_and_person() -> None:
    people = people_at([(0, 0, 4), (0.2, 0, 2.5)])
    colours = np.array([colour_of(1), colour_of(2)], np.uint8)
    seen = render_meshes(people.vertices_camera_m, people.faces, CAMERA, colours)
    # The nearer box's front, at 2.35 m, spans u 160 + 300·(-0.05…0.45)/2.35 and all of it hides.
    assert (seen.person[120, 154:217] == 1).all()
    assert np.allclose(seen.depth_m[120, 154:217], 2.35, atol=1e-5)
    assert seen.person[120, 145] == 0
    assert seen.depth_m[120, 145] == pytest.approx(3.85, abs=1e-5)
    empty = seen.person == -1
    assert np.array_equal(empty, np.isinf(seen.depth_m))
    assert (seen.colour[empty] == 0).all()
    assert is_colour(seen.colour, 2)[120, 154:217].all()


def test_what_faces_the_light_is_brighter() -> None:
    square = np.array([[[-1, -1, 3], [1, -1, 3], [1, 1, 3], [-1, 1, 3]]], np.float32)
    tilted = square.copy()
    tilted[0, 1:3, 2] = 12
    white = np.array([[255, 255, 255]], np.uint8)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    frontal, slanted = (
        render_meshes(v, faces, CAMERA, white).colour[120, 150, 0] for v in (square, tilted)
    )
    assert frontal > slanted + 40
    turned = render_meshes(square, faces[:, ::-1].copy(), CAMERA, white).colour[120, 150, 0]
    assert turned == frontal


def test_the_overlay_leaves_the_rest_of_the_picture_alone() -> None:
    people, image = people_at([(0, 0, 4), (-1.2, 0.2, 6)]), noise(240, 320)
    before = image.copy()
    drawn = draw_overlay(image, people, labels=False)
    assert np.array_equal(image, before)
    colours = np.array([colour_of(1), colour_of(2)], np.uint8)
    seen = render_meshes(people.vertices_camera_m, people.faces, CAMERA, colours).person >= 0
    changed = (drawn != image).any(2)
    # The smoothed outline may reach one pixel beyond the covered centres.
    grown = np.zeros_like(seen)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            grown |= np.roll(seen, (down, right), (0, 1))
    assert not (changed & ~grown).any()
    assert changed[seen].mean() > 0.98
    assert (draw_overlay(image, people) != drawn).any(), 'labels'


def test_outlines_without_smoothing() -> None:
    """Each pixel shows a body or the picture and no mixture; with smoothing outlines are mixed."""
    people, image = people_at([(0, 0, 4)]), np.full((240, 320, 3), 255, np.uint8)
    colours = np.array([colour_of(1)], np.uint8)
    rendering = render_meshes(people.vertices_camera_m, people.faces, CAMERA, colours)
    expected = np.where(rendering.person[..., None] >= 0, rendering.colour, image)
    steps = draw_overlay(image, people, opacity=1, labels=False, smooth=False)
    assert np.array_equal(steps, expected)
    assert (draw_overlay(image, people, opacity=1, labels=False) != expected).any()


def test_joints_land_on_their_mesh() -> None:
    people = people_at([(0, 0, 4), (-1.2, 0.2, 6), (1.5, 0.1, 5)])
    drawn = draw_overlay(np.zeros((240, 320, 3), np.uint8), people, labels=False)
    for i, (u, v) in enumerate(people.joints_px[:, 0].astype(int)):
        assert is_colour(drawn, i + 1)[v, u]


def test_a_resized_picture_gets_a_resized_camera() -> None:
    people = people_at([(0.5, 0, 4)])
    small = draw_overlay(np.zeros((120, 160, 3), np.uint8), people, labels=False)
    large = draw_overlay(np.zeros((240, 320, 3), np.uint8), people, labels=False)
    reduced = large.reshape(120, 2, 160, 2, 3).mean((1, 3))
    assert np.abs(small - reduced).mean() < 1


def test_the_views_are_metric() -> None:
    people = people_at([(-1, 0, 3), (1, 0, 6)], ids=False)
    # Above: camera at the lower edge; the scale follows from the distance of the two.
    above = draw_birds_eye_view(people, 600, 600)
    first, second = (np.argwhere(is_colour(above, i)).mean(0) for i in (0, 1))
    scale_right, scale_up = (second[1] - first[1]) / 2, (first[0] - second[0]) / 3
    assert scale_up == pytest.approx(scale_right, rel=0.03)
    assert scale_up > 30
    side = draw_side_view(people, 900, 500)
    for i in (0, 1):
        rows, columns = np.nonzero(is_colour(side, i))
        # Each is 1.8 m high and 0.3 m deep.
        assert np.ptp(rows) / np.ptp(columns) == pytest.approx(6, rel=0.2)
    assert (
        np.argwhere(is_colour(side, 0))[:, 1].max() < np.argwhere(is_colour(side, 1))[:, 1].min()
    )


def test_somebody_far_away_does_not_make_the_others_vanish() -> None:
    near = [(-1.0, 0.0, 3.0), (1.0, 0.0, 4.0), (0.0, 0.0, 5.0)]
    for draw in (draw_birds_eye_view, draw_side_view):
        alone = draw(people_at(near), 640, 480)
        joined = draw(people_at([*near, (0.0, 0.0, 100.0)]), 640, 480)
        for i in (1, 2, 3):
            assert is_colour(alone, i).sum() > 200
            assert is_colour(joined, i).sum() > 0.8 * is_colour(alone, i).sum()
        assert (alone != joined).any(), 'somebody is missing and the view says so'


@pytest.mark.parametrize('shape', [(1, 1), (1, 3000), (700, 2), (240, 320), (1080, 1920)])
@pytest.mark.parametrize('places', [[], [(0.0, 0.0, 4.0)]])
def test_the_panel_takes_any_size(shape: tuple[int, int], places: list[Place]) -> None:
    people = people_at(places)
    people = replace(people, camera=CAMERA.resized(shape[1], shape[0]))
    panel = draw_panel(noise(*shape), people)
    assert panel.dtype == np.uint8
    assert panel.shape[2] == 3
    assert 900 < panel.shape[1] <= 1920
    assert 300 < panel.shape[0] <= 1600


def test_everything_says_untrained() -> None:
    known, random = (people_at([(0, 0, 4)], untrained=flag) for flag in (False, True))
    for height, width in ((1, 1), (30, 40), (240, 320), (1200, 1600)):
        image = noise(height, width)
        pairs = [
            (draw_overlay(image, known), draw_overlay(image, random)),
            (draw_side_view(known, width, height), draw_side_view(random, width, height)),
            (
                draw_birds_eye_view(known, width, height),
                draw_birds_eye_view(random, width, height),
            ),
        ]
        for plain, marked in pairs:
            changed = (plain != marked).any(2)
            assert changed[0].all(), 'a bar along the upper edge'
            assert changed.mean() > 0.03
    without = people_at([], untrained=True)
    assert (draw_overlay(image, without) != image).any(), 'also where nobody is'


def test_numbers_that_are_none_are_left_out() -> None:
    people = people_at([(0, 0, 4), (1, 0, 5), (-1, 0, 6)])
    people.vertices_camera_m[1] = np.nan
    people.vertices_camera_m[2, 3, 0] = np.inf
    panel = draw_panel(noise(240, 320), people)
    assert is_colour(panel, 1).sum() > 1000


def test_people_at_the_lens_and_behind_it() -> None:
    draw_panel(noise(240, 320), people_at([(0, 0, 0.05), (0, 0, 0), (0, 0, -2), (3e4, 0, 1)]))


def test_colours_are_stable_and_neighbours_differ() -> None:
    # Fixed numbers: colours in recordings must not change from version to version.
    assert [colour_of(i) for i in (1, 2, 3)] == [
        (79, 148, 209),
        (228, 245, 152),
        (220, 106, 235),
    ]
    for i in range(-5, 200):
        here = np.array(colour_of(i))
        assert here.min() >= 0
        assert here.max() <= 255
        for near in (1, 2, 3):
            assert np.abs(here - colour_of(i + near)).sum() > 80
