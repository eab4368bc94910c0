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

"""Several weights measured on the same held-out scenes."""

from __future__ import annotations

from dataclasses import replace
import hashlib
import json
from pathlib import Path

from mahmr_model.checkpoint import save_weights
import pytest
from tiny import MODEL, run_config, tiny_model
from training.compare import main


def test_a_comparison_says_of_which_files_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / 'one.safetensors', tmp_path / 'two.safetensors']
    for path in files:
        save_weights(tiny_model(run_config()).network, path, 'open')
    out = tmp_path / 'out'
    options = ['--count', '2', '--threshold', '0.2', '--device', 'cpu']
    assert main([str(out), *map(str, files), *options]) == 0
    for path in files:
        written = json.loads((out / f'{path.stem}.json').read_text())
        assert written['weights_sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (written['threshold'], written['pictures']) == (0.2, 2)
    table = (out / 'table.md').read_text()
    assert table in capsys.readouterr().out
    assert '| | one | two |' in table
    assert '| pictures | 2 | 2 |' in table


def test_weights_that_are_missing_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / 'out'), str(tmp_path / 'none.safetensors')]) == 2
    assert 'none.safetensors' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights that nothing may be measured of."""

    def measured(*_: object) -> None:
        pytest.fail('something was measured')

    monkeypatch.setattr('training.compare.RenderedScenes', measured)
    path = tmp_path / 'one.safetensors'
    save_weights(tiny_model(run_config()).network, path, 'open')
    return path


def test_weights_of_different_input_sizes_are_not_measured_on_the_same_pictures(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    larger = tmp_path / 'larger.safetensors'
    config = run_config(model=replace(MODEL, input_size=224))
    save_weights(tiny_model(config).network, larger, 'open')
    assert main([str(tmp_path / 'out'), str(weights), str(larger), '--device', 'cpu']) == 2
    assert f'{weights} 112, {larger} 224; measure them' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_files_of_one_name_would_be_one_column(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / 'other' / weights.name
    other.parent.mkdir()
    weights.rename(other)  # what it is called is looked at before it is read
    assert main([str(tmp_path / 'out'), str(weights), str(other), '--device', 'cpu']) == 2
    assert f'{weights} and {other} have one name' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('out', ['file', 'file/below', 'taken'])
def test_where_nothing_can_be_written_nothing_is_measured(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / 'file').touch()
    (tmp_path / 'taken' / 'table.md').mkdir(parents=True)
    assert main([str(tmp_path / out), str(weights), '--device', 'cpu']) == 2
    assert 'cannot be written' in capsys.readouterr().err


def test_what_cannot_be_written_after_all_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, out = tmp_path / 'one.safetensors', tmp_path / 'out'
    weights.touch()

    def compared(*_: object) -> dict[str, dict[str, float]]:
        out.touch()
        return {'one': {'pictures': 2}}

    monkeypatch.setattr('training.compare.compare', compared)
    assert main([str(out), str(weights), '--device', 'cpu']) == 2
    assert 'cannot be written' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--count', '--batch'])
def test_a_comparison_is_of_something(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main([str(tmp_path / 'out'), str(weights), option, '0', '--device', 'cpu']) == 2
    assert 'at least 1' in capsys.readouterr().err
