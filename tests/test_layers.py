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

"""ROS stays out of model and trainer; node and trainer stay out of each other."""

from __future__ import annotations

import ast
from pathlib import Path
import sys
import xml.etree.ElementTree as ET

import mahmr_model
import pytest

ROOT = Path(__file__).resolve().parent.parent

# The node's own messages are ROS as well; cv_bridge and the like are taken in by their names.
ROS = {
    'action_msgs',
    'ament_index_python',
    'builtin_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'geometry_msgs',
    'hri_msgs',
    'launch',
    'launch_ros',
    'lifecycle_msgs',
    'mahmr_msgs',
    'message_filters',
    'rcl_interfaces',
    'rclpy',
    'ros2cli',
    'sensor_msgs',
    'std_msgs',
    'std_srvs',
    'tf2_msgs',
    'tf2_ros',
    'visualization_msgs',
}

# Each layer, and what it must not import.
FORBIDDEN = {
    'mahmr_model': {*ROS, 'mahmr_node', 'training'},
    'training': {*ROS, 'mahmr_node'},
    'ros2_ws/mahmr_node': {'training'},
    'launch': {'training', 'mahmr_model', 'torch'},
}


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or '').partition('.')[0])
    return names


@pytest.mark.parametrize('layer', FORBIDDEN)
def test_imports(layer: str) -> None:
    """No file of a layer imports what it must not."""
    files = sorted((ROOT / layer).rglob('*.py'))
    assert files, f'{layer} has no files'
    found = {
        f'{path.relative_to(ROOT)} imports {name}'
        for path in files
        for name in imported(path) & FORBIDDEN[layer]
    }
    assert not found


def test_import_is_found(tmp_path: Path) -> None:
    """The check sees imports in functions, of parts and under other names."""
    file = tmp_path / 'code.py'
    file.write_text(
        'def f():\n    import rclpy.node as n\n    from tf2_ros import x\n    return n, x'
    )
    assert imported(file) == {'rclpy', 'tf2_ros'}


def test_one_version() -> None:
    """The manifests and the package agree."""
    for manifest in (ROOT / 'package.xml', ROOT / 'ros2_ws/src/mahmr_msgs/package.xml'):
        assert ET.parse(manifest).getroot().findtext('version') == mahmr_model.__version__


def test_nothing_shadows_launch() -> None:
    """The folder must not be a package, or ROS's own `launch` could not be imported."""
    assert not (ROOT / 'launch' / '__init__.py').exists()


def test_node_runs_on_the_oldest_python() -> None:
    """Every file of node and launch parses as Python 3.10, the oldest distribution's."""
    assert sys.version_info >= (3, 10)
    for folder in ('ros2_ws/mahmr_node', 'launch', 'scripts'):
        for path in (ROOT / folder).rglob('*.py'):
            ast.parse(path.read_text(encoding='utf-8'), feature_version=(3, 10))
