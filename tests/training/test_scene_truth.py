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

"""The truth of scenes made on the device is that of the sample pipeline."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.joints import JOINT_NAMES_45, SMPL_JOINT_NAMES
from mahmr_model.config import ModelConfig
from mahmr_model.preprocess import pad_and_normalise
import numpy as np
import pytest
import torch
from training.batch_truth import BatchTruth, packed
from training.data.augmentation import Draw
from training.data.posing import WorkerBodies
from training.data.sample import FEWEST_VISIBLE_JOINTS, MAIN_JOINTS, SampleConfig, SampleMaker
from training.scene_pictures import collate_scenes, DrawnScene, ScenePictures, SceneStudio
from training.synthetic.scenes.annotating import annotation_of
from training.synthetic.scenes.draw import SceneConfig
from training.synthetic.scenes.look import draw_look
from training.synthetic.scenes.mirror import with_mirror_images
from training.synthetic.scenes.renderer import Rendered, SceneRenderer
from training.synthetic.scenes.scene import Scene, Thing
from training.synthetic.scenes.truth import SceneNumbers, SceneTruth
from training.target import Target
from training.token_people import STRIDE_PX

SIZE = 280
SIZES = ModelConfig(input_size=SIZE, shapes=11)


def scene(places_m: list[tuple[float, float]], things: tuple[Thing, ...] = ()) -> Scene:
    """Put people with their arms stretched out at (x, z), their hips at the camera's height."""
    count = len(places_m)
    pose = np.random.default_rng(count).normal(0, 0.1, (count, 72))
    pose[:, :3] = (np.pi, 0, 0)
    x, z = np.array(places_m).T
    focal = 260.0
    return Scene(
        (210, SIZE),
        np.array([[focal, 0, SIZE / 2], [0, focal, 105], [0, 0, 1]]),
        pose,
        np.random.default_rng(7).normal(0, 0.5, (count, 11)),
        np.stack([x, 0 * x, z], 1),
        things,
        np.array([0.0, -1.0, 0.0]),
        1.5,
        np.array([0.48, -0.8, -0.36]),
        5,
    )


def target_of(one: Scene) -> tuple[BatchTruth, np.ndarray]:
    """Return what the sample pipeline makes of a scene, and who of it is kept."""
    maker = SampleMaker(WorkerBodies(OPEN_BODY, ('neutral',)), SampleConfig(SIZE, 11))
    annotation = annotation_of(one, Path('scene.png'))
    picture = np.zeros((*one.size_hw, 3), np.uint8)
    placed = maker.plain_sample(picture, annotation)[2]
    kept = placed.visible.sum(1) >= FEWEST_VISIBLE_JOINTS
    kept &= placed.visible[:, :MAIN_JOINTS].any(1)
    return packed([maker.target(annotation, placed.of(kept), kept, counts_every_joint=True)]), kept


@pytest.fixture(scope='module')
def renderer() -> SceneRenderer:
    return SceneStudio(load_body(OPEN_BODY), SIZES, torch.device('cpu'))._renderer


def rendered_truth(renderer: SceneRenderer, scenes: list[Scene]) -> tuple[BatchTruth, Rendered]:
    rendered = renderer(scenes)
    faces = torch.from_numpy(load_body(OPEN_BODY).faces)
    return SceneTruth(faces, SIZE, 11)(SceneNumbers.of(scenes), rendered), rendered


def test_truth_is_that_of_the_sample_pipeline(renderer: SceneRenderer) -> None:
    """Of each scene of a batch; the person on the far right shows a hand or less and goes."""
    scenes = [
        scene([(-0.9, 3.0), (0.4, 2.5), (0.2, 6.0), (2.6, 3.0)]),
        replace(scene([(0.1, 2.0)]), size_hw=(SIZE, 196)),
    ]
    truth, _ = rendered_truth(renderer, scenes)
    alone = [target_of(one) for one in scenes]
    assert alone[0][1].tolist() == [True, True, True, False]
    assert truth.people == (3, 1)
    for field in fields(BatchTruth):
        ours = getattr(truth, field.name)
        parts = [getattr(one, field.name) for one, _ in alone]
        if field.name in ('person_map', 'part_map', 'depth_map'):
            assert ours is not None  # what they show is tested below and where tokens learn it
        elif isinstance(ours, tuple):
            assert ours == sum(parts, ()), field.name
        elif field.name == 'scale_map':
            # A vertex on the border of two cells may fall into either by a rounding.
            wrong = (ours - torch.cat(parts)).abs().amax(1) > 1e-4
            assert wrong.sum() <= 1
            assert ours[:, 0].sum() > 20
        else:
            torch.testing.assert_close(
                ours, torch.cat(parts), rtol=1e-4, atol=1e-4, msg=lambda m, n=field.name: n + m
            )


def test_mirror_images_have_the_truth_of_a_flip(renderer: SceneRenderer) -> None:
    """Of pictures of two widths; the body's own asymmetry is below two millimetres or so."""
    scenes = [
        scene([(-0.9, 3.0), (0.4, 2.5)]),
        replace(scene([(0.1, 2.0)]), size_hw=(SIZE, 196)),
    ]
    numbers, rendered = with_mirror_images(SceneNumbers.of(scenes), renderer(scenes))
    faces = torch.from_numpy(load_body(OPEN_BODY).faces)
    truth = SceneTruth(faces, SIZE, 11)(numbers, rendered)
    assert truth.people == (2, 1, 2, 1)
    expected = [packed([flipped_target(one)]) for one in scenes]
    first = int(np.sum(truth.people[:2]))
    for name, tolerance in (
        ('pose_axis_angle', 1e-4),
        ('betas', 0),
        ('joints_camera_m', 5e-3),
        ('joints_px', 0.7),
        ('boxes_cxcywh_norm', 5e-3),
        ('depths', 5e-3),
    ):
        ours = getattr(truth, name)[first:]
        parts = torch.cat([getattr(one, name) for one in expected])
        torch.testing.assert_close(
            ours, parts, rtol=0, atol=tolerance, msg=lambda m, n=name: n + m
        )
    mine = truth.scale_map[slice(sum(truth.cells[:2]), None)]
    wrong = (mine[:, 0] != torch.cat([one.scale_map for one in expected])[:, 0]).sum()
    assert wrong <= 2
    again = with_mirror_images(numbers, rendered)[1].images[6:]
    assert torch.equal(again, rendered.images[:2])
    assert not torch.equal(rendered.images[2:], rendered.images[:2])


def test_left_parts_of_mirror_images_are_those_of_people_who_face_us(
    renderer: SceneRenderer,
) -> None:
    """In pictures of two widths: on the right side, as before."""
    scenes = [
        scene([(-0.9, 3.0), (0.4, 2.5)]),
        replace(scene([(0.1, 2.0)]), size_hw=(SIZE, 196)),
    ]
    _, rendered = with_mirror_images(SceneNumbers.of(scenes), renderer(scenes))
    assert torch.equal(rendered.part < 0, rendered.person < 0)
    head = rendered.part == SMPL_JOINT_NAMES.index('head')
    for picture, width in enumerate((SIZE, 196)):
        assert head[picture].any()
        assert torch.equal(head[2 + picture, :, :width].flip(1), head[picture, :, :width])
    for picture, person in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0)):
        own = rendered.person[picture] == person
        for limb in ('hip', 'knee', 'shoulder'):
            left, right = (
                (own & (rendered.part[picture] == SMPL_JOINT_NAMES.index(f'{side}_{limb}')))
                .nonzero()[:, 1]
                .float()
                for side in ('left', 'right')
            )
            assert left.quantile(0.1) > right.quantile(0.9)


def test_mirror_images_have_mirrored_depths(renderer: SceneRenderer) -> None:
    """In pictures of two widths in which every seventh pixel is one in the mirror, too."""
    widths = 39 * STRIDE_PX + 1, 28 * STRIDE_PX + 1
    scenes = [
        replace(scene([(0.4, 0.3), (-0.6, 3.0), (0.2, 5.0)]), size_hw=(SIZE, widths[0])),
        replace(scene([(0.1, 2.0)]), size_hw=(SIZE, widths[1])),
    ]
    numbers, rendered = with_mirror_images(SceneNumbers.of(scenes), renderer(scenes))
    faces = torch.from_numpy(load_body(OPEN_BODY).faces)
    truth = SceneTruth(faces, SIZE, 11)(numbers, rendered)
    assert truth.people == (2, 1, 2, 1)
    assert truth.depth_map is not None
    for picture, width in enumerate(widths):
        columns = slice(width // STRIDE_PX + 1)
        depths, mirrored = truth.depth_map[picture], truth.depth_map[2 + picture]
        assert torch.equal(mirrored[:, columns], depths[:, columns].flip(1))
        assert not torch.equal(mirrored, depths)
        assert mirrored[:, slice(columns.stop, None)].isposinf().all()


def flipped_target(one: Scene) -> Target:
    maker = SampleMaker(WorkerBodies(OPEN_BODY, ('neutral',)), SampleConfig(SIZE, 11))
    picture = np.zeros((*one.size_hw, 3), np.uint8)
    return maker.plain_sample(picture, annotation_of(one, Path('scene.png')), Draw(flip=True))[1]


def test_nearer_people_paint_over_farther_ones(renderer: SceneRenderer) -> None:
    """Given in either order."""
    both = scene([(0.0, 2.5), (0.9, 5.0)])
    names = ('pose_axis_angle', 'betas', 'translation_m')
    turned = replace(both, **{name: getattr(both, name)[::-1] for name in names})
    near = replace(both, **{name: getattr(both, name)[:1] for name in names})
    alone, one, other = (rendered_truth(renderer, [s])[0].scale_map for s in (near, both, turned))
    torch.testing.assert_close(one, other)
    covered = alone[:, 0] > 0
    torch.testing.assert_close(one[covered], alone[covered])
    assert (one[~covered, 0] > 0).any()


def test_people_behind_a_wall_are_drawn_as_they_are_but_not_asked_for(
    renderer: SceneRenderer,
) -> None:
    wall = Thing('box', np.array([-0.9, 0.0, 2.0]), np.array([0.8, 2.0, 0.1]), np.eye(3))
    people = [(-1.4, 4.0), (0.6, 3.0)]
    truth, rendered = rendered_truth(renderer, [scene(people, (wall,))])
    assert truth.people == (1,)
    assert not (rendered.person == 0).any()
    assert truth.depths[0, 0] == pytest.approx(3.0, abs=0.3)
    assert rendered_truth(renderer, [scene(people)])[0].people == (2,)


def test_scene_in_which_nobody_is_left_has_an_empty_map(renderer: SceneRenderer) -> None:
    truth, _ = rendered_truth(renderer, [scene([(9.0, 3.0)])])
    assert truth.people == (0,)
    assert truth.scale_map.shape == (8 * 10, 2)
    assert not truth.scale_map.any()
    assert truth.picture_focal_px.tolist() == [260.0]


def test_parts_are_known_of_people_who_are_not_asked_for(renderer: SceneRenderer) -> None:
    """Such as somebody whose feet are beside the lens."""
    truth, rendered = rendered_truth(renderer, [scene([(0.1, 0.25)])])
    assert truth.people == (0,)
    assert truth.person_map is not None
    assert truth.part_map is not None
    assert truth.depth_map is not None
    assert (truth.person_map == -1).all()
    assert truth.depth_map.isposinf().all()
    assert (truth.part_map >= 0).sum() > 100
    assert torch.equal(truth.part_map, rendered.part[:, ::STRIDE_PX, ::STRIDE_PX])


def test_depths_are_behind_the_root_of_who_is_seen(renderer: SceneRenderer) -> None:
    """Pixel by pixel, of people who are asked for; the first one is beside the lens."""
    scenes = [
        scene([(0.4, 0.3), (-0.6, 3.0), (0.2, 5.0)]),
        replace(scene([(0.1, 2.0)]), size_hw=(SIZE, 196)),
    ]
    truth, rendered = rendered_truth(renderer, scenes)
    assert truth.people == (2, 1)
    assert truth.depth_map is not None
    roots_m = rendered.joints_camera_m[:, 0, 2].tolist()
    seen = Counter[int]()
    height, width = rendered.person.shape[1:]
    assert truth.depth_map.shape == (2, -(-height // STRIDE_PX), -(-width // STRIDE_PX))
    for (picture, row, column), depth in np.ndenumerate(truth.depth_map.numpy()):
        pixel = picture, row * STRIDE_PX, column * STRIDE_PX
        number = int(rendered.person[pixel])
        person = (0, 3)[picture] + number if number >= 0 else -1
        seen[person] += 1
        if person in (-1, 0):
            assert depth == np.inf
        else:
            expected = float(rendered.depth_m[pixel]) - roots_m[person]
            assert depth == pytest.approx(expected, abs=1e-5)
            assert abs(depth) < 0.8
    assert all(seen[person] > 20 for person in (-1, 0, 1, 2, 3))


def test_hands_are_as_far_before_or_behind_the_root_as_their_joints(
    renderer: SceneRenderer,
) -> None:
    """Of somebody whose left arm points at us a little and whose right arm away, and mirrored."""
    one = scene([(-0.7, 2.4), (0.7, 3.0)])
    for side in ('left', 'right'):
        # Turned about the axis that points up: the left arm forwards, the right one backwards.
        one.pose_axis_angle[:, 3 * SMPL_JOINT_NAMES.index(f'{side}_shoulder') + 1] = -0.8
    numbers, rendered = with_mirror_images(SceneNumbers.of([one]), renderer([one]))
    faces = torch.from_numpy(load_body(OPEN_BODY).faces)
    truth = SceneTruth(faces, SIZE, 11)(numbers, rendered)
    assert truth.people == (2, 2)
    assert truth.person_map is not None
    assert truth.part_map is not None
    assert truth.depth_map is not None
    for person, joints in enumerate(truth.joints_camera_m - truth.joints_camera_m[:, :1]):
        for side in ('left', 'right'):
            middle = float(joints[JOINT_NAMES_45.index(f'{side}_middle'), 2])
            wrist = float(joints[JOINT_NAMES_45.index(f'{side}_wrist'), 2])
            assert abs(wrist) > 0.25
            assert (wrist < 0) == ((side == 'left') == (person < 2))
            places = truth.part_map == SMPL_JOINT_NAMES.index(f'{side}_hand')
            places |= truth.part_map == SMPL_JOINT_NAMES.index(f'{side}_wrist')
            depths = truth.depth_map[places & (truth.person_map == person)]
            assert len(depths) > 0
            assert (depths > min(wrist, middle) - 0.06).all()
            assert (depths < max(wrist, middle) + 0.06).all()


def test_studio_gives_normalised_pictures_beside_their_truth() -> None:
    studio = SceneStudio(load_body(OPEN_BODY), SIZES, torch.device('cpu'))
    scenes = [scene([(0.0, 2.5)]), replace(scene([(0.1, 2.0)]), size_hw=(SIZE, 210))]
    drawn = [DrawnScene(one, draw_look(one), str(i)) for i, one in enumerate(scenes)]
    batch = studio(collate_scenes(drawn), [4, 9])
    assert [tuple(image.shape) for image in batch.images] == [(3, 224, 280), (3, 280, 224)]
    assert batch.truth.people == (1, 1)
    alone = studio._renderer(scenes[1:]).images[0, :, :210]
    wrong = (batch.images[1] - pad_and_normalise(alone, 56)).abs() > 0.03
    assert wrong.float().mean() < 1e-3  # roundings of 8 bits and of JPEG


def test_every_epoch_has_other_scenes_whatever_the_process() -> None:
    config = SceneConfig()
    pictures, others = ScenePictures(config, 3, 5), ScenePictures(config, 3, 5)
    first = pictures[2].scene
    assert np.array_equal(others[2].scene.betas, first.betas)
    pictures.set_epoch(1)
    assert not np.array_equal(pictures[2].scene.translation_m, first.translation_m)
    assert pictures[2].name == 'scene 5 of seed 5'
