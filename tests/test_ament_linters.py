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

"""
ROS's own linters, as `colcon test` runs them.

ament_flake8 and ament_pep257 come from PyPI or from a ROS installation. ament_copyright is not
on PyPI, so its notice is looked for here; tests/test_package.py has the schema that ament_xmllint
takes from the network.
"""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = (
    'demo',
    'launch',
    'mahmr_model',
    'ros2_ws/mahmr_node',
    'scripts',
    'setup.py',
    'tests',
    'training',
)

NOTICE = re.compile(
    r'# Copyright 20\d\d [^\n]+\n#\n# Licensed under the Apache License, Version 2\.0 '
    r'\(the "License"\);\n(#[^\n]*\n){9}# limitations under the License\.\n'
)


def sources() -> Iterator[Path]:
    """Give every file of Python and CMake that is the project's own."""
    for name in CODE:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(path.rglob('*.py'))
    yield from sorted((ROOT / 'scripts').glob('*.cmake'))


@pytest.mark.parametrize('name', ['ament_flake8', 'ament_pep257'])
def test_linter(name: str) -> None:
    """It says nothing about any file of Python."""
    folders = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    command = shutil.which(name, path=folders)
    assert command is not None, f'{name} is in the requirements of the tests'
    done = subprocess.run([command, *CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = f'{done.stdout}\n{done.stderr}'.splitlines()
    found = [line for line in lines if re.search(r'^[\w/]+\.py:\d+', line)]
    assert done.returncode == 0, '\n'.join(found or lines[-20:])


def test_every_source_has_its_notice() -> None:
    """As ament_copyright wants it: the holder, and the licence's own header."""
    without = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.stat().st_size and not NOTICE.match(path.read_text(encoding='utf-8'))
    ]
    assert without == []


def test_sources_are_all_that_there_is() -> None:
    """No Python file of the project lies outside of what the linters are given."""
    done = subprocess.run(
        ['git', 'ls-files', '*.py'], cwd=ROOT, capture_output=True, text=True, check=False
    )
    tracked = {ROOT / name for name in done.stdout.splitlines()}
    assert tracked <= set(sources())
