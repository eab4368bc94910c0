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

"""Smoothing: what it gains and costs on known paths, and where it starts anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clips import people_at, PlaceM
from evaluate_smoothing import gain, MOTIONS
from mahmr_model.pictures import read_picture
from mahmr_model.predictor import Predictor
from mahmr_model.tracking import OneEuroConfig, Smoother, SmootherConfig
from mahmr_model.types import People
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

DEMO = Path(__file__).resolve().parents[2] / 'demo'


def as_is(people: People) -> People:
    """Stand in for the body: keep joints and meshes."""
    return people


def somebody(places: list[PlaceM], ids: list[int], turn_rad: float = 0.0) -> People:
    people = people_at(places).with_ids(np.array(ids))
    pose = np.zeros_like(people.pose_axis_angle)
    pose[..., 1] = turn_rad
    return replace(people, pose_axis_angle=pose)


@pytest.mark.parametrize('rate_hz', [10, 30])
def test_who_stands_is_calmed(rate_hz: float) -> None:
    """At least a third of the error goes in every direction."""
    row = gain(MOTIONS['stands, 5 m away'], rate_hz)
    for raw, smooth in (row.across_mm, row.along_mm, row.turn_deg):
        assert smooth < 0.67 * raw


@pytest.mark.parametrize('rate_hz', [0.5, 1])
def test_a_slow_network_is_calmed_as_well(rate_hz: float) -> None:
    """Less, for pictures that are far apart say little of each other."""
    row = gain(MOTIONS['stands, 5 m away'], rate_hz)
    for raw, smooth in (row.across_mm, row.along_mm, row.turn_deg):
        assert smooth < 0.95 * raw


@pytest.mark.parametrize('rate_hz', [10, 30])
def test_the_delay_is_what_the_documentation_says(rate_hz: float) -> None:
    assert gain(MOTIONS['walks across, 1.3 m/s'], rate_hz).place_delay_ms < 50
    assert gain(MOTIONS['walks along, 1.3 m/s'], rate_hz).place_delay_ms < 70
    assert gain(MOTIONS['stands, waves at 1 Hz'], rate_hz).turn_delay_ms < 40


def test_the_filter_of_the_paper() -> None:
    """Along a line through the lens it is the scalar filter of Casiez et al., step by step."""
    config = OneEuroConfig(0.7, 0.9, 1.3)
    smoother = Smoother(as_is, SmootherConfig(along=config))
    values = [5.0, 5.2, 5.1, 5.6, 5.5]
    times = [0.0, 0.1, 0.25, 0.3, 0.45]
    held, speed = values[0], 0.0
    for now_s, before_s, value in zip(times, [0.0, *times], values, strict=False):
        got = smoother.update(somebody([(0, 0, value)], [1]), now_s).translation_m[0, 2]
        if now_s > 0:
            elapsed = now_s - before_s

            def alpha(cutoff: float, elapsed: float = elapsed) -> float:
                return 1 / (1 + 1 / (2 * np.pi * cutoff) / elapsed)

            speed += alpha(1.3) * ((value - held) / elapsed - speed)
            held += alpha(0.7 + 0.9 * abs(speed)) * (value - held)
        assert got == pytest.approx(held, abs=1e-6)


def test_rotations_go_the_short_way() -> None:
    """Between 170° and -170° lies 180°, not 0°; the result is always a rotation."""
    smoother = Smoother(as_is)
    smoother.update(somebody([(0, 0, 4)], [1], np.radians(170)), 0.0)
    turned = smoother.update(somebody([(0, 0, 4)], [1], np.radians(-170)), 0.05)
    angles = Rotation.from_rotvec(turned.pose_axis_angle[0]).magnitude()
    assert np.degrees(angles).min() > 170


def test_each_identity_has_its_own_filter() -> None:
    """Neither the order nor other people matter."""
    together, alone = Smoother(as_is), Smoother(as_is)
    for step in range(10):
        x = 0.02 * (-1) ** step
        here, there = (x, 0.0, 4.0), (2 + x, 0.0, 6.0)
        order = ([here, there], [1, 2]) if step % 2 else ([there, here], [2, 1])
        both = together.update(somebody(*order), step / 10)
        one = alone.update(somebody([here], [1]), step / 10)
        assert both.ids is not None
        index = both.ids.tolist().index(1)
        assert both.translation_m[index] == pytest.approx(one.translation_m[0])


@pytest.mark.parametrize(
    ('times', 'expected'),
    [
        ((0.0, 0.1, 0.2), 'smoothed'),
        ((0.0, 0.1, 0.6), 'smoothed'),
        ((0.0, 0.1, 0.7), 'raw'),  # who returns after 0.5 s
        ((0.0, 1.0, 3.0), 'smoothed'),  # a slow network that missed somebody once
        ((0.0, 1.0, 4.0), 'raw'),
        ((10.0, 10.1, 0.0), 'raw'),  # a recording that starts again
        ((10.0, 10.1, 10.05), 'raw'),
    ],
)
def test_starts_anew_after_gaps_and_jumps(times: tuple[float, ...], expected: str) -> None:
    smoother = Smoother(as_is)
    for now_s in times[:2]:
        smoother.update(somebody([(0, 0, 4)], [1]), now_s)
    z = smoother.update(somebody([(0, 0, 4.2)], [1]), times[2]).translation_m[0, 2]
    assert (z == np.float32(4.2)) == (expected == 'raw')


def test_nobody_and_the_same_stamp_twice() -> None:
    smoother = Smoother(as_is)
    assert len(smoother.update(somebody([], []), 0.0)) == 0
    smoother.update(somebody([(0, 0, 4)], [1]), 1.0)
    again = smoother.update(somebody([(0, 0, 4)], [1]), 1.0)
    assert again.translation_m[0] == pytest.approx((0, 0, 4))


def test_people_without_ids_are_refused() -> None:
    with pytest.raises(ValueError, match='no ids'):
        Smoother(as_is).update(people_at([(0, 0, 4)]), 0.0)


def test_meshes_follow_the_smoothed_numbers(untrained: None) -> None:
    """With a real body: the same picture again changes nothing, a moved one moves every vertex."""
    predictor = Predictor.load(device='cpu')
    people = predictor(read_picture(DEMO / 'basketball1.png'))
    people = people.with_ids(np.arange(len(people)))
    smoother = Smoother(predictor.repose)
    for now_s in (0.0, 0.1):
        same = smoother.update(people, now_s)
        np.testing.assert_allclose(same.vertices_camera_m, people.vertices_camera_m, atol=1e-4)
        np.testing.assert_allclose(same.joints_px, people.joints_px, atol=0.05)
        np.testing.assert_allclose(same.height_m, people.height_m, atol=1e-5)
    moved = replace(people, translation_m=people.translation_m + np.float32(0.3))
    smooth = smoother.update(moved, 0.2)
    shift_m = smooth.translation_m - people.translation_m
    assert (shift_m > 0.02).all()
    assert (shift_m < 0.28).all()
    vertices_m = people.vertices_camera_m + shift_m[:, None]
    np.testing.assert_allclose(smooth.vertices_camera_m, vertices_m, atol=1e-4)
    joints_m = smooth.joints_camera_m
    np.testing.assert_allclose(smooth.joints_px, people.camera.project(joints_m), atol=1e-3)
