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

"""What the benchmark of steps refuses and writes; what it measures is judged by people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training import benchmark


def test_numbers_are_written_into_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, 'measure', lambda *_: {'loader': 2.5})
    file = tmp_path / 'new' / 'steps.json'
    assert benchmark.main(['--json', str(file)]) == 0
    assert json.loads(file.read_text()) == {'loader': 2.5}


def test_file_that_cannot_be_written_is_told_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, 'measure', None)
    (tmp_path / 'file').touch()
    assert benchmark.main(['--json', str(tmp_path / 'file' / 'steps.json')]) == 2
    assert 'cannot be written' in capsys.readouterr().err


def test_unknown_precision_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(['--precisions', 'bf16', 'foo'])
    assert "invalid choice: 'foo'" in capsys.readouterr().err
