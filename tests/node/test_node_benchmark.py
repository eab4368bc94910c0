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

from __future__ import annotations

import json
import os
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).resolve().parents[2]


def test_benchmark(domain: int, tmp_path: Path) -> None:
    """It measures every step of every case, prints a table and writes the numbers."""
    file = tmp_path / 'numbers.json'
    command = [sys.executable, '-m', 'mahmr_node.benchmark', '--frames', '2', '--json', str(file)]
    env = dict(os.environ, ROS_DOMAIN_ID=str(domain), PYTHONPATH=f'{ROOT}:{ROOT / "ros2_ws"}')
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(file.read_text())
    assert list(numbers) == [
        'default', 'distorted lens', 'mesh_faces 3000', 'smoothing', 'with overlay',
    ]  # fmt: skip
    for case, steps in numbers.items():
        assert all(milliseconds > 0 for milliseconds in steps.values())
        for step in ('receive', 'build markers', 'send humans', 'message to messages'):
            assert step in steps
            assert f'\n{step}' in done.stdout
        assert ('draw overlay' in steps) == (case == 'with overlay')
