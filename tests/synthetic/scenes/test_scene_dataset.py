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

"""Scenes written as a data set: what the trainer reads of them agrees with what is drawn."""

from __future__ import annotations

from dataclasses import dataclass
import json
from pathlib import Path

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
import numpy as np
import pytest
import torch
from training.data.catalogue import open_annotations
from training.data.dataset import build_dataset, PictureDataset
from training.data.plain_annotations import read_plain, write_plain
from training.data.posing import WorkerBodies
from training.data.sample import SampleConfig
from training.data.scale_map import CELL_PX, morton_order
from training.synthetic.scenes import dataset as writer
from training.synthetic.scenes.__main__ import main
from training.synthetic.scenes.dataset import Plan, seen, write_dataset
from training.synthetic.scenes.renderer import Rendered, SceneRenderer
from training.synthetic.scenes.scene import Scene

PLAN = Plan('train', 6, 3, 280)


@dataclass(frozen=True)
class Written:
    root: Path
    rendered: Rendered
    data: PictureDataset


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Write a data set, and keep what its renderer gave."""
    root = tmp_path_factory.mktemp('data')
    renderer = SceneRenderer(BodyLayer(load_body(OPEN_BODY), kid=True), 'cpu')
    rendered = renderer([PLAN.scene(i) for i in range(PLAN.count)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, '_renderer', lambda device: lambda scenes: rendered)
        write_dataset(root / 'synthetic', PLAN, 'cpu', 0)
    bodies = WorkerBodies(OPEN_BODY, ('neutral',))
    config = SampleConfig(PLAN.input_size, 11, None)
    return Written(root, rendered, build_dataset('synthetic', 'train', root, bodies, config))


@dataclass(frozen=True)
class Truth:
    """One picture: what the trainer is told, beside what the renderer drew."""

    joints_m: np.ndarray
    joints_px: np.ndarray
    boxes: np.ndarray
    depths: np.ndarray
    scale_map: np.ndarray
    person: np.ndarray
    depth_m: np.ndarray
    numbers: np.ndarray


def truths(written: Written) -> list[Truth]:
    result = []
    for index in range(PLAN.count):
        sample = written.data[index].sample
        assert sample is not None
        target, (height, width) = sample.target, written.rendered.sizes_hw[index]
        assert target.size_hw == (height, width)
        result.append(
            Truth(
                target.joints_camera_m.numpy(),
                target.joints_px.numpy(),
                target.boxes_cxcywh_norm.numpy(),
                target.depths.numpy(),
                target.scale_map.numpy(),
                written.rendered.person[index, :height, :width].numpy(),
                written.rendered.depth_m[index, :height, :width].numpy(),
                np.flatnonzero(seen(written.rendered, index)),
            )
        )
    return result


def test_projected_joints_land_on_that_person_where_nothing_hides_them(written: Written) -> None:
    joints = own = good = 0
    for truth in truths(written):
        assert len(truth.numbers) == len(truth.joints_px)
        height, width = truth.person.shape
        for number, pixels, points in zip(
            truth.numbers, truth.joints_px[:, :22], truth.joints_m, strict=True
        ):
            for (u, v), z in zip(pixels, points[:22, 2], strict=True):
                if not (1 <= u < width - 1 and 1 <= v < height - 1):
                    continue
                near = truth.person[slice(int(v) - 1, int(v) + 2), slice(int(u) - 1, int(u) + 2)]
                mine = (near == number).any()
                joints, own = joints + 1, own + mine
                good += mine or truth.depth_m[int(v), int(u)] < z
    assert joints > 150
    assert own / joints > 0.6
    assert good / joints > 0.995


def test_nobody_is_drawn_before_somebody_nearer(written: Written) -> None:
    first, points, good = 0, 0, 0
    for index in range(PLAN.count):
        scene = PLAN.scene(index)
        height, width = scene.size_hw
        person = written.rendered.person[index, :height, :width].numpy()
        depth = written.rendered.depth_m[index, :height, :width].numpy()
        for number in range(len(scene.betas)):
            skin = written.rendered.vertices_camera_m[first + number].numpy()[::7]
            pixels = skin @ scene.intrinsics.T
            with np.errstate(divide='ignore', invalid='ignore'):
                pixels = pixels[:, :2] / pixels[:, 2:]
            inside = (pixels >= 1).all(1) & (pixels < (width - 1, height - 1)).all(1)
            inside &= skin[:, 2] > 0.1
            u, v = pixels[inside].astype(int).T
            own = np.zeros(len(u), bool)
            for x in (-1, 0, 1):
                for y in (-1, 0, 1):
                    own |= person[v + y, u + x] == number
            covered = depth[v, u] < skin[inside, 2] + 0.02
            points, good = points + len(u), good + int((own | covered).sum())
        first += len(scene.betas)
    assert points > 3000
    assert good / points > 0.999


def test_scale_maps_show_everybody_who_is_drawn_at_their_size(written: Written) -> None:
    cells = painted = sized = alone = 0
    for truth in truths(written):
        height, width = truth.person.shape
        rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
        order = morton_order(rows + rows % 2, columns + columns % 2)
        grid = np.empty((len(order), 2))
        grid[order] = truth.scale_map
        grid = grid.reshape(rows + rows % 2, columns + columns % 2, 2)
        sizes = np.hypot(*truth.boxes[:, 2:].T).clip(max=1)
        for row in range(height // CELL_PX):
            for column in range(width // CELL_PX):
                cell = truth.person[
                    slice(row * CELL_PX, (row + 1) * CELL_PX),
                    slice(column * CELL_PX, (column + 1) * CELL_PX),
                ]
                who = [n for n in np.unique(cell) if n >= 0]
                drawn = [n for n in who if (cell == n).mean() > 0.25]
                if not drawn:
                    continue
                cells, painted = cells + 1, painted + (grid[row, column, 0] == 1)
                if len(who) == 1:  # nobody else can have painted it but who is hidden there
                    alone += 1
                    mine = sizes[list(truth.numbers).index(drawn[0])]
                    sized += np.isclose(grid[row, column, 1], mine, atol=1e-4)
    assert cells > 60
    assert alone > 12
    assert painted / cells > 0.98
    assert sized / alone > 0.9


def test_depths_and_pictures_are_those_of_the_scene(written: Written) -> None:
    for index in range(PLAN.count):
        scene = PLAN.scene(index)
        sample = written.data[index].sample
        assert sample is not None
        kept = seen(written.rendered, index)
        roots = sample.target.joints_camera_m[:, 0]
        posed = written.rendered.joints_camera_m
        first = sum(written.rendered.person_counts[:index])
        expected = posed[slice(first, first + len(scene.betas))][torch.from_numpy(kept), 0]
        torch.testing.assert_close(roots, expected, atol=2e-4, rtol=1e-4)
        height, width = scene.size_hw
        drawn = written.rendered.images[index, :height, :width].numpy().astype(float)
        assert np.abs(sample.image.numpy() - drawn).mean() < 6  # JPEG


def test_a_stopped_run_goes_on_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, '_CHUNK', 2)
    plan, drawn = Plan('train', 5, 3, 280), []

    def fails_on_the_second(scenes: list[Scene]) -> Rendered:
        if len(drawn) == 1:
            raise KeyboardInterrupt
        return plain(scenes)

    def plain(scenes: list[Scene]) -> Rendered:
        drawn.append(len(scenes))
        return blank(scenes)

    monkeypatch.setattr(writer, '_renderer', lambda device: fails_on_the_second)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, plan, 'cpu', 0)
    assert not (tmp_path / 'train.npz').exists()
    monkeypatch.setattr(writer, '_renderer', lambda device: plain)
    write_dataset(tmp_path, plan, 'cpu', 0)
    assert drawn == [2, 2, 1]
    entries = dict(read_plain(tmp_path / 'train.npz'))
    for index, (name, entry) in enumerate(entries.items()):
        assert name == writer.picture_name(index)
        np.testing.assert_allclose(entry['betas'], plan.scene(index).betas, atol=1e-6)
        picture = cv2.imread(str(tmp_path / 'train' / name))
        assert picture.shape[:2] == plan.scene(index).size_hw
    write_dataset(tmp_path, Plan('train', 7, 3, 280), 'cpu', 0)
    assert drawn == [2, 2, 1, 2, 1]
    assert len(dict(read_plain(tmp_path / 'train.npz'))) == 7


def blank(scenes: list[Scene]) -> Rendered:
    """Return black pictures on whose left half everybody is seen, as far as they are wide."""
    height, width = (max(s.size_hw[axis] for s in scenes) for axis in (0, 1))
    person = torch.full((len(scenes), height, width), -1, dtype=torch.int16)
    for place, scene in enumerate(scenes):
        for number in range(len(scene.betas)):
            person[place, :, number] = number
    return Rendered(
        torch.zeros(len(scenes), height, width, 3, dtype=torch.uint8),
        person,
        torch.where(person < 0, -1, 0).to(torch.int8),
        torch.zeros(len(scenes), height, width),
        torch.zeros(0, 0, 3),
        torch.zeros(0, 45, 3),
        tuple(len(s.betas) for s in scenes),
        tuple(s.size_hw for s in scenes),
    )


def test_scenes_of_another_seed_are_not_mixed_in(written: Written) -> None:
    with pytest.raises(UserError, match='would not mix'):
        write_dataset(written.root / 'synthetic', Plan('train', 6, 4, 280), 'cpu', 0)
    note = json.loads((written.root / 'synthetic' / 'train.json').read_text())
    assert note['seed'] == 3


def test_annotations_of_somebody_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / 'train.npz').write_text('theirs')
    with pytest.raises(UserError, match=r'train\.npz is there already, but not train\.json'):
        write_dataset(tmp_path, Plan('train', 6, 4, 280), 'cpu', 0)
    assert [path.name for path in tmp_path.iterdir()] == ['train.npz']


def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), '--count', '0']) == 2
    assert '--count should be at least 1, not 0' in capsys.readouterr().err
    assert main([str(tmp_path), '--seed', '20260000', '--count', '1', '--workers', '0']) == 2
    assert 'held-out' in capsys.readouterr().err
    assert main([str(tmp_path), '--device', 'tpu']) == 2
    assert '--device should be cpu, cuda or cuda:1, not tpu' in capsys.readouterr().err
    assert main([str(tmp_path), '--device', 'cuda:99']) == 2
    assert '--device cuda:99 is not there' in capsys.readouterr().err
    assert main([str(tmp_path), '--held-out', '--seed', '5']) == 2
    assert '--held-out has its own seed' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_annotations_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'synthetic' / 'train.npz'
    (tmp_path / 'synthetic' / 'train').mkdir(parents=True)
    path.write_bytes(b'no archive')
    with pytest.raises(UserError, match='cannot be read'):
        open_annotations('synthetic', 'train', tmp_path)
    entry = {
        'intrinsics': np.eye(3),
        'pose_axis_angle': np.zeros((2, 72)),
        'betas': np.zeros((2, 11)),
        'translation_m': np.ones((2, 3)),
    }
    write_plain(path, {'a.jpg': entry})
    with np.load(path) as file:
        arrays = dict(file)
    arrays['people'] = np.array([0, 3])
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=r'pose_axis_angle should have the shape \(3, 72\)'):
        list(read_plain(path))
    arrays['names'] = np.array([{'a': 1}], dtype=object)
    np.savez(path, **arrays)
    with pytest.raises(UserError, match='cannot be read'):
        list(read_plain(path))
