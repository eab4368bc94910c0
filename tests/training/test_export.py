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

"""Weights to ship: half the size, the same people, nothing that only training needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mahmr_model.checkpoint import read_checkpoint, save_weights
from mahmr_model.errors import UserError
from mahmr_model.weights import load_model
import pytest
from tiny import MODEL, run_config, tiny_model
import torch
from training.export import check_export, main
from training.recipe import training_extras
from training.train_model import TrainingModel


@pytest.fixture
def model(tmp_path: Path) -> TrainingModel:
    (tmp_path / 'run').mkdir()
    model = tiny_model(run_config())
    extras = training_extras(model)
    save_weights(model.network, tmp_path / 'run' / 'weights.safetensors', 'open', extras)
    return model


def test_exported_weights_give_the_same_people(model: TrainingModel, tmp_path: Path) -> None:
    out = tmp_path / 'out' / 'mahmr_open.safetensors'
    assert main([str(tmp_path / 'run'), str(out)]) == 0
    checkpoint = read_checkpoint(out)
    assert checkpoint.body == 'open'
    assert not any(name.startswith('dn_enc') for name in checkpoint.state)
    assert {v.dtype for v in checkpoint.state.values()} == {torch.float16}
    original = tmp_path / 'run' / 'weights.safetensors'
    assert out.stat().st_size < 0.6 * original.stat().st_size
    picture = [torch.rand(3, 112, 112)]
    with torch.inference_mode():
        ours = load_model(out).network.eval()(picture).layers[-1]
        expected = model.network.eval()(picture).layers[-1]
    torch.testing.assert_close(ours.pose_6d, expected.pose_6d, rtol=0, atol=5e-3)
    torch.testing.assert_close(ours.camera_abc, expected.camera_abc, rtol=0, atol=5e-3)


def test_of_several_runs_the_mean_is_written(model: TrainingModel, tmp_path: Path) -> None:
    start = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    files = []
    for number, step in enumerate((-1, 0, 4)):
        with torch.no_grad():
            for name, parameter in model.network.named_parameters():
                parameter.copy_(start[name] + 0.1 * step)
        files.append(tmp_path / f'{number}.safetensors')
        save_weights(model.network, files[-1], 'open')
    out = tmp_path / 'mean.safetensors'
    assert main([*map(str, files), str(out)]) == 0
    state = read_checkpoint(out).state
    for name, value in start.items():
        if name in state:
            torch.testing.assert_close(state[name].float(), value + 0.1, rtol=1e-3, atol=1e-3)
    assert len(state) > 100


def test_networks_of_different_kinds_have_no_mean(
    model: TrainingModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, out = tmp_path / 'run', tmp_path / 'mean.safetensors'
    deeper = tiny_model(run_config(model=replace(MODEL, encoder_depth=5)))
    for network, body in ((deeper.network, 'open'), (model.network, 'smpl')):
        other = tmp_path / 'other.safetensors'
        save_weights(network, other, body)
        assert main([str(first), str(other), str(out)]) == 2
        assert 'other.safetensors: holds another network' in capsys.readouterr().err
        assert not out.exists()
    torch.nn.init.constant_(model.network.conf_head.weight, 1e6)
    save_weights(model.network, other, 'open')
    assert main([str(first), str(other), str(out)]) == 2
    assert 'other.safetensors: conf_head.weight has numbers' in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ('change', 'options', 'message'),
    [
        (None, ['--most-mb', '0.01'], 'train a smaller one'),
        (1e6, [], 'conf_head.weight has numbers that float16 cannot hold'),
        (float('nan'), [], 'conf_head.weight has numbers'),
    ],
)
def test_what_cannot_be_shipped_is_refused(
    model: TrainingModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: float | None,
    options: list[str],
    message: str,
) -> None:
    if change is not None:
        torch.nn.init.constant_(model.network.conf_head.weight, change)
        save_weights(model.network, tmp_path / 'run' / 'weights.safetensors', 'open')
    out = tmp_path / 'out.safetensors'
    assert main([str(tmp_path / 'run'), str(out), *options]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_run_without_weights_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'empty').mkdir()
    assert main([str(tmp_path / 'empty'), str(tmp_path / 'out.safetensors')]) == 2
    assert 'empty/weights.safetensors' in capsys.readouterr().err


def test_run_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / 'nothing'
    assert main([str(run), str(tmp_path / 'out.safetensors')]) == 2
    assert f'{run}: there is no such run or file' in capsys.readouterr().err


def test_the_folder_to_write_to_is_tried_first(model: TrainingModel, tmp_path: Path) -> None:
    run, out = tmp_path / 'run', tmp_path / 'new' / 'out.safetensors'
    assert check_export(run, out) == run / 'weights.safetensors'
    assert not out.parent.exists()
    with pytest.raises(UserError, match='cannot be written'):
        check_export(run, run / 'weights.safetensors' / 'below' / 'out.safetensors')
