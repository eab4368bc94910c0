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
Build mahmr_msgs and make it importable.

With ROS from PyPI (no ROS installation sourced) the messages are installed into this Python's
virtual environment, beside the ROS wheels: they are then found there like any other message,
without a setup file to source. With a sourced ROS the colcon workspace is built the ordinary way.
Nothing is done where the installed messages are those of the sources.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / 'ros2_ws'
SOURCE = WORKSPACE / 'src' / 'mahmr_msgs'


def source_digest(source: Path) -> str:
    """Hash what the build depends on: the package's files, and this Python."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(p for p in source.rglob('*') if p.is_file()):
        digest.update(path.relative_to(source).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def tool(name: str) -> str:
    """Find a program of the virtual environment or of the system."""
    found = shutil.which(
        name, path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    )
    if found is None:
        raise SystemExit(f'{name} is needed to build the messages; try: pip install {name}')
    return found


def require_compiler() -> None:
    """Say what is missing of what pip does not bring."""
    compilers = ('c++', 'g++', 'clang++')
    header = Path(sysconfig.get_path('include')) / 'Python.h'
    if not any(shutil.which(name) for name in compilers) or not header.is_file():
        raise SystemExit(
            'To build the messages, a C++ compiler, make and the headers of Python are needed; '
            'on Debian and Ubuntu: apt install build-essential python3-dev'
        )


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    """Run a command quietly; show all it said if it fails."""
    done = subprocess.run(
        command,
        env=env,
        cwd=WORKSPACE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f'{done.stdout}\nfailed with {done.returncode}: {" ".join(command)}')


def build_package(source: Path, build: Path, prefix: Path) -> None:
    """Build an interface package against the sourced ROS, or the ROS wheels, into `prefix`."""
    require_compiler()
    env = dict(os.environ)
    if not env.get('ROS_DISTRO'):
        env['AMENT_PREFIX_PATH'] = env['CMAKE_PREFIX_PATH'] = sys.prefix
        env['PATH'] = f'{Path(sys.prefix) / "bin"}{os.pathsep}{env["PATH"]}'
    cmake = tool('cmake')
    configure = [
        cmake,
        '-S', str(source),
        '-B', str(build),
        f'-DCMAKE_INSTALL_PREFIX={prefix}',
        f'-DCMAKE_PROJECT_INCLUDE={ROOT / "scripts" / "pip_ros.cmake"}',
        f'-DPython3_EXECUTABLE={sys.executable}',
        '-DCMAKE_BUILD_TYPE=Release',
        '-DBUILD_TESTING=OFF',
    ]  # fmt: skip
    run(configure, env)
    run([cmake, '--build', str(build), '--parallel', str(os.cpu_count() or 1)], env)
    run([cmake, '--install', str(build)], env)


def main() -> None:
    """Build where something changed, and say what was done."""
    if os.environ.get('ROS_DISTRO'):
        run([tool('colcon'), 'build', '--packages-select', 'mahmr_msgs'])
        print('mahmr_msgs built; now: source ros2_ws/install/setup.sh')  # noqa: T201
        return
    prefix = Path(sys.prefix)
    stamp = prefix / 'share' / 'mahmr_msgs' / 'source.sha256'
    digest = source_digest(SOURCE)
    if stamp.is_file() and stamp.read_text() == digest:
        return
    version = f'py{sys.version_info.major}{sys.version_info.minor}'
    build_package(SOURCE, WORKSPACE / 'build' / f'mahmr_msgs_{version}', prefix)
    stamp.write_text(digest)
    print(f'mahmr_msgs built and installed into {prefix}')  # noqa: T201


if __name__ == '__main__':
    main()
