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

"""Recorded steps: what they learn, in how many processes, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

from mahmr_model.checkpoint import read_checkpoint
import numpy as np
import pytest
from recorded_scenes import (
    BODY,
    config_of_tiny,
    CPU,
    network_of_all_levels,
    pool_of,
    SIZES,
    without_border,
)
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training.batches import DeviceBatch
from training.command import main
from training.config import load_config, TOKEN_LOSSES
from training.lesson import ENCODER_LOSSES, Lesson, new_lesson
from training.losses.losses import fov, map_losses
from training.recorded import RecordedStep
from training.scene_pool import ScenePool
from training.static_encoder import StaticEncoder
from training.token_people import parts_of_tokens, people_of_tokens, token_losses


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
    assert truth.person_map is not None
    assert truth.part_map is not None
    cells = (truth.scale_map[:, 0] > 0.5).sum()
    shown = (people_of_tokens(said, truth.person_map) >= 0).sum()
    near = (parts_of_tokens(said, truth.part_map) > 0).any(1).sum()
    for name, value in token_losses(said, truth, SIZES.input_size).items():
        around = name in ('token_parts', 'token_depths')
        expected[name] = value * cells / (near if around else shown)
    for name, value in expected.items():
        assert by_name[name] == pytest.approx(float(value), rel=2e-3)


def test_tokens_that_are_of_no_picture_teach_nothing(rendered: DeviceBatch) -> None:
    """Nor do places where nobody is seen, whose depth is infinite."""
    lesson = Lesson(config_of_tiny(), BODY, 6)
    network = network_of_all_levels(rendered)
    pictures = pool_of(rendered, network)
    assert pictures.depth_map.isinf().any()
    encoding = StaticEncoder(SIZES, 6)(network, pictures.images.float(), pictures.size_hw)
    # Every second token of a picture as well, as the last rows may show nobody anyway.
    real = encoding.real & (torch.arange(len(encoding.real)) % 2 == 0)
    features = encoding.tokens.features.detach().requires_grad_()
    encoding = replace(encoding, real=real, tokens=replace(encoding.tokens, features=features))
    losses = lesson.token_losses(encoding, pictures)
    assert set(losses) == set(TOKEN_LOSSES)
    for loss in losses.values():
        assert 0 < loss.item() < np.inf
        (gradient,) = torch.autograd.grad(loss, features, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient[real].any()
        assert not gradient[~real].any()


def test_the_whole_network_learns(rendered: DeviceBatch) -> None:
    config = replace(config_of_tiny(), losses=load_config('open_1').losses, mixed_precision='bf16')
    config.check_training()
    config = replace(config, training=replace(config.training, batch_size=2))
    lesson = new_lesson(config, BODY)
    lesson.network.load_state_dict(network_of_all_levels(rendered).state_dict())
    pool = ScenePool(SIZES, 16, CPU)
    pool.put(rendered, lesson.network.cells(rendered.images).yx)
    step = RecordedStep(config, lesson, pool, CPU)
    before = {name: p.detach().clone() for name, p in lesson.named_parameters()}
    for _ in range(2):  # the box heads end with zeros at first
        step(1.0)
    losses = step.losses()
    assert set(losses) == set(config.losses)
    assert all(np.isfinite(value) for value in losses.values())
    same = {n for n, p in lesson.named_parameters() if torch.equal(p, before[n])}
    assert same == set()
    step.check_finite('tiny')


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
        'model.encoder_heads=4',
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


def test_the_host_is_at_most_two_steps_ahead(
    rendered: DeviceBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    class Event:
        """Remembers when a step was started and when it was waited for."""

        def __init__(self, *, blocking: bool) -> None:
            assert blocking  # or a core would spin until the step ends

        def record(self) -> None:
            self.step = happened.count('started') + 1
            happened.append('started')

        def synchronize(self) -> None:
            happened.append(f'waited for {self.step}')

    config = replace(config_of_tiny(), training=replace(config_of_tiny().training, batch_size=2))
    lesson = new_lesson(config, BODY)
    pool = ScenePool(SIZES, 12, CPU)
    pool.put(rendered, lesson.network.cells(rendered.images).yx)
    step = RecordedStep(config, lesson, pool, CPU)
    monkeypatch.setattr('torch.cuda.Event', Event)
    for _ in range(4):
        step._wait_for_device()
    assert happened == [
        'started',
        'started',
        'waited for 1',
        'started',
        'waited for 2',
        'started',
    ]


def test_too_little_memory_is_told_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr('training.filling.ScenePool', full)
    monkeypatch.setattr('torch.cuda.get_device_name', lambda _: 'a small GPU')
    assert main(run_of_tiny(tmp_path)) == 2
    error = capsys.readouterr().err
    assert 'a small GPU has too little memory' in error
    assert 'lower data.kept_scenes' in error


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
        'model.encoder_heads=4',
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
