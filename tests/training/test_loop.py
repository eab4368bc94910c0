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

"""The loop on a line of two parameters: resume, kill, accumulation, processes, bad losses."""

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

from accelerate import Accelerator
from line_run import Line, main, Points, Squares
import pytest
from training.checkpoints import find_checkpoint
from training.config import TrainingConfig
from training.trainer import AfterEpoch, Trainer

SCRIPT = Path(__file__).with_name('line_run.py')
ROOT = Path(__file__).resolve().parents[2]
PATHS = [path for path in os.environ.get('PYTHONPATH', '').split(os.pathsep) if path]
TWO_PROCESSES = ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_addr=127.0.0.1']
STEPS = 12
"""Of an epoch: 24 points, two at a time."""


def line_run(folder: Path, *options: object, launcher: tuple[str, ...] = ()) -> str:
    """Run the script; returns what it says on standard error, its exit code in front."""
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), str(folder), *map(str, options)],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(ROOT), *PATHS])),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return f'{done.returncode} {done.stderr}'


def line_run_here(capsys: pytest.CaptureFixture[str], folder: Path, *options: object) -> str:
    """Do what `line_run` does, in this process."""
    code = main([str(folder), *map(str, options)])
    return f'{code} {capsys.readouterr().err}'


def line(folder: Path) -> dict[str, float]:
    return json.loads((folder / 'line.json').read_text())


def curve(folder: Path) -> list[float]:
    return json.loads((folder / 'losses.json').read_text())


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an uninterrupted run of three epochs."""
    folder = tmp_path_factory.mktemp('whole')
    assert line_run(folder).startswith('0')
    return folder


def test_run_learns(whole: Path) -> None:
    losses = curve(whole)
    assert len(losses) == 3 * STEPS
    assert sum(losses[-STEPS:]) < 0.6 * sum(losses[:STEPS])


def test_kill_while_a_checkpoint_is_written_leaves_the_one_before(
    whole: Path, tmp_path: Path
) -> None:
    assert line_run(tmp_path, '--kill-in-checkpoint', 2).startswith('-9')
    assert [p.name for p in tmp_path.glob('checkpoints/checkpoint_*')] == ['checkpoint_00000012']
    assert len(list(tmp_path.glob('checkpoints/.unfinished*'))) == 1
    assert line_run(tmp_path, '--resume', 'newest').startswith('0')
    assert curve(tmp_path) == curve(whole)[STEPS:]
    assert line(tmp_path) == line(whole)
    assert list(tmp_path.glob('checkpoints/.unfinished*')) == []


def test_resume_in_the_middle_of_an_epoch_equals_the_uninterrupted_run(
    whole: Path, tmp_path: Path
) -> None:
    options = ('--checkpoint-every', 5)
    assert line_run(tmp_path, *options, '--kill-in-checkpoint', 5).startswith('-9')
    assert line_run(tmp_path, *options, '--resume', 'checkpoint_00000017').startswith('0')
    assert curve(tmp_path) == curve(whole)[17:]
    assert line(tmp_path) == line(whole)


def test_accumulation_equals_the_larger_batch(whole: Path, tmp_path: Path) -> None:
    answer = line_run(tmp_path, '--batch', 1, '--accumulation', 2, '--workers', 1)
    assert answer.startswith('0')
    assert line(tmp_path) == pytest.approx(line(whole), rel=1e-6)


def test_two_processes_equal_one_with_the_doubled_batch(whole: Path, tmp_path: Path) -> None:
    answer = line_run(tmp_path, '--batch', 1, launcher=tuple(TWO_PROCESSES))
    assert answer.startswith('0')
    assert len(curve(tmp_path)) == 3 * STEPS
    assert line(tmp_path) == pytest.approx(line(whole), rel=1e-6)


def test_time_that_was_over_ends_the_epoch_of_a_resumed_run(tmp_path: Path) -> None:
    """Whatever stops a run after its last checkpoint, there are weights and an evaluation."""
    config = TrainingConfig(batch_size=1, minutes=1e-9)

    def trainer(after_epoch: AfterEpoch) -> Trainer:
        parts = Accelerator(cpu=True), config, Line(), Squares(), Points(), tmp_path
        return Trainer(*parts, after_epoch=after_epoch)

    def stop(epoch: int, step: int, *, over: bool) -> None:
        raise KeyboardInterrupt

    ended = []

    def end(epoch: int, step: int, *, over: bool) -> None:
        ended.append((epoch, step, over))

    with pytest.raises(KeyboardInterrupt):
        trainer(stop).run()
    resumed = trainer(end)
    resumed.resume(find_checkpoint(resumed.checkpoints, 'newest'))
    resumed.run()
    assert ended == [(0, 1, True)]


def test_loss_that_is_not_finite_stops_with_losses_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = line_run_here(capsys, tmp_path, '--bad', 3)
    assert answer.startswith('2 Step ')
    assert 'squares' in answer
    assert 'point_3.png' in answer
    assert list(tmp_path.glob('checkpoints/checkpoint_*')) == []


def test_batch_larger_than_the_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = line_run_here(capsys, tmp_path, '--batch', 25)
    assert answer.startswith('2')
    assert '24 pictures' in answer


def test_resume_with_other_steps_is_refused(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = line_run_here(capsys, whole, '--batch', 4, '--resume', 'newest')
    assert answer.startswith('2')
    assert 'other steps' in answer
