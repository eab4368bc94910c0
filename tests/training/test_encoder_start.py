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

"""The start of an encoder: steps of one shape over a pool of rendered scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.checkpoint import read_checkpoint
from mahmr_model.encoder.cells import morton_codes
import numpy as np
import pytest
from tiny import MODEL, tiny_model
import torch
from training.batches import DeviceBatch
from training.command import main
from training.config import DataSource, load_config, RunConfig
from training.encoder_start import EncoderLesson, LOSSES
from training.even_tokens import EvenSelection
from training.losses.losses import map_losses
from training.run_data import training_data
from training.scene_pictures import collate_scenes, SceneStudio
from training.scene_pool import ScenePool
from training.token_people import token_losses, TokenPeople

CPU = torch.device('cpu')
SIZES = replace(MODEL, input_size=224, shapes=11)


def config_of_tiny() -> RunConfig:
    config = replace(load_config('open_0'), model=SIZES, mixed_precision='no')
    scenes = DataSource('scenes', 'train', count=1000)
    return replace(config, data=replace(config.data, training=(scenes,), workers=0))


@pytest.fixture(scope='module')
def rendered() -> DeviceBatch:
    config = config_of_tiny()
    scenes = training_data(config, OPEN_BODY)
    studio = SceneStudio(load_body(OPEN_BODY), SIZES, CPU, mirrored=True)
    return studio(collate_scenes([scenes[i] for i in range(3)]), range(3))


def test_the_pool_holds_what_was_rendered(rendered: DeviceBatch) -> None:
    network = tiny_model(config_of_tiny()).network
    pool, cells = ScenePool(SIZES, 12, CPU), network.cells(rendered.images)
    pool.put(rendered, cells.yx)
    pool.put(rendered, cells.yx)
    assert len(pool) == 12
    pictures, truth = pool.pictures.at(torch.arange(6, 12)), rendered.truth
    order = morton_codes(SIZES.grid(1)).flatten().argsort().tolist()
    maps = truth.scale_map.split(list(truth.cells))
    places = cells.yx.split(list(truth.cells))
    for number, (height, width) in enumerate(truth.sizes_hw):
        own = pictures.images[number, :, :height, :width]
        torch.testing.assert_close(
            own.float(), rendered.images.canvas[number, :, :height, :width], rtol=1e-3, atol=1e-3
        )
        first, count = truth.first_person[number], truth.people[number]
        people = slice(first, first + count)
        joints = truth.joints_camera_m[people]
        assert (pictures.joints_px[number, :count] == truth.joints_px[people]).all()
        assert (pictures.joints_m[number, :count] == joints - joints[:, :1]).all()
        focal = float(truth.picture_focal_px[number])
        assert float(pictures.fov_rad[number]) == pytest.approx(2 * np.arctan(height / 2 / focal))
        square = torch.zeros(SIZES.grid(1), SIZES.grid(1), 2)
        for place, value in zip(places[number], maps[number], strict=True):
            square[place[0], place[1]] = value
        packed = square.flatten(0, 1)[order]
        torch.testing.assert_close(
            pictures.scale_map[number].float(), packed, rtol=1e-3, atol=1e-3
        )
        assert truth.person_map is not None
        seen = truth.person_map[number, : -(-height // 7), : -(-width // 7)]
        mine = pictures.person_map[number, : seen.shape[0], : seen.shape[1]].long()
        assert (mine == torch.where(seen < 0, -1, seen - int(first))).all()
        assert (pictures.person_map[number][slice(seen.shape[0], None)] == -1).all()
        assert (pictures.person_map[number][:, slice(seen.shape[1], None)] == -1).all()


def test_a_batch_takes_the_place_of_the_oldest(rendered: DeviceBatch) -> None:
    network = tiny_model(config_of_tiny()).network
    pool, yx = ScenePool(SIZES, 12, CPU), network.cells(rendered.images).yx
    for _ in range(2):
        pool.put(rendered, yx)
    pool.pictures.fov_rad.zero_()
    pool.put(rendered, yx)
    assert (pool.pictures.fov_rad[:6] > 0).all()
    assert (pool.pictures.fov_rad[6:] == 0).all()
    assert set(pool.draw(500).tolist()) == set(range(12))
    pool._next, pool._locked = 6, 6  # while the second half is written
    assert set(pool.draw(500).tolist()) == set(range(6))


def test_every_picture_has_as_many_tokens_where_they_are_needed_most() -> None:
    torch.manual_seed(0)
    even = EvenSelection(3, 64)
    scale_map = torch.rand(192, 2)
    selection = even(scale_map, 0.3)
    assert selection.fine_counts == [even.fine] * 3
    assert selection.token_lengths == [1 + even.tokens] * 3
    for indices in (selection.fine, selection.coarse, selection.groups):
        assert (indices.diff() > 0).all()
    cells = torch.cat([selection.fine, selection.coarse])
    groups = selection.groups[:, None] * 4 + torch.arange(4)
    assert sorted(torch.cat([cells, groups.flatten()]).tolist()) == list(range(192))
    presence = scale_map[:, 0].view(3, 16, 4).amax(2)
    chosen = torch.ones(48, dtype=torch.bool)
    chosen[selection.groups] = False
    for row, mine in zip(presence, chosen.view(3, 16), strict=True):
        assert row[mine].min() >= row[~mine].max()
    for number in range(3):
        first = slice(64 * number, 64 * (number + 1))
        fine = selection.fine[(selection.fine >= first.start) & (selection.fine < first.stop)]
        coarse = selection.coarse[
            (selection.coarse >= first.start) & (selection.coarse < first.stop)
        ]
        shown = coarse[scale_map[coarse, 0] > 0.3]
        assert (scale_map[fine, 0] > 0.3).all()
        assert scale_map[fine, 1].max() <= scale_map[shown, 1].min()


def test_its_losses_are_those_of_the_recipe(rendered: DeviceBatch) -> None:
    """On pictures that fill the square, where no cell is beside the picture."""
    config = config_of_tiny()
    lesson = EncoderLesson(config, load_body(OPEN_BODY), 6)
    size = SIZES.input_size
    truth = replace(rendered.truth, sizes_hw=((size, size),) * 6)
    pool = ScenePool(SIZES, 6, CPU)
    pool.put(rendered, lesson.network.cells(rendered.images).yx)
    pictures = pool.pictures
    total, losses = lesson(pictures)
    by_name = dict(zip(LOSSES, losses.tolist(), strict=True))
    assert float(total) == pytest.approx(
        sum(config.losses[name] * value for name, value in by_name.items()), rel=1e-5
    )
    images = list(pictures.images.float())
    coarse = lesson.network.coarse_pass(images)
    every = replace(
        truth,
        cells=(64,) * 6,
        scale_map=pictures.scale_map.flatten(0, 1).float(),
    )
    expected = map_losses(coarse.scale_logits, every)
    selection = EvenSelection(6, 64)(coarse.scale_map, SIZES.presence_threshold)
    fine = lesson.network.fine_pass(images, coarse.cells, selection)
    tokens = lesson.network.merge(coarse, selection, *fine)
    said = lesson.token_head(tokens)
    assert isinstance(said, TokenPeople)
    person_map = pictures.person_map.long()
    first = torch.from_numpy(truth.first_person)[:, None, None]
    whole = replace(every, person_map=torch.where(person_map < 0, -1, person_map + first))
    of_tokens = token_losses(said, whole, size)
    rate = {name: by_name[name] / float(value) for name, value in of_tokens.items()}
    # The recipe's are divided by cells that show somebody in place of tokens.
    assert rate['token_j2ds'] == pytest.approx(rate['token_j3ds'], rel=1e-4)
    for name, value in expected.items():
        assert by_name[name] == pytest.approx(float(value), rel=1e-3)


def test_it_learns_and_leaves_weights_for_the_next_stage(tmp_path: Path) -> None:
    arguments = [
        '--mode=train',
        '--cfg=open_0',
        f'out={tmp_path / "run"}',
        'training.minutes=0.1',
        'training.batch_size=2',
        'training.log_every=2',
        'training.warmup_steps=2',
        'data.workers=0',
        'data.kept_scenes=4',
        'model.input_size=112',
        'model.encoder_dim=64',
        'mixed_precision=no',  # one in a process is all that Accelerate allows
    ]
    assert main(arguments) == 0
    checkpoint = read_checkpoint(tmp_path / 'run' / 'weights.safetensors')
    assert {'token_head.weight', 'fov_head.layers.0.weight'} <= checkpoint.state.keys()
    new = EncoderLesson(
        replace(load_config('open_0'), model=checkpoint.config), load_body(OPEN_BODY), 2
    ).network.state_dict()
    torch.manual_seed(42)
    changed = {
        name.split('.')[0]
        for name, value in checkpoint.state.items()
        if name in new and not torch.equal(value, new[name])
    }
    assert 'encoder' in changed


def test_several_processes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    class Two:
        num_processes = 2

    from mahmr_model.errors import UserError
    from training.encoder_start import train_encoder

    with pytest.raises(UserError, match='one process does; start training'):
        train_encoder(
            config_of_tiny(),
            Two(),  # type: ignore[arg-type]
            load_body(OPEN_BODY),
            OPEN_BODY,
            'open',
        )
