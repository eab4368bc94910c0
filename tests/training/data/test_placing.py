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

"""Draws, visibility, and how pixels, cameras and bodies move together."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import Scene, SceneMaker
from training.data.annotation import Annotation, Bodies
from training.data.augmentation import AugmentationConfig, Draw, draw_augmentation
from training.data.pixels import PixelMap, warp
from training.data.placing import MIRRORED_JOINTS, place
from training.data.posing import WorkerBodies
from training.data.sample import SampleConfig, SampleMaker


def annotation_of(scene: Scene) -> Annotation:
    pose, translation = scene.world()
    count = len(scene)
    bodies = Bodies(
        pose,
        scene.betas,
        translation,
        np.stack([scene.extrinsics[0]] * count),
        np.stack([scene.extrinsics[1]] * count),
        ('neutral',) * count,
    )
    return Annotation(Path('made'), scene.intrinsics[None], bodies)


def test_draws_have_their_ranges_and_probabilities() -> None:
    rng = np.random.default_rng(0)
    draws = [draw_augmentation(rng, AugmentationConfig()) for _ in range(2000)]
    for values, low, high in (
        ([d.rotation_deg for d in draws], -15, 15),
        ([d.scale for d in draws], 0.8, 1.8),
    ):
        assert low <= min(values) < low + 0.2
        assert high - 0.2 < max(values) <= high
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.04)
    crops = [d.crop for d in draws if d.crop is not None]
    assert len(crops) / 2000 == pytest.approx(0.8, abs=0.04)
    assert np.mean(crops) == pytest.approx(2 / 7, abs=0.02)  # the mean of Beta(2, 5)


def test_mirrored_joints_are_the_published_pairs() -> None:
    pairs = [(1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21), (22, 23)]
    expected = list(range(24))
    for left, right in pairs:
        expected[left], expected[right] = right, left
    assert expected == MIRRORED_JOINTS


@pytest.mark.parametrize(
    'draw',
    [
        Draw(),
        Draw(rotation_deg=12.0),
        Draw(scale=1.5),
        Draw(flip=True),
        Draw(-9.0, 0.8, True),
        Draw(7.0, 1.2, True, 0.3),
    ],
)
def test_labels_move_with_the_pixels(draw: Draw, open_bodies: WorkerBodies) -> None:
    """Dots drawn where the joints are end up where the moved joints are, to two pixels."""
    scene = SceneMaker(11, (320, 240)).scene(people=2)
    picture = np.zeros((240, 320, 3), np.uint8)
    joints = scene.project(scene.joints_m[:, :24])
    maker = SampleMaker(open_bodies, SampleConfig(input_size=320))
    for person in range(2):
        for joint in range(24):
            single = picture.copy()
            x, y = joints[person, joint]
            if not (3 < x < 316 and 3 < y < 236) or joint % 5:
                continue
            cv2.circle(single, (round(x), round(y)), 2, (255, 255, 255), -1)
            image, target, _ = maker.plain_sample(single, annotation_of(scene), draw)
            moved = MIRRORED_JOINTS[joint] if draw.flip else joint
            if not target.joints_mask[person, moved].all():
                continue
            bright = np.argwhere(image.numpy()[..., 0] > 100)
            if len(bright) < 5:
                continue  # cut by a border
            centre = bright.mean(0)[::-1]
            # Left and right of a mirrored body are those of a mirrored pose: a body that is not
            # symmetric itself differs a little.
            tolerance = 6.0 if draw.flip else 2.0
            assert np.abs(centre - target.joints_px[person, moved].numpy()).max() < tolerance


@pytest.mark.parametrize(
    'draw', [Draw(10.0, 0.8), Draw(-14.0, 1.1, True), Draw(3.0, 0.85, False, 0.2)]
)
def test_visibility_is_that_of_a_warped_white_mask(draw: Draw) -> None:
    pixel_map = PixelMap.of((90, 120), draw)
    mask = warp(np.full((90, 120, 3), 255, np.uint8), pixel_map.matrix)
    if draw.crop is not None:
        pixel_map = pixel_map.cropped(60)
        height, width = pixel_map.size_hw
        mask = cv2.resize(mask[:60], (width, height))
    height, width = pixel_map.size_hw
    x, y = np.meshgrid(np.arange(-3, width + 3), np.arange(-3, height + 3))
    seen = pixel_map.visible(np.stack([x, y], -1) + 0.25)
    expected = np.zeros_like(seen)
    expected[3:-3, 3:-3] = mask[..., 0] > 0
    assert 0.2 < expected.mean() < 0.99
    assert (seen != expected).mean() < 2e-3  # pixels whose mask rounds to 0 or 1


def test_a_crop_keeps_everybodys_chest(open_bodies: WorkerBodies) -> None:
    scene = SceneMaker(12, (320, 240)).scene(people=2)
    for crop in (0.0, 0.4, 0.99):
        draw = Draw(crop=crop)
        placed = place(annotation_of(scene), (240, 320), (240, 320), draw, open_bodies)
        whole = place(annotation_of(scene), (240, 320), (240, 320), Draw(), open_bodies)
        lowest = max(120.0, whole.joints_px[:, 9, 1].max())
        assert placed.pixel_map.rows == int(crop * (240 - lowest) + lowest)
        assert placed.pixel_map.rows >= 120
        np.testing.assert_allclose(placed.joints_px, whole.joints_px * placed.pixel_map.crop_rate)


def test_people_out_of_sight_go_and_a_hopeless_picture_gives_nothing(
    open_bodies: WorkerBodies,
) -> None:
    scene = SceneMaker(13, (320, 240)).scene(people=2)
    annotation = annotation_of(scene)
    assert annotation.bodies is not None
    rotation = scene.extrinsics[0]
    maker = SampleMaker(
        open_bodies, SampleConfig(input_size=320, augmentation=AugmentationConfig(crop=0))
    )
    annotation.bodies.translation_m[1] += rotation.T @ (100.0, 0, 0)
    made = maker.training_sample(scene.picture_rgb, annotation, np.random.default_rng(0))
    assert made is not None
    assert len(made[1]) == 1
    assert made[1].intrinsics.shape == (1, 3, 3)
    annotation.bodies.translation_m[0] += rotation.T @ (100.0, 0, 0)
    rng = np.random.default_rng(0)
    assert maker.training_sample(scene.picture_rgb, annotation, rng) is None
