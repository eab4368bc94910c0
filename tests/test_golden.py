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

"""The published code's numbers; tolerances are those of golden/README.md."""

from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / 'golden'
sys.path.insert(0, str(GOLDEN))

from check import check_file  # noqa: E402, I100

NETWORKS = ('adaptive', 'two_levels', 'plain', 'official')


@pytest.mark.parametrize('name', NETWORKS)
def test_network_gives_the_published_numbers(name: str) -> None:
    errors = dict(check_file(GOLDEN / f'network_{name}.npz'))
    assert 'out/pred_verts' in errors
    assert {k: e for k, e in errors.items() if not e <= 1} == {}


@pytest.mark.parametrize(
    'name', ['chmr', 'chmr_fov_continue', 'chmr_fov_opt_mloss', 'relative_depth']
)
def test_training_step_gives_the_published_numbers(name: str) -> None:
    errors = dict(check_file(GOLDEN / f'train_{name}.npz'))
    assert sum(key.startswith('grad_norm/') for key in errors) > 300
    assert {k: e for k, e in errors.items() if not e <= 1} == {}


def test_sample_pipeline_gives_the_published_numbers() -> None:
    errors = dict(check_file(GOLDEN / 'augmentation.npz'))
    assert len(errors) == 6 * 16
    assert {k: e for k, e in errors.items() if not e <= 1} == {}


def test_check_command_tells_a_wrong_number(tmp_path: Path) -> None:
    with np.load(GOLDEN / 'network_two_levels.npz') as file:
        arrays = {name: file[name] for name in file.files}
    arrays['out/pred_verts'][0, 3, 5, 1] += 3e-4
    np.savez(tmp_path / 'wrong.npz', **arrays)
    result = subprocess.run(
        [sys.executable, GOLDEN / 'check.py', tmp_path / 'wrong.npz'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    over = [line for line in result.stdout.splitlines() if 'OVER' in line]
    assert len(over) == 1
    assert 'out/pred_verts' in over[0]
