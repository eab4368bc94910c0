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

"""The preparation commands on small raw releases, read back through the datasets."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.pictures import write_picture
import numpy as np
import pytest
from scenes import Scene, SceneMaker
import scipy.io
from training.data.catalogue import open_annotations
from training.prepare.__main__ import main

H36M_FROM_MPI = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)


@pytest.fixture
def scenes() -> list[Scene]:
    maker = SceneMaker(21, (64, 48))
    return [maker.scene(people=count) for count in (1, 2)]


def release(file: Path, scenes: list[Scene], names: list[str]) -> Path:
    rows = [(name, s, i) for name, s in zip(names, scenes, strict=True) for i in range(len(s))]
    np.savez(
        file,
        imgname=np.array([name for name, _, _ in rows]),
        pose_cam=np.stack([s.pose[i] for _, s, i in rows]).reshape(-1, 24, 3),
        shape=np.stack([s.betas[i, :10] for _, s, i in rows]),
        trans_cam=np.stack([s.translation_m[i] for _, s, i in rows]),
        cam_int=np.stack([s.intrinsics for _, s, _ in rows]),
    )
    return file


@pytest.mark.parametrize(('command', 'split'), [('chmr', 'train'), ('dto', 'train_opt')])
def test_fits_come_together_by_picture(
    tmp_path: Path, scenes: list[Scene], command: str, split: str
) -> None:
    names = ['images/train2014/COCO_1.jpg', 'train2014/COCO_2.jpg']
    first = release(tmp_path / 'a-release.npz', scenes, names)
    second = release(tmp_path / 'b-release.npz', scenes[:1], ['COCO_2.jpg'])
    assert main([command, 'coco', str(first), str(second), '--root', str(tmp_path)]) == 0
    (tmp_path / 'coco2014/images/train2014').mkdir(parents=True)
    annotations = open_annotations('coco', split, tmp_path)
    assert [len(annotations[i]) for i in range(2)] == [1, 3]
    read = annotations[1]
    assert str(read.picture) == 'COCO_2.jpg'
    assert read.bodies is not None
    np.testing.assert_allclose(read.bodies.pose_axis_angle[:2], scenes[1].pose, atol=1e-6)
    np.testing.assert_allclose(read.bodies.translation_m[:2], scenes[1].translation_m, atol=1e-5)
    np.testing.assert_allclose(read.bodies.betas[2, :10], scenes[0].betas[0, :10], atol=1e-6)
    np.testing.assert_allclose(read.intrinsics[0], scenes[1].intrinsics, rtol=1e-6)
    np.testing.assert_allclose(read.intrinsics[2], scenes[0].intrinsics, rtol=1e-6)


def test_a_release_without_a_column_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / 'x.npz', imgname=np.array(['a.jpg']))
    assert main(['chmr', 'coco', str(tmp_path / 'x.npz'), '--root', str(tmp_path)]) == 2
    assert "should hold the array 'pose_cam'" in capsys.readouterr().err
    assert not (tmp_path / 'coco2014').exists()


def cell(shape: tuple[int, ...], content: list[object]) -> np.ndarray:
    cells = np.empty(shape, dtype=object)
    for index, value in zip(np.ndindex(shape), content, strict=True):
        cells[index] = value
    return cells


def test_mupots_keeps_valid_people_in_the_new_order(tmp_path: Path) -> None:
    folder = tmp_path / 'mupots/MultiPersonTestSet/TS1'
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    flat, deep = rng.normal(size=(4, 2, 17)), rng.normal(size=(4, 3, 17))
    hidden = rng.random((4, 17)) < 0.3
    people = [
        {'annot2': flat[i], 'annot3': deep[i], 'univ_annot3': -deep[i], 'isValidFrame': i != 1}
        for i in range(4)
    ]
    scipy.io.savemat(folder / 'annot.mat', {'annotations': cell((2, 2), list(people))})
    labels = [row[None].astype(float) for row in hidden]
    scipy.io.savemat(folder / 'occlusion.mat', {'occlusion_labels': cell((2, 2), list(labels))})
    assert main(['mupots', '--root', str(tmp_path)]) == 0
    annotations = open_annotations('mupots', 'test', tmp_path)
    assert [len(annotations[i]) for i in range(2)] == [1, 2]
    assert str(annotations[1].picture) == 'TS1/img_000001.jpg'
    points = annotations[1].keypoints
    assert points is not None
    assert points.joints_camera is not None
    order = list(H36M_FROM_MPI)
    np.testing.assert_allclose(points.joints_px[1], flat[3].T[order], rtol=1e-6)
    np.testing.assert_allclose(points.joints_camera[0], deep[2].T[order], rtol=1e-6)
    np.testing.assert_array_equal(points.visible[0], ~hidden[2][order])


@pytest.mark.parametrize(('option', 'cameras'), [([], ['16']), (['--every-camera'], ['16', '4'])])
def test_hi4d_takes_the_named_camera_or_every_one(
    tmp_path: Path, scenes: list[Scene], option: list[str], cameras: list[str]
) -> None:
    scene = scenes[1]
    action = tmp_path / 'hi4d/pair01/hug01'
    rotation, moved = scene.extrinsics
    pose, translation = scene.world()
    for folder in ('cameras', 'smpl', 'images/4', 'images/16'):
        (action / folder).mkdir(parents=True)
    np.savez(action / 'meta.npz', genders=np.array(['female', 'male']), mono_cam=16, start=1)
    view = np.concatenate([rotation, moved[:, None]], axis=1)
    np.savez(
        action / 'cameras/rgb_cameras.npz',
        ids=np.array([4, 16]),
        intrinsics=np.stack([np.eye(3), scene.intrinsics]),
        extrinsics=np.stack([np.zeros((3, 4)), view]),
        dist_coeffs=np.zeros((2, 5)),
    )
    np.savez(
        action / 'smpl/000012.npz',
        betas=scene.betas[:, :10],
        global_orient=pose[:, :3],
        body_pose=pose[:, 3:],
        transl=translation,
        verts=np.zeros((2, 5, 3)),
    )
    for camera in ('4', '16'):
        write_picture(action / f'images/{camera}/000012.jpg', scene.picture_rgb)
    assert main(['hi4d', 'val', 'pair01', '--root', str(tmp_path), *option]) == 0
    annotations = open_annotations('hi4d', 'val', tmp_path)
    pictures = {str(annotations[i].picture): i for i in range(len(annotations))}
    assert sorted(name.split('/')[3] for name in pictures) == cameras
    read = annotations[pictures['pair01/hug01/images/16/000012.jpg']]
    assert read.bodies is not None
    assert read.bodies.genders == ('female', 'male')
    np.testing.assert_allclose(read.bodies.pose_axis_angle, pose, atol=1e-6)
    np.testing.assert_allclose(read.bodies.camera_rotation[1], rotation, atol=1e-6)
    np.testing.assert_allclose(read.intrinsics[0], scene.intrinsics, rtol=1e-6)


def test_missing_releases_say_where_they_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['mupots', '--root', str(tmp_path)]) == 2
    assert 'MultiPersonTestSet should hold the sequences' in capsys.readouterr().err
    assert main(['hi4d', 'train', 'pair00', '--root', str(tmp_path)]) == 2
    assert 'pair00 should hold actions' in capsys.readouterr().err


def test_map_converts_now(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['map', 'agora', 'validation', '--root', str(data_root)]) == 0
    assert capsys.readouterr().out == 'agora validation: 4 pictures, mapped\n'
    assert list((data_root / 'agora/smpl_neutral_annots').glob('.*.mapped'))
