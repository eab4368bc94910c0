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

"""What rosdep, colcon and bloom ask of a ROS package: its manifests."""

from __future__ import annotations

from pathlib import Path
import sys
import warnings
import xml.etree.ElementTree as ET

from catkin_pkg.package import parse_package_string
from lxml import etree
import pytest
from test_layers import imported, ROS

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ('package.xml', 'ros2_ws/src/mahmr_msgs/package.xml')

# Used where they are there: for REP-155's topics, on CUDA, to make the open body anew.
OPTIONAL = {'anny', 'hri_msgs', 'triton', 'xformers'}

# rosdep's names of what is imported, where they are others.
ROSDEP = {
    'numpy': 'python3-numpy',
    'cv2': 'python3-opencv',
    'PIL': 'python3-pil',
    'scipy': 'python3-scipy',
    'tqdm': 'python3-tqdm',
    'yaml': 'python3-yaml',
}

# What has no name of rosdep, or a version too old; README has pip install it.
BY_PIP = {
    'accelerate',
    'fast_simplification',
    'rosbags',
    'safetensors',
    'smplx',
    'tensorboard',
    'torch',
}


def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(str(ROOT / 'tests' / 'package_format3.xsd')))


@pytest.mark.parametrize('manifest', MANIFESTS)
def test_manifest(manifest: str) -> None:
    """REP-149's rules hold, and what catkin_pkg, behind colcon and bloom, says is nothing."""
    path = ROOT / manifest
    schema().assertValid(etree.parse(str(path)))
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        package = parse_package_string(path.read_text(), filename=str(path), warnings=said)
        package.validate(said)
    assert said == []
    assert '<?xml-model href="http://download.ros.org/schema/package_format3.xsd"' in (
        path.read_text()
    )


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('<license>Apache-2.0</license>', ''),
        (' email="maintainers@mahmr.example.org"', ''),
        ('<version>0.1.0</version>', '<version>0.1</version>'),
        ('<name>mahmr</name>', '<name>Mahmr</name>'),
        ('exec_depend>rclpy</exec', 'run_depend>rclpy</run'),
        ('format="3"', 'format="1"'),
    ],
)
def test_the_schema_finds_faults(old: str, new: str) -> None:
    text = (ROOT / 'package.xml').read_text()
    assert old in text
    assert not schema().validate(etree.fromstring(text.replace(old, new).encode()))


def depends(kind: str) -> set[str]:
    root = ET.parse(ROOT / 'package.xml').getroot()
    return {element.text or '' for element in root.iter(kind)}


def test_what_is_imported_is_declared() -> None:
    """Node, launch file, model and trainer need what package.xml says, and no more."""
    folders = ('ros2_ws/mahmr_node', 'launch', 'mahmr_model', 'training')
    files = [path for folder in folders for path in (ROOT / folder).rglob('*.py')]
    names = set().union(*map(imported, files)) - {'mahmr_model', 'mahmr_node', 'training'}
    names -= {*sys.stdlib_module_names, *OPTIONAL, *BY_PIP}
    assert names - ROS <= set(ROSDEP), 'of these neither rosdep nor README knows'
    started = {'rviz2'}  # by the launch file
    assert depends('exec_depend') == {ROSDEP.get(name, name) for name in names} | started


def test_what_pip_installs_is_in_the_readme() -> None:
    """On a robot everything that rosdep does not install is named in README's pip line."""
    readme = (ROOT / 'README.md').read_text()
    section = readme[slice(readme.index('## On a robot'), readme.index('## With the official'))]
    line = next(line for line in section.splitlines() if line.startswith('pip install torch'))
    assert {name.replace('-', '_') for name in line.split()[2:]} >= BY_PIP


def test_linters_are_test_dependencies() -> None:
    linters = {f'ament_{name}' for name in ('copyright', 'flake8', 'pep257', 'xmllint')}
    assert linters <= depends('test_depend')
