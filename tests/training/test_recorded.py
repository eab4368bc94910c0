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

"""Recorded steps: lessons of one shape over a pool of rendered scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.checkpoint import read_checkpoint
from mahmr_model.encoder.attention import DeviceLengths
from mahmr_model.encoder.cells import morton_codes
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction, MAHMR
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from tiny import MODEL, tiny_model
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from training import people_lesson
from training.batches import DeviceBatch
from training.command import main
from training.config import DataSource, load_config, RunConfig
from training.criterion import Criterion
from training.joint_body import JointBody
from training.lesson import ENCODER_LOSSES, Lesson, new_lesson
from training.losses.losses import fov, map_losses
from training.matcher import NOT_FINITE_COST
from training.people import query_people, query_pixels
from training.people_lesson import greedy_match, PeopleLesson, RECORDED_LOSSES
from training.recipe import encoder_names
from training.recorded import RecordedStep
from training.run_data import training_data
from training.scene_pictures import collate_scenes, SceneStudio
from training.scene_pool import PoolPictures, ScenePool
from training.static_encoder import StaticEncoder
from training.token_people import people_of_tokens, token_losses
from training.train_model import TrainingOutput

CPU = torch.device('cpu')
BODY = load_body(OPEN_BODY)
SIZES = replace(MODEL, input_size=224, shapes=11)


def config_of_tiny() -> RunConfig:
    config = replace(load_config('open_0'), model=SIZES, mixed_precision='no')
    scenes = DataSource('scenes', 'train', count=1000)
    return replace(config, data=replace(config.data, training=(scenes,), workers=0))


@pytest.fixture(scope='module')
def rendered() -> DeviceBatch:
    config = config_of_tiny()
    scenes = training_data(config, OPEN_BODY)
    studio = SceneStudio(BODY, SIZES, CPU, mirrored=True)
    return studio(collate_scenes([scenes[i] for i in range(3)]), range(3))


def test_the_pool_holds_what_was_rendered(rendered: DeviceBatch) -> None:
    network = tiny_model(config_of_tiny()).network
    pool, cells = ScenePool(SIZES, 12, CPU), network.cells(rendered.images)
    pool.put(rendered, cells.yx)
    pool.put(rendered, cells.yx)
    assert len(pool) == 6  # the others are about to be replaced
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
    """And its places are not drawn any more before that: a step may be reading them."""
    network = tiny_model(config_of_tiny()).network
    pool, yx = ScenePool(SIZES, 18, CPU), network.cells(rendered.images).yx
    for count in (1, 2):
        pool.put(rendered, yx)
        assert set(pool.draw(500).tolist()) == set(range(6 * count))
    pool.put(rendered, yx)
    assert set(pool.draw(500).tolist()) == set(range(6, 18))
    pool.pictures.fov_rad.zero_()
    pool.put(rendered, yx)
    assert (pool.pictures.fov_rad[:6] > 0).all()
    assert (pool.pictures.fov_rad[6:] == 0).all()
    assert set(pool.draw(500).tolist()) == {*range(6), *range(12, 18)}


def pool_of(rendered: DeviceBatch, network: MAHMR) -> PoolPictures:
    pool = ScenePool(SIZES, len(rendered.images), CPU)
    pool.put(rendered, network.cells(rendered.images).yx)
    return pool.pictures


def without_border(pictures: PoolPictures) -> list[Tensor]:
    """Return pictures as the network takes them, padded to multiples of 56."""
    sizes = [(-(-int(h) // 56) * 56, -(-int(w) // 56) * 56) for h, w in pictures.size_hw]
    images = pictures.images.float()
    return [one[:, :h, :w] for one, (h, w) in zip(images, sizes, strict=True)]


def network_of_all_levels(rendered: DeviceBatch) -> MAHMR:
    """Give a random network with a map that says "somebody" and "small" in some places."""
    torch.manual_seed(0)
    network = tiny_model(config_of_tiny()).network
    with torch.no_grad():
        network.scale_head.last.weight.mul_(30)
        presence, size = network.coarse_pass(rendered.images).scale_logits.unbind(1)
        network.scale_head.last.bias.sub_(torch.stack([presence.quantile(0.8), size.median()]))
        network.scale_head.last.bias[0] += torch.tensor(SIZES.presence_threshold).logit()
    return network


def test_the_static_encoder_gives_the_tokens_of_the_encoder(rendered: DeviceBatch) -> None:
    network = network_of_all_levels(rendered)
    pictures = pool_of(rendered, network)
    assert len({tuple(size.tolist()) for size in pictures.size_hw}) > 1
    coarse, tokens = network.encode(without_border(pictures))
    assert coarse is not None
    assert not isinstance(tokens.lengths, DeviceLengths)
    assert set(tokens.levels.tolist()) == {0, 1, 2}
    ours = StaticEncoder(SIZES, 6)(network, pictures.images.float(), pictures.size_hw)
    count = sum(tokens.lengths)
    assert count < len(ours.real)
    assert ours.real.nonzero()[:, 0].tolist() == list(range(count))
    assert isinstance(ours.tokens.lengths, DeviceLengths)
    assert ours.tokens.lengths.starts.diff().tolist() == tokens.lengths
    assert (ours.tokens.levels[:count] == tokens.levels).all()
    of_tokens = torch.arange(6).repeat_interleave(torch.tensor(tokens.lengths))
    assert (ours.picture[:count] == of_tokens).all()
    inside = ours.scale_logits[ours.inside]
    torch.testing.assert_close(inside, coarse.scale_logits, rtol=1e-3, atol=1e-4)
    mine = [ours.tokens.features[:count], ours.tokens.camera_tokens]
    theirs = [tokens.features, tokens.camera_tokens]
    torch.testing.assert_close(ours.tokens.centres_xy_norm[:count], tokens.centres_xy_norm)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    learning = [p for n, p in network.named_parameters() if n in encoder_names(network)]
    weights = [torch.rand_like(value) for value in mine]
    gradients = [
        torch.autograd.grad(
            sum((value * weight).sum() for value, weight in zip(values, weights, strict=True)),
            learning,
            allow_unused=True,  # the heads of map and camera
        )
        for values in (mine, theirs)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_what_is_beyond_the_static_encoders_rows_is_left_out(rendered: DeviceBatch) -> None:
    network = network_of_all_levels(rendered)
    with torch.no_grad():
        network.scale_head.last.bias.copy_(
            torch.tensor([100.0, -100.0])
        )  # small people everywhere
    pictures = pool_of(rendered, network)
    _, tokens = network.encode(without_border(pictures))
    ours = StaticEncoder(SIZES, 6)(network, pictures.images.float(), pictures.size_hw)
    assert not isinstance(tokens.lengths, DeviceLengths)
    assert sum(tokens.lengths) > len(ours.real)
    assert ours.real.all()
    assert ours.seen.tolist() != [True] * 6
    assert ours.seen.tolist() == sorted(ours.seen.tolist(), reverse=True)
    first = tokens.lengths[0]
    torch.testing.assert_close(
        ours.tokens.features[:first], tokens.features[:first], rtol=1e-3, atol=1e-4
    )
    lesson = Lesson(replace(config_of_tiny(), losses=load_config('open_1').losses), BODY, 6)
    lesson.network.load_state_dict(network.state_dict())
    total, losses = lesson(pictures)
    total.backward()
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(p.grad).all() for p in lesson.parameters() if p.grad is not None)


def test_its_losses_are_those_of_the_recipe(rendered: DeviceBatch) -> None:
    config, truth = config_of_tiny(), rendered.truth
    lesson = Lesson(config, BODY, 6)
    lesson.network.load_state_dict(network_of_all_levels(rendered).state_dict())
    pictures = pool_of(rendered, lesson.network)
    total, losses = lesson(pictures)
    by_name = dict(zip(ENCODER_LOSSES, losses.tolist(), strict=True))
    assert total.item() == pytest.approx(
        sum(config.losses[name] * value for name, value in by_name.items()), rel=1e-5
    )
    coarse, tokens = lesson.network.encode(without_border(pictures))
    assert coarse is not None
    fov_rad = lesson.network.camera_branch(tokens)
    assert fov_rad is not None
    expected = map_losses(coarse.scale_logits, truth)
    expected['fov'] = fov(fov_rad, truth) / 6
    said = lesson.token_head(tokens)
    # The recipe's are divided by cells that show somebody in place of tokens.
    cells, shown = (truth.scale_map[:, 0] > 0.5).sum(), (people_of_tokens(said, truth) >= 0).sum()
    for name, value in token_losses(said, truth, SIZES.input_size).items():
        expected[name] = value * cells / shown
    for name, value in expected.items():
        assert by_name[name] == pytest.approx(float(value), rel=2e-3)


def cheapest_match(costs: Tensor) -> Tensor:
    """Do what `greedy_match` does by the published assignment."""
    match = torch.full(costs.shape[:3], costs.shape[3])
    for of_layer, layer in zip(match, costs, strict=True):
        for mine, cost in zip(of_layer, layer, strict=True):
            there = (cost < NOT_FINITE_COST).all(1).nonzero()[:, 0]
            rows, columns = linear_sum_assignment(cost[there].numpy())
            mine[there[rows]] = torch.from_numpy(columns)
    return match


def test_losses_of_people_are_those_of_the_criterion(
    rendered: DeviceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_lesson, 'greedy_match', cheapest_match)
    torch.manual_seed(0)
    truth, names = rendered.truth, [*RECORDED_LOSSES[1:]]
    network = tiny_model(config_of_tiny()).network
    pool = ScenePool(SIZES, 6, CPU)
    pool.put(rendered, network.cells(rendered.images).yx)
    layer = BodyLayer(BODY, kid=True)
    queries = 12
    boxes = torch.rand(2, 6, queries, 4) * 0.2 + 0.4
    camera = torch.randn(2, 6, queries, 3) * 0.2 + torch.tensor([0.0, 0.0, -2.0])
    rows = LayerPrediction(
        torch.tensor([1.0, 0, 0, 1, 0, 0]).repeat(24) + 0.1 * torch.randn(2, 6, queries, 144),
        torch.randn(2, 6, queries, 11),
        boxes,
        torch.randn(2, 6, queries),
        camera,
    )
    for value in vars(rows).values():
        value.requires_grad_()
    fov_rad = torch.rand(6) * 0.5 + 0.5
    lesson = PeopleLesson(layer, names, SIZES.input_size)
    layers = [LayerPrediction(*(v[i] for v in vars(rows).values())) for i in range(2)]
    mine = lesson(layers, fov_rad, pool.pictures)
    flat = LayerPrediction(*(v.flatten(1, 2) for v in vars(rows).values()))
    body = JointBody(layer)
    output = TrainingOutput(
        flat,
        np.repeat(np.arange(6), queries),
        Lens.assumed(truth.sizes_hw, SIZES.input_size, fov_rad),
        partial(query_people, body=body, input_size=SIZES.input_size),
        partial(query_pixels, body=body, input_size=SIZES.input_size),
        None,
        None,
        None,
        None,
    )
    losses, _ = Criterion(names, SIZES.input_size)(output, truth)
    assert tuple(mine) == RECORDED_LOSSES
    for name, value in mine.items():
        expected = losses[name] + losses[f'{name}.0']
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6, msg=name)
    weights = {
        name: float(weight) for name, weight in zip(mine, torch.rand(len(mine)), strict=True)
    }
    ours = sum(weight * mine[name] for name, weight in weights.items())
    theirs = sum(w * (losses[name] + losses[f'{name}.0']) for name, w in weights.items())
    for value in vars(rows).values():
        gradients = [
            torch.autograd.grad(one, value, retain_graph=True)[0] for one in (ours, theirs)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_the_cheapest_pairs_come_first_and_nobody_is_taken_twice() -> None:
    none = NOT_FINITE_COST
    costs = torch.tensor([[5.0, 1, 9], [0, 2, 9], [none, none, none]])
    assert greedy_match(costs[None, None]).tolist() == [[[1, 0, 3]]]
    torch.manual_seed(0)
    match = greedy_match(torch.rand(2, 3, 10, 12))
    assert all(len(set(row)) == 10 and max(row) < 12 for row in match.flatten(0, 1).tolist())
    match = greedy_match(torch.rand(1, 1, 10, 4)).flatten().tolist()  # more people than queries
    assert sorted(match) == [0, 1, 2, 3] + [4] * 6


def test_the_whole_network_learns(tmp_path: Path) -> None:
    config = replace(config_of_tiny(), losses=load_config('open_1').losses, mixed_precision='bf16')
    config.check_training()
    config = replace(config, training=replace(config.training, batch_size=2))
    lesson = new_lesson(config, BODY)
    pool = ScenePool(SIZES, 16, CPU)
    studio = SceneStudio(BODY, SIZES, CPU, mirrored=True)
    scenes = training_data(config, OPEN_BODY)
    batch = studio(collate_scenes([scenes[i] for i in range(4)]), range(4))
    pool.put(batch, lesson.network.cells(batch.images).yx)
    step = RecordedStep(config, lesson, pool, CPU)
    before = {name: p.detach().clone() for name, p in lesson.named_parameters()}
    for _ in range(2):  # the box heads end with zeros at first
        step(1.0)
    losses = step.losses()
    assert set(losses) == set(config.losses)
    assert all(np.isfinite(value) for value in losses.values())
    same = {n for n, p in lesson.named_parameters() if torch.equal(p, before[n])}
    assert same == set()


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
    config = replace(load_config('open_0'), model=checkpoint.config)
    new = new_lesson(config, BODY).network.state_dict()
    changed = {
        name.split('.')[0]
        for name, value in checkpoint.state.items()
        if name in new and not torch.equal(value, new[name])
    }
    assert 'encoder' in changed


def test_processes_learn_from_pictures_of_their_own_and_stay_alike(tmp_path: Path) -> None:
    out, script = tmp_path / 'result.json', Path(__file__).with_name('recorded_run.py')
    launcher = ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_addr=127.0.0.1']
    root = script.parents[2]
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(out)],
        env=dict(os.environ, PYTHONPATH=str(root), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result == {'processes': 2, 'weights_differ_by': 0.0, 'same_pictures': False}


def test_a_step_is_of_the_mean_of_all_gradients(
    rendered: DeviceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config_of_tiny(), losses=load_config('open_1').losses)
    config = replace(config, training=replace(config.training, batch_size=2, clip_norm=1e9))
    after = []
    for others, processes in ((0, 1), (3, 2)):  # the other one adds three times as much as ours
        lesson = new_lesson(config, BODY)
        pool = ScenePool(SIZES, 12, CPU)
        pool.put(rendered, lesson.network.cells(rendered.images).yx)
        monkeypatch.setattr('torch.distributed.all_reduce', lambda x, by=others: x.mul_(by + 1))
        torch.manual_seed(1)
        step = RecordedStep(config, lesson, pool, CPU, processes)
        step(1.0)
        gradients = [p.grad for p in lesson.parameters() if p.grad is not None]
        after.append(torch.cat([g.flatten() for g in gradients]))
    torch.testing.assert_close(after[1], 2 * after[0])


class Operations(TorchDispatchMode):
    """Remembers operations, and those that index by a mask as `mask`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name.startswith('index') and len(args) > 1 and isinstance(args[1], (list, tuple)):
            masks = [one for one in args[1] if one is not None and one.dtype == torch.bool]
            name = 'mask' if masks else name
        self.names.add(name)
        return func(*args, **(kwargs or {}))


def test_nothing_in_a_step_waits_for_the_host_or_is_made_by_it(
    rendered: DeviceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a GPU could not record it: each of these once was the one that could not."""
    config = replace(config_of_tiny(), losses=load_config('open_3').losses)
    config = replace(config, losses=config.losses | {'depths': 0.5})
    lesson = Lesson(config, BODY, 6)
    lesson.network.load_state_dict(network_of_all_levels(rendered).state_dict())
    pictures = pool_of(rendered, lesson.network)
    lesson(pictures)  # what is made once
    # On a GPU attention knows no lengths; here it does not matter which rows look at which.
    monkeypatch.setattr(
        'mahmr_model.encoder.attention._attention_by_starts',
        lambda q, k, v, *lengths: q.sum(-1, keepdim=True) * k.mean() + v.mean((0, 1)),
    )
    with Operations() as operations:
        total, _ = lesson(pictures)
        total.backward()
    assert {'searchsorted', 'index_select'} <= operations.names
    waits = {'_local_scalar_dense', 'nonzero', 'masked_select', 'mask', 'unique', 'is_nonzero'}
    waits |= {'lift_fresh', 'equal', 'repeat_interleave', 'bincount', '_unique2', 'histc'}
    assert operations.names & waits == set()


def run_of_tiny(folder: Path, *more: str) -> list[str]:
    return [
        '--mode=train',
        '--cfg=open_0',
        f'out={folder}',
        'training.minutes=0.02',
        'training.batch_size=2',
        'data.workers=0',
        'data.kept_scenes=4',
        'model.input_size=112',
        'model.encoder_dim=64',
        'mixed_precision=no',
        *more,
    ]


def test_weights_that_are_no_numbers_are_not_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ['training.learning_rate=1e30', 'training.encoder_learning_rate=1e30']
    assert main(run_of_tiny(tmp_path, *rates, 'training.warmup_steps=0')) == 2
    assert 'not finite' in capsys.readouterr().err
    assert not list(tmp_path.glob('*.safetensors'))


def test_other_runs_weights_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / 'weights.safetensors'
    weights.write_text('mine')
    assert main(run_of_tiny(tmp_path)) == 2
    assert f'{weights} is of another run; name another folder' in capsys.readouterr().err
    assert weights.read_text() == 'mine'
    assert main([*run_of_tiny(tmp_path / 'other'), '--resume']) == 2
    assert 'Recorded steps are not resumed; name another' in capsys.readouterr().err


def test_a_set_that_is_smaller_than_what_is_rendered_at_once_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = 'data.training=[{name: scenes, split: train, count: 3}]'
    assert main(run_of_tiny(tmp_path, few)) == 2
    assert '3 scenes an epoch, but 1 processes render 4 each' in capsys.readouterr().err


def test_losses_that_leave_parameters_without_a_gradient_train_the_others(
    rendered: DeviceBatch,
) -> None:
    losses = load_config('open_1').losses | {'boxes': 0.0, 'giou': 0.0}
    config = replace(config_of_tiny(), losses=losses)
    config = replace(config, training=replace(config.training, batch_size=2))
    lesson = new_lesson(config, BODY)
    pool = ScenePool(SIZES, 12, CPU)
    pool.put(rendered, lesson.network.cells(rendered.images).yx)
    step = RecordedStep(config, lesson, pool, CPU)
    step(1.0)
    step.check_finite('tiny')
