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

"""docs/interface.md says what the node has; nothing else in the documentation repeats it."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

from ros_tools import ROOT, TIMEOUT_S

SCRIPT = ROOT / 'scripts' / 'describe_interface.py'


def run(*arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), str(ROOT / 'ros2_ws'), os.environ.get('PYTHONPATH', '')]
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(paths)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_the_page_is_up_to_date() -> None:
    """Mended by: python scripts/describe_interface.py."""
    done = run('--check')
    assert done.returncode == 0, f'{done.stdout}\n{done.stderr}\n{__doc__}'


def test_a_stale_page_is_found(tmp_path: Path) -> None:
    """The check is one: a copy of the script beside an older page says what has changed."""
    for name in ('scripts', 'docs', 'launch'):
        (tmp_path / name).mkdir()
    for name in ('scripts/describe_interface.py', 'launch/mahmr.launch.py'):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    page = (ROOT / 'docs' / 'interface.md').read_text()
    older = page.replace('`/mahmr/<camera>/poses`', '`/mahmr/<camera>/old_poses`')
    assert older != page
    (tmp_path / 'docs' / 'interface.md').write_text(older)
    done = run('--check', script=tmp_path / 'scripts' / 'describe_interface.py')
    assert done.returncode == 1
    assert '+| `/mahmr/<camera>/poses`' in done.stdout
    assert '-| `/mahmr/<camera>/old_poses`' in done.stdout
