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

"""All datasets from files in their formats, against the scenes behind them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
import pickle
import shutil
from typing import Any

from fixtures import fitted, make_data, make_dataset
from mahmr_model.errors import UserError
import numpy as np
from PIL import Image
import pytest
from scenes import SceneMaker
import torch
from torch.utils.data import DataLoader
from training.data.augmentation import AugmentationConfig, Draw
from training.data.catalogue import DATASETS, open_annotations
from training.data.dataset import build_dataset, collate, Item, join, quiet_worker, SkipCounter
from training.data.placing import place, Placed
from training.data.posing import WorkerBodies
from training.data.published import read_annotations
from training.data.sample import SampleConfig
from training.metrics.types import MeshTruth, MupotsTruth, PanopticTruth, RelativeHumanTruth
from training.sampling import worker_options

EVALUATION = SampleConfig(input_size=256, shapes=11)
TRAINING = SampleConfig(input_size=256, shapes=11, augmentation=AugmentationConfig())
WITH_BODIES = ('agora', 'bedlam', '3dpw', 'hi4d', 'coco', 'mpii', 'aic', 'insta', 'synthetic')
ALL_SPLITS = [(name, split) for name, data in DATASETS.items() for split in data.splits]


def first_split(name: str) -> str:
    return next(iter(DATASETS[name].splits))


@pytest.mark.parametrize('name', WITH_BODIES)
def test_bodies_stand_where_they_were_rendered(
    name: str, tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    scenes = [SceneMaker(5).scene(people=2), SceneMaker(6).scene(people=3)]
    make_dataset(name, first_split(name), tmp_path, scenes)
    dataset = build_dataset(name, first_split(name), tmp_path, open_bodies, EVALUATION)
    for index, scene in enumerate(scenes):
        sample = dataset[index].sample
        assert sample is not None
        target, truth = sample.target, sample.source.truth
        assert isinstance(truth, MeshTruth)
        # float32 metres and pixels of a picture of 256.
        np.testing.assert_allclose(target.joints_camera_m, scene.joints_m, atol=2e-5)
        projected = scene.project(scene.joints_m)
        np.testing.assert_allclose(target.joints_px, projected, atol=5e-3)
        np.testing.assert_allclose(truth.vertices_camera_m, scene.vertices_m, atol=2e-5)
        np.testing.assert_allclose(
            truth.joints_px, scene.project(scene.joints_m[:, :24]), atol=5e-3
        )
        np.testing.assert_allclose(target.betas[:, :10], scene.betas[:, :10], atol=1e-6)
        assert target.focal_px.numpy() == pytest.approx(scene.intrinsics[0, 0], rel=1e-5)
        assert sample.image.shape == (192, 256, 3)


def test_flags_of_every_split(data_root: Path, open_bodies: WorkerBodies) -> None:
    flags = {}
    for name, split in ALL_SPLITS:
        annotation = build_dataset(name, split, data_root, open_bodies, EVALUATION).annotation(0)
        flags[name, split] = annotation.valid_3d, annotation.detect_all_people
    no_3d = {key for key, (valid, _) in flags.items() if not valid}
    assert no_3d == {
        *((name, 'train') for name in ('coco', 'mpii', 'aic', 'insta')),
        *(('rh', split) for split in ('train', 'val', 'test')),
        ('panoptic', 'test'),
        ('mupots', 'test'),
    }
    assert {key for key, (_, everybody) in flags.items() if not everybody} == {
        ('3dpw', 'train'),
        ('3dpw', 'test'),
    }


def test_agora_leaves_out_people_that_are_not_valid_and_knows_children(
    tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    maker = SceneMaker(1, kids=0.5)
    scenes = [maker.scene(people=3) for _ in range(2)]
    assert any(scene.kids.any() for scene in scenes)
    make_dataset('agora', 'train', tmp_path, scenes)  # the second has a person without a fit
    dataset = build_dataset('agora', 'train', tmp_path, open_bodies, EVALUATION)
    for index, scene in enumerate(scenes):
        sample = dataset[index].sample
        assert sample is not None
        assert isinstance(sample.source.truth, MeshTruth)
        assert sample.source.truth.kid.tolist() == scene.kids.tolist()
        np.testing.assert_allclose(sample.target.betas, scene.betas, atol=1e-6)


def test_closeup_pictures_of_bedlam_are_turned(tmp_path: Path, open_bodies: WorkerBodies) -> None:
    scene = SceneMaker(2).scene()
    make_dataset('bedlam', 'train_1fps', tmp_path, [scene])
    sample = build_dataset('bedlam', 'train_1fps', tmp_path, open_bodies, EVALUATION)[0].sample
    assert sample is not None
    np.testing.assert_array_equal(sample.image.numpy(), scene.picture_rgb)


def test_genders_are_posed_with_their_own_bodies(tmp_path: Path, random_body_folder: Path) -> None:
    scene = SceneMaker(3).scene(people=3)
    make_dataset('3dpw', 'test', tmp_path, [scene])
    bodies = WorkerBodies(random_body_folder)
    sample = build_dataset('3dpw', 'test', tmp_path, bodies, EVALUATION)[0].sample
    assert sample is not None
    betas = torch.from_numpy(scene.betas).float()
    for index, gender in enumerate(scene.genders):
        own = WorkerBodies(random_body_folder, [gender])  # type: ignore[list-item]
        height = own.heights(betas[slice(index, index + 1)], [gender])  # type: ignore[list-item]
        assert float(sample.target.heights_m[index]) == pytest.approx(float(height), abs=1e-5)


def test_keypoint_sets_give_the_truth_of_their_protocols(
    data_root: Path, open_bodies: WorkerBodies
) -> None:
    kinds = {'panoptic': PanopticTruth, 'mupots': MupotsTruth, 'rh': RelativeHumanTruth}
    for name, kind in kinds.items():
        for item in build_dataset(name, 'test', data_root, open_bodies, EVALUATION):
            assert item.sample is not None
            assert isinstance(item.sample.source.truth, kind)


def test_relative_human_gives_crowdpose_joints_layers_and_boxes(
    tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    scenes = [SceneMaker(4).scene(people=2) for _ in range(3)]
    make_dataset('rh', 'train', tmp_path, scenes)
    dataset = build_dataset('rh', 'train', tmp_path, open_bodies, EVALUATION)
    crowdpose, ochuman, unknown = (dataset[i].sample for i in range(3))
    assert crowdpose is not None
    assert ochuman is not None
    assert unknown is not None
    target = crowdpose.target
    assert target.joints_px.shape == (2, 14, 2)
    assert target.joints_mask.all()
    assert target.depth_layers is not None
    near = int(np.argmin(scenes[0].translation_m[:, 2]))
    assert target.depth_layers[near] == 0
    # Shoulders are SMPL's joints 16 and 17.
    np.testing.assert_allclose(
        target.joints_px[:, :2], scenes[0].project(scenes[0].joints_m[:, 16:18]), atol=5e-3
    )
    # The same people, the last of them annotated in OCHuman's order.
    np.testing.assert_allclose(ochuman.target.joints_px, target.joints_px, atol=1e-3)
    assert not unknown.target.joints_mask[-1].any()
    assert unknown.target.joints_mask[0].all()


@pytest.mark.parametrize('name', ['agora', 'hi4d', 'coco', 'rh', 'mupots'])
def test_a_picture_without_people_is_measured_but_not_trained_on(
    name: str, tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    split = first_split(name)
    file = make_dataset(name, split, tmp_path, [SceneMaker(14).scene(people=1)] * 2)
    annotations = dict(read_annotations(file))
    first = next(iter(annotations))
    if name == 'agora':
        annotations[first]['isValid'] = np.array([False])
    else:
        annotations[first] = []
    np.savez(file, annots=np.array(annotations, dtype=object))
    sample = build_dataset(name, split, tmp_path, open_bodies, EVALUATION)[0].sample
    assert sample is not None
    assert len(sample.target) == 0
    assert len(vars(sample.source.truth)['joints_px']) == 0
    if name != 'mupots':
        trained = build_dataset(name, split, tmp_path, open_bodies, TRAINING)[0]
        assert trained.sample is not None
        assert trained.sample.source.picture.name.endswith('1.jpg')
        assert trained.skipped == ()


def test_workers_may_be_spawned(data_root: Path, open_bodies: WorkerBodies) -> None:
    data = join([build_dataset('agora', 'train', data_root, open_bodies, TRAINING)])
    loader = DataLoader(
        data,
        batch_size=2,
        collate_fn=collate,
        num_workers=1,
        worker_init_fn=quiet_worker,
        multiprocessing_context='spawn',
    )
    batches = list(loader)
    assert [len(batch.images) for batch in batches] == [2, 2]
    assert torch.equal(batches[1].images[1], data[3].sample.image)  # type: ignore[union-attr]


def test_every_n_th_picture_is_kept(data_root: Path, open_bodies: WorkerBodies) -> None:
    whole = build_dataset('coco', 'train', data_root, open_bodies, EVALUATION)
    third = build_dataset('coco', 'train', data_root, open_bodies, EVALUATION, keep_every=3)
    assert (len(whole), len(third)) == (4, 2)
    assert third.annotation(1).picture == whole.annotation(3).picture


def content(items: list[Item]) -> list[tuple[bytes, bytes]]:
    samples = [item.sample for item in items if item.sample is not None]
    return [(s.image.numpy().tobytes(), s.target.joints_px.numpy().tobytes()) for s in samples]


def test_samples_follow_from_seed_epoch_and_number_alone(
    data_root: Path, open_bodies: WorkerBodies
) -> None:
    def make(seed: int) -> list[Item]:
        parts = [('agora', 'train'), ('coco', 'train_opt'), ('rh', 'train')]
        data = join(
            [build_dataset(*part, data_root, open_bodies, TRAINING, seed=seed) for part in parts]
        )
        data.set_epoch(1)
        loaders = {
            workers: DataLoader(data, batch_size=None, **worker_options(workers))
            for workers in (0, 2)
        }
        alone, together = list(loaders[0]), list(loaders[2])
        assert content(alone) == content(together)
        assert data.describe(4).endswith('train_opt_000000.jpg')
        data.set_epoch(2)
        assert content([data[i] for i in range(len(data))]) != content(alone)
        return alone

    assert content(make(1)) != content(make(2))


def test_training_samples_label_what_they_show(data_root: Path, open_bodies: WorkerBodies) -> None:
    """However augmented, joints are projections of the 3-D joints, boxes lie in the picture."""
    seen = 0
    for name in ('agora', 'bedlam', '3dpw', 'hi4d', 'insta'):
        dataset = build_dataset(name, first_split(name), data_root, open_bodies, TRAINING)
        for epoch in range(3):
            dataset.set_epoch(epoch)
            for index in range(len(dataset)):
                sample = dataset[index].sample
                assert sample is not None
                target = sample.target
                assert sample.image.shape[:2] == target.size_hw
                assert max(target.size_hw) == 256
                projected = target.joints_camera_m @ target.intrinsics.transpose(1, 2)
                torch.testing.assert_close(
                    projected[..., :2] / projected[..., 2:], target.joints_px, atol=0.5, rtol=0
                )
                assert target.joints_mask.all()
                low = target.boxes_cxcywh_norm[:, :2] - target.boxes_cxcywh_norm[:, 2:] / 2
                high = target.boxes_cxcywh_norm[:, :2] + target.boxes_cxcywh_norm[:, 2:] / 2
                assert low.min() > 0
                assert (high * 256 <= torch.tensor([*target.size_hw][::-1]) - 0.999).all()
                assert target.scale_map[:, 0].sum() > 0
                seen += len(target)
    assert seen > 60


def test_broken_pictures_and_annotations_are_skipped_and_counted(
    tmp_path: Path, open_bodies: WorkerBodies, caplog: pytest.LogCaptureFixture
) -> None:
    maker = SceneMaker(7)
    scenes = [maker.scene(people=1) for _ in range(5)]
    scenes[2].betas[0, 0] = np.nan
    make_dataset('coco', 'train_opt', tmp_path, scenes)
    pictures = tmp_path / 'coco2014/images/train2014'
    (pictures / 'train_opt_000000.jpg').unlink()
    whole = (pictures / 'train_opt_000001.jpg').read_bytes()
    (pictures / 'train_opt_000001.jpg').write_bytes(whole[: len(whole) // 2])

    evaluated = build_dataset('coco', 'train_opt', tmp_path, open_bodies, EVALUATION)
    batch = collate([evaluated[i] for i in range(5)])
    assert len(batch.images) == 2
    for reason, number in zip(batch.skipped, (0, 1, 2), strict=True):
        assert f'train_opt_00000{number}.jpg' in reason
    assert 'NaN' in batch.skipped[2]

    trained = build_dataset('coco', 'train_opt', tmp_path, open_bodies, TRAINING)
    batch = collate([trained[i] for i in range(5)])
    assert [source.picture.name[-5] for source in batch.sources] == ['3', '3', '3', '3', '4']
    counter = SkipCounter(limit=3)
    counter.add(batch.skipped)
    counter.add(batch.skipped)
    assert caplog.text.count('skipped ') == len(counter.reasons) == 3
    with pytest.raises(UserError, match='At most 2 pictures'):
        SkipCounter(limit=2).add(batch.skipped)


def test_panoptic_pictures_that_cannot_be_measured_are_skipped(
    tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    maker = SceneMaker(7)
    file = make_dataset('panoptic', 'test', tmp_path, [maker.scene(people=1) for _ in range(3)])
    entries = np.load(file, allow_pickle=True)['annots'].item()
    names = list(entries)
    entries[names[0]]['kpts3d'][0, 0, 0] = np.nan
    other = names[1].replace('mafia', 'band')
    (file.parent / 'images' / names[1]).parents[2].rename(
        (file.parent / 'images' / other).parents[2]
    )
    entries = {other if name == names[1] else name: entry for name, entry in entries.items()}
    np.savez(file, annots=np.array(entries, dtype=object))
    data = build_dataset('panoptic', 'test', tmp_path, open_bodies, EVALUATION)
    batch = collate([data[i] for i in range(3)])
    truths = [source.truth for source in batch.sources]
    assert [truth.activity for truth in truths] == ['ultimatum']  # type: ignore[union-attr]
    assert 'NaN or infinite numbers in 3-D keypoints' in batch.skipped[0]
    assert 'none of the activities' in batch.skipped[1]


def test_people_hardly_seen_go_and_the_last_draw_is_upright(
    data_root: Path, open_bodies: WorkerBodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws: list[Draw] = []

    def placed(*arguments: Any) -> Placed:
        draws.append(arguments[3])
        result = place(*arguments)
        visible = np.zeros_like(result.visible)
        visible[0, : 3 if draws[-1].rotation_deg else 4] = True
        return replace(result, visible=visible)

    monkeypatch.setattr('training.data.sample.place', placed)
    sample = build_dataset('bedlam', 'train_6fps', data_root, open_bodies, TRAINING)[0].sample
    assert sample is not None
    assert len(sample.target) == 1
    assert [draw.rotation_deg != 0 for draw in draws] == [True] * 11 + [False]
    assert draws[-1].scale == 1


def test_no_usable_picture_is_an_error(tmp_path: Path, open_bodies: WorkerBodies) -> None:
    make_dataset('coco', 'train', tmp_path, [SceneMaker(8).scene() for _ in range(2)])
    for picture in tmp_path.rglob('*.jpg'):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(picture)
        picture.write_bytes(picture.read_bytes()[:50])
    with pytest.raises(UserError, match=r'none among 2 in a row.*train_000000\.jpg'):
        build_dataset('coco', 'train', tmp_path, open_bodies, TRAINING)[0]


def test_missing_data_says_where_it_is_looked_for(
    tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    with pytest.raises(UserError, match=r'agora.*annots_smpl_train_fit\.npz.*agora\.is\.tue'):
        build_dataset('agora', 'train', tmp_path, open_bodies, TRAINING)
    with pytest.raises(UserError, match="did you mean 'agora'"):
        build_dataset('agoar', 'train', tmp_path, open_bodies, TRAINING)
    with pytest.raises(UserError, match="did you mean 'train_opt'"):
        build_dataset('coco', 'train_op', tmp_path, open_bodies, TRAINING)


def test_a_file_of_another_format_is_refused(data_root: Path, tmp_path: Path) -> None:
    make_data(tmp_path, pictures=1, names=['rh'])
    file = tmp_path / 'coco2014/COCO_CHMR_SMPL.npz'
    file.parent.mkdir(parents=True)
    shutil.copy(tmp_path / 'RelativeHuman/train_annots.npz', file)
    (tmp_path / 'coco2014/images/train2014').mkdir(parents=True)
    with pytest.raises(UserError, match='1 of 1 pictures cannot be read'):
        open_annotations('coco', 'train', tmp_path)
    assert not list(file.parent.glob('.*'))


def test_a_dataset_is_small_to_copy_whatever_its_length(
    tmp_path: Path, open_bodies: WorkerBodies
) -> None:
    scene = SceneMaker(9, (64, 48)).scene(people=3)
    sizes = []
    for count in (10, 1000):
        root = tmp_path / str(count)
        make_dataset('coco', 'train', root, [scene] * 2)
        annotations = {f'{i:09d}.jpg': fitted(scene, i) for i in range(count)}
        file = root / 'coco2014/COCO_CHMR_SMPL.npz'
        np.savez(file, annots=np.array(annotations, dtype=object))
        dataset = build_dataset('coco', 'train', root, open_bodies, EVALUATION)
        assert len(dataset) == count
        dataset.annotation(count - 1)
        without_bodies = copy.copy(dataset)
        without_bodies._maker = None  # type: ignore[assignment]
        sizes.append(len(pickle.dumps(without_bodies)))
    assert abs(sizes[0] - sizes[1]) < 20
