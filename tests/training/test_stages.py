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

"""Every configuration on made data: stages, fine-tunes, evaluations, inference."""

from __future__ import annotations

import json
from pathlib import Path
import shutil
import subprocess
import sys
import weakref

from accelerate import Accelerator
from fixtures import make_data
from mahmr_model.checkpoint import read_checkpoint
from mahmr_model.errors import UserError
from mahmr_model.pictures import write_picture
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import MODEL, run_config
import torch
from training.command import _save_config, main
from training.config import load_config
from training.trainer import Trainer

SIZES = [
    f'model.{name}={value}'
    for name, value in MODEL.as_dict().items()
    if name not in ('shapes', 'camera_branch')
]
RUN = ['data.workers=0', 'training.batch_size=2', 'training.epochs=1', 'training.log_every=1']
SCRIPT = Path(__file__).resolve().parents[2] / 'training' / 'main.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp('data'), pictures=2, size_wh=(112, 84))


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Give the folder of the runs of stages 1 to 3, each from the one before."""
    folder = tmp_path_factory.mktemp('runs')
    before = 'null'
    for stage in '123':
        assert train(folder / stage, data, '--stage', stage, f'starts_from={before}') == 0
        before = str(folder / stage / 'weights.safetensors')
    return folder


def train(out: Path, data: Path, *more: str) -> int:
    return main([*more, f'out={out}', f'data.root={data}', 'body=open', *SIZES, *RUN])


def report(folder: Path, source: str) -> dict[str, float]:
    return json.loads((folder / 'report.json').read_text())[source]


def test_stages_start_from_one_another(runs: Path) -> None:
    configs = [read_checkpoint(runs / stage / 'weights.safetensors').config for stage in '123']
    assert [config.shapes for config in configs] == [10, 10, 11]
    assert [config.camera_branch for config in configs] == [False, True, True]
    assert 'dn_enc.weight' in read_checkpoint(runs / '1' / 'weights.safetensors').state
    assert 'dn_enc.weight' not in read_checkpoint(runs / '2' / 'weights.safetensors').state


def test_run_leaves_configuration_reports_and_curves(runs: Path) -> None:
    events = EventAccumulator(str(runs / '3' / 'tensorboard'), size_guidance={'images': 0})
    events.Reload()
    scalars, images = events.Tags()['scalars'], events.Tags()['images']
    assert {'loss/total', 'loss/poses', 'loss/poses.0', 'loss/fov', 'loss/depths_mt'} <= set(
        scalars
    )
    assert 'learning_rate/0' in scalars
    assert 'evaluation_agora_validation/F1' in scalars
    assert len(events.Scalars('loss/total')) == 6
    assert len(images) == 4
    assert report(runs / '3/evaluation/epoch_001', 'bedlam_validation_6fps')['pictures'] == 2
    assert 'name: train_chmr_fov_opt_mloss' in (runs / '3' / 'config.yaml').read_text()


@pytest.mark.parametrize('left', ['training: [', 'training: {pace: 3}'])
def test_configuration_of_before_that_cannot_be_read_is_replaced(
    left: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, config = tmp_path / 'config.yaml', run_config(out=str(tmp_path))
    path.write_text(left)
    _save_config(config)
    assert f'{path} is damaged or of another version' in caplog.text
    assert load_config(str(path)) == config


def test_new_run_does_not_overwrite_an_old_one(
    runs: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(runs / '3', data, '--stage', '3', 'starts_from=null') == 2
    assert '--resume' in capsys.readouterr().err


def test_nothing_is_resumed_where_nothing_was_trained(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is told before weights to start from are missed."""
    assert train(tmp_path, data, '--stage', '3', '--resume') == 2
    assert 'there is no checkpoint to resume from' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['3dpw_ft', 'hi4d_ft', 'panoptic_ft', 'rh_ft'])
def test_fine_tune_runs(name: str, runs: Path, data: Path, tmp_path: Path) -> None:
    weights = runs / '3' / 'weights.safetensors'
    out = tmp_path / name
    assert train(out, data, '--mode', 'train', '--cfg', name, f'starts_from={weights}') == 0
    assert (out / 'evaluation/epoch_001/report.txt').stat().st_size > 0
    ours, before = (read_checkpoint(p).state for p in (out / 'weights.safetensors', weights))
    assert any(not ours[key].equal(value) for key, value in before.items())


@pytest.mark.parametrize(
    ('name', 'source', 'measure'),
    [
        ('3dpw', '3dpw_test', 'PA-MPJPE_mm'),
        ('hi4d', 'hi4d_test', 'focal_error_px'),
        ('rh', 'rh_test', 'PCRD_0.2'),
        ('agora', 'agora_validation', 'NMJE_mm'),
        ('bedlam', 'bedlam_validation_6fps', 'MVE_mm'),
        ('panoptic', 'panoptic_test', 'MPJPE_mm'),
        ('mupots', 'mupots_test', 'PCK_150mm_all'),
    ],
)
def test_evaluation_runs(
    name: str, source: str, measure: str, runs: Path, data: Path, tmp_path: Path
) -> None:
    # Of an untrained network everybody is a person above 0, so that all are measured.
    options = ['evaluation.thresholds=[0, 0.001]', '--vis', '2', 'data.workers=0']
    weights = f'starts_from={runs / "3" / "weights.safetensors"}'
    where = [f'out={tmp_path}', f'data.root={data}']
    assert main(['--mode', 'eval', '--cfg', f'eval_{name}', weights, *where, *options]) == 0
    measures = report(tmp_path, source)
    assert measures['pictures@0'] == 2
    assert np.isfinite(measures[f'{measure}@0'])
    assert [p.name for p in (tmp_path / 'pictures' / source).iterdir()] == ['000000.jpg']


def test_agora_test_gives_a_zip(runs: Path, data: Path, tmp_path: Path) -> None:
    (data / 'agora' / 'test').mkdir(exist_ok=True)
    for path in (data / 'agora' / 'validation').iterdir():
        (data / 'agora' / 'test' / path.name).write_bytes(path.read_bytes())
    options = [
        f'starts_from={runs / "3" / "weights.safetensors"}',
        f'out={tmp_path}',
        f'data.root={data}',
        'data.evaluation=[{name: agora, split: test}]',
        'data.workers=0',
        'evaluation.thresholds=0',
    ]
    assert main(['--mode', 'eval', '--cfg', 'eval_agora', *options]) == 0
    assert (tmp_path / 'agora_test_0.zip').stat().st_size > 1000


def two_processes(*arguments: str) -> None:
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    launcher += ['--master_addr=127.0.0.1', str(SCRIPT)]
    done = subprocess.run(
        [*launcher, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'processes: 2' in done.stderr


def test_two_processes_train_and_evaluate_like_one(data: Path, tmp_path: Path) -> None:
    """Stage 1, which has denoising queries, twice as large a batch in one process."""
    options = ['--stage', '1', 'starts_from=null', 'body=open', f'data.root={data}', *SIZES, *RUN]
    options += ['data.evaluation=[{name: bedlam, split: validation_6fps}]']
    options += ['evaluation.thresholds=0', 'training.learning_rate=1e-3']
    assert main([*options, 'training.batch_size=4', f'out={tmp_path / "one"}']) == 0
    two_processes(*options, 'training.batch_size=2', f'out={tmp_path / "two"}')
    one, two = (
        read_checkpoint(tmp_path / n / 'weights.safetensors').state for n in ('one', 'two')
    )
    for name, value in one.items():
        # Adam divides by the gradient's size, so that float32's error in a tiny one shows.
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-4)
    first, second = (
        report(tmp_path / name / 'evaluation/epoch_001', 'bedlam_validation_6fps')
        for name in ('one', 'two')
    )
    assert first['pictures'] == 2
    assert first == pytest.approx(second, rel=1e-3)


@pytest.mark.parametrize('fails', [False, True])
def test_a_run_has_let_go_of_its_model_when_processes_part(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """Otherwise gloo's threads and DistributedDataParallel may wait for each other for ever."""
    models: list[weakref.ref] = []
    held = []

    def run(trainer: Trainer, writer: object) -> None:
        models.append(weakref.ref(trainer._model))
        if fails:
            raise UserError('as asked')

    monkeypatch.setattr(Trainer, 'run', run)
    monkeypatch.setattr(Accelerator, 'end_training', lambda _: held.append(models[0]()))
    assert train(tmp_path, data, '--stage', '1', 'starts_from=null') == (2 if fails else 0)
    assert held == [None]


def test_inference_spreads_over_processes(runs: Path, data: Path, tmp_path: Path) -> None:
    weights = f'starts_from={runs / "3" / "weights.safetensors"}'
    pictures = f'pictures={data / "agora/train"}'
    two_processes('--mode', 'infer', '--cfg', 'demo', weights, pictures, f'out={tmp_path}')
    assert sorted(p.name for p in tmp_path.glob('*.npz')) == [
        'train_000000.npz',
        'train_000001.npz',
    ]


def test_inference_never_overwrites_its_pictures(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / 'grey.png'
    write_picture(picture, np.full((60, 80, 3), 90, np.uint8))
    before = picture.read_bytes()
    weights = f'starts_from={runs / "3" / "weights.safetensors"}'
    places = (f'{key}={tmp_path}' for key in ('pictures', 'out'))
    assert main(['--mode', 'infer', '--cfg', 'demo', weights, *places]) == 2
    assert f'would overwrite {picture}' in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_missing_data_and_weights_are_told_before_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path, tmp_path / 'nothing', '--stage', '1', 'starts_from=null') == 2
    assert 'agora' in capsys.readouterr().err
    assert train(tmp_path, data, '--stage', '2', f'starts_from={tmp_path / "none.bin"}') == 2
    assert 'none.bin' in capsys.readouterr().err


def test_error_in_a_worker_is_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / 'data'
    shutil.copytree(data, root)
    for picture in (root / '3dpw').glob('train_*.jpg'):
        picture.unlink()
    options = ['--cfg', '3dpw_ft', 'starts_from=null', 'data.workers=1', *SIZES]
    out = [f'out={tmp_path / "run"}', f'data.root={root}', 'body=open', 'training.batch_size=2']
    assert main([*options, *out]) == 2
    message = capsys.readouterr().err
    assert 'error: The dataset 3dpw (train) should have usable pictures' in message
    assert 'Traceback' not in message


def test_evaluation_without_a_usable_picture_is_refused(
    runs: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = tmp_path / 'data'
    shutil.copytree(data, root)
    for picture in (root / '3dpw').glob('test_*.jpg'):
        picture.unlink()
    options = ['--mode', 'eval', '--cfg', 'eval_3dpw', 'data.workers=0', f'data.root={root}']
    weights = f'starts_from={runs / "3" / "weights.safetensors"}'
    assert main([*options, weights, f'out={tmp_path / "run"}']) == 2
    assert f'skipped {root}/3dpw/test_000000.jpg' in caplog.text
    assert 'none of its 2 is usable' in capsys.readouterr().err


def test_broken_pictures_are_skipped_up_to_a_limit(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = ['--cfg', '3dpw_ft', 'starts_from=null']
    root = tmp_path / 'data'
    shutil.copytree(data, root)
    truncated = root / '3dpw' / 'train_000001.jpg'
    truncated.write_bytes(truncated.read_bytes()[:500])
    assert train(tmp_path / 'run', root, *options) == 0
    assert f'skipped {truncated}' in caplog.text
    assert train(tmp_path / 'strict', root, *options, 'data.skip_limit=0') == 2
    assert str(truncated) in capsys.readouterr().err
