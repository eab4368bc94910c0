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
The tests' own workspace: tf2_msgs and hri_msgs, which PyPI does not have.

tf2_msgs is the real message; hri_msgs has the messages of REP-155 that the node uses. They are
built once and are visible only to processes that are given `environment`, so that the other tests
see a machine without them.
"""

from __future__ import annotations

import os
from pathlib import Path
import sys

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).with_name('interfaces')
PLACE = (
    ROOT / 'ros2_ws' / 'build' / f'test_interfaces_py{sys.version_info[0]}{sys.version_info[1]}'
)

sys.path.insert(0, str(ROOT / 'scripts'))

import build_msgs  # noqa: E402


def environment() -> dict[str, str]:
    """Build what has changed; return the variables of a process that is to see the packages."""
    install = PLACE / 'install'
    stamp = PLACE / 'source.sha256'
    digest = build_msgs.source_digest(SOURCES)
    if not stamp.is_file() or stamp.read_text() != digest:
        for source in sorted(SOURCES.iterdir()):
            build_msgs.build_package(source, PLACE / source.name, install)
        stamp.write_text(digest)
    packages = next(install.rglob('tf2_msgs/msg/__init__.py')).parents[2]
    paths = {
        'PYTHONPATH': packages,
        'LD_LIBRARY_PATH': install / 'lib',
        'AMENT_PREFIX_PATH': install,
    }
    return {
        name: os.pathsep.join(filter(None, [str(path), os.environ.get(name)]))
        for name, path in paths.items()
    }
