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

"""The script that trains the open default: what a second call does with the first one's files."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'train_open.sh'
STAGES = ['open_0', 'open_1', 'open_2', 'open_3', 'open_3_plain']
PYTHON = """#!/usr/bin/env bash
# In place of the interpreter: says 1 to -c, trains and exports at once; FAILS is what goes wrong.
case $* in
    -c*) echo 1 ;;
    *training.export*) [ "$FAILS" != export ] && echo "of ${@:3:1}" > "${@: -1}" ;;
    *)
        echo "$5" >> trained
        weights=runs/$5/weights.safetensors
        [ ! -f "$weights" ] || exit 2 # as the trainer refuses
        mkdir -p "runs/$5"
        echo half > "$weights"
        [ "$FAILS" != training ] || exit 1
        echo whole > "$weights"
        echo "INFO done after 3 steps" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold the script, and an interpreter that only pretends."""
    (tmp_path / 'scripts').mkdir()
    shutil.copy(SCRIPT, tmp_path / 'scripts')
    (tmp_path / 'python').write_text(PYTHON)
    (tmp_path / 'python').chmod(0o755)
    return tmp_path


def train(folder: Path, out: str, fails: str = '') -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ['bash', str(folder / 'scripts' / SCRIPT.name), '1', out],
        env=dict(os.environ, PYTHON=str(folder / 'python'), FAILS=fails, CONFIGS=''),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_wrong_with_a_key_is_said_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / 'own'
    done = subprocess.run(
        ['bash', str(SCRIPT), '1', str(out), 'training.batchsize=3'],
        env=dict(os.environ, PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Unknown key 'training.batchsize'")
    assert done.stderr.count('\n') == 1
    assert not list(out.iterdir())


def trained(folder: Path) -> list[str]:
    return (folder / 'trained').read_text().split()


@pytest.mark.parametrize('stage', ['open_0', 'open_3'])
def test_weights_of_another_training_stay_however_often_it_is_called(
    folder: Path, stage: str
) -> None:
    weights = folder / 'runs' / stage / 'weights.safetensors'
    weights.parent.mkdir(parents=True)
    weights.write_text("another training's")
    for _ in range(2):
        done = train(folder, 'own')
        assert done.returncode == 2
        assert done.stderr == (
            f"error: runs/{stage} holds another training's weights; move it away, or name that "
            "training's OUT\n"
        )
        assert weights.read_text() == "another training's"
    assert not list((folder / 'own').iterdir())
    assert not (folder / 'trained').exists()


def test_a_stage_that_was_interrupted_is_trained_again(folder: Path) -> None:
    assert train(folder, 'own', fails='training').returncode == 1
    assert trained(folder) == ['open_0']
    done = train(folder, 'own')
    assert done.returncode == 0, done.stderr
    assert trained(folder) == ['open_0', *STAGES]
    assert {path.stem for path in (folder / 'own').glob('*.safetensors')} == {'open', *STAGES}
    assert train(folder, 'own').returncode == 0
    assert trained(folder) == ['open_0', *STAGES]


def test_a_stage_whose_export_failed_is_only_exported(folder: Path) -> None:
    assert train(folder, 'own', fails='export').returncode == 1
    done = train(folder, 'own')
    assert done.returncode == 0, done.stderr
    assert trained(folder) == STAGES
    for stage in STAGES:
        assert (folder / 'own' / f'{stage}.safetensors').read_text() == f'of runs/{stage}\n'
