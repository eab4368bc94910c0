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

"""Pictures of scenes and their truth."""

from __future__ import annotations

import dataclasses

from mahmr_model.body.joints import JOINT_NAMES_45, SMPL_JOINT_NAMES
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
from mahmr_model.render.rasteriser import rasterise
from mahmr_model.types import Camera
import numpy as np
from sample_scenes import sample_scene, turned
import torch
from training.synthetic.scenes.batch import pack
from training.synthetic.scenes.look import draw_look, Look
from training.synthetic.scenes.renderer import SceneRenderer
from training.synthetic.scenes.scene import Scene, Thing


def _camera(scene: Scene) -> Camera:
    k = scene.intrinsics
    height, width = scene.size_hw
    return Camera(k[0, 0], k[1, 1], k[0, 2], k[1, 2], width, height)


def _without_extras(scene: Scene) -> Look:
    """Draw a look in which nothing stands about but the scene's own things."""
    look = draw_look(scene)
    return dataclasses.replace(look, extras=(), things=look.things[: len(scene.things)])


def _naked(scene: Scene) -> Look:
    """Draw a look without anything that changes people's outlines."""
    look = _without_extras(scene)
    cut = np.zeros_like(look.outfits.cut)
    cut[:, [8, 11]] = [-2, 1]  # no shoes, no hat
    present = np.zeros_like(look.outfits.present)
    present[:, 0] = 1
    return dataclasses.replace(
        look,
        outfits=dataclasses.replace(
            look.outfits, cut=cut, present=present, folds=look.outfits.folds * 0
        ),
    )


def test_truth_is_that_of_the_body_and_the_other_rasteriser(
    renderer: SceneRenderer, open_body: BodyLayer
) -> None:
    scenes = [
        sample_scene(1, things=()),
        sample_scene(2, people=1, size_hw=(80, 64), things=()),
        sample_scene(3, people=4, size_hw=(60, 100), things=()),
    ]
    result = renderer(scenes, [_naked(scene) for scene in scenes])
    assert result.person_counts == (3, 1, 4)
    assert result.sizes_hw == ((96, 128), (80, 64), (60, 100))
    assert result.images.shape == (3, 96, 128, 3)
    start = 0
    for index, scene in enumerate(scenes):
        people = slice(start, start + len(scene.betas))
        start = people.stop
        rotations = torch.from_numpy(scene.pose_axis_angle).float().view(-1, 24, 3)
        body = open_body(rotation_from_axis_angle(rotations), torch.from_numpy(scene.betas))
        shift = torch.from_numpy(scene.translation_m).float()[:, None]
        torch.testing.assert_close(result.vertices_camera_m[people], body.vertices + shift)
        torch.testing.assert_close(result.joints_camera_m[people], body.joints + shift)
        faces, points = open_body.faces, (body.vertices + shift).flatten(0, 1)
        every = (faces + torch.arange(len(scene.betas))[:, None, None] * 6800).flatten(0, 1)
        seen = rasterise(points, every, _camera(scene))
        height, width = scene.size_hw
        expected = torch.where(seen.face < 0, -1, seen.face // len(faces))
        got = result.person[index, :height, :width].long()
        assert (expected >= 0).float().mean() > 0.01
        # Where limbs run through each other, only the other one draws the insides.
        assert (got == expected).float().mean() > 0.998
        both = (got == expected) & (expected >= 0)
        error = (result.depth_m[index, :height, :width] - seen.depth_m)[both].abs()
        assert error.median() < 1e-4
        assert (error < 0.01).float().mean() > 0.99
        assert (result.images[index, height:] == 0).all()
        assert (result.images[index, :, width:] == 0).all()


def test_joints_land_on_their_people(renderer: SceneRenderer) -> None:
    scene = sample_scene(5, people=1, size_hw=(160, 160), things=())
    result = renderer([scene], [_without_extras(scene)])
    names = ['pelvis', 'left_knee', 'right_ankle', 'spine2', 'head', 'left_elbow', 'nose']
    joints = result.joints_camera_m[0, [JOINT_NAMES_45.index(name) for name in names]].numpy()
    pixels = _camera(scene).project(joints)
    for (u, v), joint in zip(pixels, joints, strict=True):
        if not (0 <= u < 160 and 0 <= v < 160):
            continue
        assert result.person[0, int(v), int(u)] == 0
        # Skin and clothes lie before the joint, but not far.
        assert -0.35 < float(result.depth_m[0, int(v), int(u)]) - joint[2] < 0.05


def test_parts_are_of_the_joint_above_them(renderer: SceneRenderer) -> None:
    """Of somebody naked who faces us with arms stretched out, so that all limbs are seen."""
    scene = dataclasses.replace(
        sample_scene(5, people=1, size_hw=(200, 200), things=()),
        intrinsics=np.array([[220.0, 0, 100], [0, 220, 90], [0, 0, 1]]),
        pose_axis_angle=np.array([[np.pi] + [0.0] * 71]),
        translation_m=np.array([[0.0, 0.0, 2.5]]),
        ground_normal=np.array([0.0, -1.0, 0.0]),
    )
    result = renderer([scene], [_naked(scene)])
    between = {'head': ('nose', 'nose'), 'pelvis': ('left_hip', 'right_hip')}
    for side in ('left', 'right'):
        for above, below in (
            ('hip', 'knee'),
            ('knee', 'ankle'),
            ('shoulder', 'elbow'),
            ('elbow', 'wrist'),
        ):
            between[f'{side}_{above}'] = f'{side}_{above}', f'{side}_{below}'
        between[f'{side}_hand'] = f'{side}_middle', f'{side}_middle'
        between[f'{side}_foot'] = f'{side}_big_toe', f'{side}_big_toe'
    for name, ends in between.items():
        joints = result.joints_camera_m[0, [JOINT_NAMES_45.index(end) for end in ends]]
        ((u, v),) = _camera(scene).project(joints.mean(0, keepdim=True).numpy())
        part = int(result.part[0, int(v), int(u)])
        assert part >= 0
        assert SMPL_JOINT_NAMES[part] == name


def test_the_same_seed_gives_the_same_picture_in_any_company(renderer: SceneRenderer) -> None:
    first, second = sample_scene(6), sample_scene(7, size_hw=(96, 120))
    together = renderer([second, first, second])
    alone = renderer([first])
    again = renderer([first])
    assert torch.equal(alone.images, again.images)
    assert torch.equal(together.person[1], alone.person[0])
    difference = (together.images[1].int() - alone.images[0].int()).abs()
    # Sums in another order may round a value the other way.
    assert (difference > 2).float().mean() < 1e-3
    other = renderer([dataclasses.replace(first, look_seed=1234)])
    assert (other.images.int() - alone.images.int()).abs().float().mean() > 5
    # Truth does not depend on looks.
    assert torch.equal(other.vertices_camera_m, alone.vertices_camera_m)


def test_things_hide_people_and_ground_lies_where_it_should(renderer: SceneRenderer) -> None:
    middle = np.array([0.0, 0.6, 1.5])
    board = Thing('box', middle, np.array([1.0, 1.0, 0.05]), np.eye(3))
    scene = sample_scene(8, people=2, things=(board,))
    scene = dataclasses.replace(
        scene,
        intrinsics=np.array([[100.0, 0, 64], [0, 100, 48], [0, 0, 1]]),
        ground_normal=np.array([0.0, -1.0, 0.0]),
        ground_offset_m=1.6,
    )
    result = renderer([scene], [_without_extras(scene)])
    # The board's front is at 1.45 m: rows from 48 − 0.4/1.45·100 down, columns within ±69.
    assert (result.person[0, 25:] == -1).all()
    torch.testing.assert_close(result.depth_m[0, 60], torch.full((128,), 1.45), rtol=1e-4, atol=0)
    empty = dataclasses.replace(
        scene, things=(), betas=scene.betas[:0], pose_axis_angle=scene.pose_axis_angle[:0],
        translation_m=scene.translation_m[:0],
    )  # fmt: skip
    look = _without_extras(empty)
    open_room = dataclasses.replace(look.room, right=90, left=90, front=90, back=90, ceiling=90)
    alone = renderer([empty], [dataclasses.replace(look, room=open_room)])
    assert alone.person_counts == (0,)
    assert alone.vertices_camera_m.shape == (0, 6800, 3)
    assert (alone.person == -1).all()
    assert (alone.part == -1).all()
    below_m = 1.6 * 100 / (torch.arange(60, 96) + 0.5 - 48)
    expected = below_m[:, None].expand(-1, 128)
    torch.testing.assert_close(alone.depth_m[0, 60:], expected, rtol=1e-4, atol=0)


def test_cylinders_and_ellipsoids_are_round(renderer: SceneRenderer) -> None:
    half = np.array([0.3, 0.5, 0.3])
    for shape, share in (('cylinder', 1.0), ('ellipsoid', np.pi / 4)):
        thing = Thing(shape, np.array([0.0, 0.0, 10.0]), half, turned(2, np.pi / 2))
        scene = dataclasses.replace(
            sample_scene(9, people=1, things=(thing,)),
            translation_m=np.array([[0.0, 0.0, -5.0]]),
            intrinsics=np.array([[1000.0, 0, 64], [0, 1000, 48], [0, 0, 1]]),
        )
        depth = renderer([scene], [_without_extras(scene)]).depth_m[0].numpy()
        seen = np.abs(depth - 10) < 0.35
        # Lying: 1.0 m wide and 0.6 m high, 100 pixels a metre at 10 m.
        assert seen.any(0).sum() in range(98, 106)
        assert seen.any(1).sum() in range(58, 65)
        assert abs(seen.sum() / (6000 * share) - 1) < 0.06


def test_a_packed_batch_draws_the_same(renderer: SceneRenderer) -> None:
    scenes = [sample_scene(10), sample_scene(11)]
    packed = pack(scenes, [draw_look(scene) for scene in scenes])
    result = renderer.draw(packed)
    assert torch.equal(renderer(scenes).images, result.images)
    with torch.autocast('cpu', torch.bfloat16):  # a training step's, which geometry cannot bear
        inside = renderer.draw(packed)
    assert torch.equal(inside.depth_m, result.depth_m)
    assert torch.equal(inside.images, result.images)


def test_scenes_of_like_sizes_are_drawn_together(renderer: SceneRenderer) -> None:
    sizes = [(40, 64), (64, 40), (40, 64), (64, 48), (36, 64)]
    scenes = [sample_scene(20 + i, people=1 + i % 2, size_hw=size) for i, size in enumerate(sizes)]
    packed = pack(scenes, at_once=3)
    assert sorted(sorted(place) for place in packed.places) == [[0, 2, 4], [1, 3]]
    assert [(batch.height, batch.width) for batch in packed.batches] in (
        [(64, 48), (40, 64)],
        [(40, 64), (64, 48)],
    )
    assert sorted(len(place) for place in pack(scenes, at_once=2).places) == [1, 2, 2]
    result = renderer.draw(packed)
    assert result.sizes_hw == tuple(sizes)
    assert result.person_counts == (1, 2, 1, 2, 1)
    assert result.images.shape == (5, 64, 64, 3)
    assert torch.equal(result.part < 0, result.person < 0)
    start = 0
    for index, scene in enumerate(scenes):
        alone = renderer([scene])
        height, width = scene.size_hw
        assert torch.equal(result.person[index, :height, :width], alone.person[0, :height, :width])
        assert torch.equal(result.part[index, :height, :width], alone.part[0, :height, :width])
        assert (result.person[index, height:] == -1).all()
        people = slice(start, start + len(scene.betas))
        torch.testing.assert_close(result.joints_camera_m[people], alone.joints_camera_m)
        start = people.stop


def test_half_precision_gives_nearly_the_same_picture(
    renderer: SceneRenderer, open_body: BodyLayer
) -> None:
    scenes = [sample_scene(seed, size_hw=(64, 96)) for seed in range(30, 38)]
    quick = SceneRenderer(open_body, 'cpu', torch.float16)
    one, other = renderer(scenes), quick(scenes)
    assert torch.equal(one.person, other.person)
    assert torch.equal(one.depth_m, other.depth_m)
    difference = (one.images.int() - other.images.int()).abs().float()
    # Rounding before JPEG's own may move some blocks by a step.
    assert difference.mean() < 1.0
    assert (difference <= 3).float().mean() > 0.95
