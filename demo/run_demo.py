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
The demo: a video plays as a camera, the node finds the people, a listener checks and tells.

Three processes on the real middleware. Ends with an exit code above 0 where anything is wrong.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent

# The longest that the whole may take, and that a process may take to end.
LIMIT_S = 600.0
END_S = 10.0


def environment() -> dict[str, str]:
    """Return the environment of the processes: this machine only, a domain of their own."""
    env = dict(os.environ, PYTHONUNBUFFERED='1')
    env['PYTHONPATH'] = os.pathsep.join(
        [str(ROOT), str(ROOT / 'ros2_ws'), *filter(None, [env.get('PYTHONPATH')])]
    )
    env.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    env.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 101))
    return env


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command line of each process, in the order in which they start."""
    node = ['-m', 'mahmr_node.main', '--ros-args', '-p', 'autostart:=true']
    if options.weights:
        node += ['-p', f'weights:={options.weights}']
    camera = ['-c', 'from mahmr_node.main import video_camera; video_camera()', '--ros-args']
    camera += ['-p', f'file:={options.video}']
    # Node and listener: no picture is missed while the network is being loaded.
    camera += ['-p', 'loop:=false', '-p', 'wait_for_listeners:=2']
    listener = [str(ROOT / 'demo' / 'listener.py'), '--out', str(options.out)]
    return {'listener': listener, 'node': node, 'camera': camera}


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description='Play a video through the node.')
    parser.add_argument('--video', type=Path, default=ROOT / 'demo' / 'street.mp4')
    parser.add_argument('--weights', type=Path, default=None, help='default: the best there are')
    parser.add_argument('--out', type=Path, default=ROOT / 'demo_results')
    options = parser.parse_args()
    # The processes run in another folder than this one.
    for name, path in vars(options).items():
        setattr(options, name, path and path.absolute())
    env = environment()
    # SIGTERM ends what was started as well as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands(options).items():
            # In a session of its own: Ctrl-C in the terminal comes here alone, and `end` follows.
            processes[name] = subprocess.Popen(
                [sys.executable, *command], env=env, cwd=ROOT, start_new_session=True
            )
        wrong = watch(processes)
    except KeyboardInterrupt:
        wrong = ['it was interrupted']
    wrong += end(processes)
    for text in wrong:
        print(f'The demo failed: {text}.', file=sys.stderr)
    sys.exit(1 if wrong else 0)


def watch(processes: dict[str, subprocess.Popen[bytes]]) -> list[str]:
    """Wait for the listener to be done; return what goes wrong meanwhile."""
    started = time.monotonic()
    while processes['listener'].poll() is None:
        if time.monotonic() - started > LIMIT_S:
            return [f'it took longer than {LIMIT_S:.0f} s']
        if processes['node'].poll() is not None:
            return ['the node died']
        if processes['camera'].poll() not in (None, 0):
            return ['the camera died']
        time.sleep(0.1)
    return ['the listener found faults'] if processes['listener'].returncode else []


def end(processes: dict[str, subprocess.Popen[bytes]]) -> list[str]:
    """End all processes; return which did not end well."""
    bad = []
    for name, process in processes.items():
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            bad.append(f'the {name} did not end')
        else:
            if code and name != 'listener':
                bad.append(f'the {name} ended with {code}')
    return bad


if __name__ == '__main__':
    main()
