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

"""The benchmark runs and reports everything; its times are judged by people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training.data import benchmark
from training.data.benchmark import main


def test_it_measures_a_made_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / 'new' / 'loader.json'
    options = ['--input-size', '280', '--people', '2', '--runs', '1', '--json', str(file)]
    assert main(options) == 0
    printed = capsys.readouterr().out
    result = json.loads(file.read_text())
    assert json.loads(printed.splitlines()[-1]) == result
    assert result['people'] == 2
    assert set(result['speedup']) == {'body', 'scale map'}
    assert result['speedup']['scale map'] > 5  # about 300 here
    for name in ('read the picture', 'mirror and warp', 'jitter colours'):
        assert result['steps_ms'][name] > 0
        assert name in printed


def test_file_that_cannot_be_written_is_told_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, 'measure', None)
    (tmp_path / 'file').touch()
    assert main(['--json', str(tmp_path / 'file' / 'loader.json')]) == 2
    assert 'cannot be written' in capsys.readouterr().err


def test_it_measures_a_dataset(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ['--root', str(data_root), '--dataset', 'hi4d', '--input-size', '280', '--runs', '1']
    assert main(options) == 0
    assert 'pictures/s' in capsys.readouterr().out
    assert main([*options[:2], '--dataset', 'mupots', '--split', 'test']) == 2
    assert 'no bodies' in capsys.readouterr().err
