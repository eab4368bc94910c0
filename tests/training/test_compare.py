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

import hashlib
import json
from pathlib import Path

from mahmr_model.checkpoint import save_weights
import pytest
from tiny import run_config, tiny_model
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
