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

import os
from pathlib import Path
import re
import signal
import subprocess
import sys

import cv2

ROOT = Path(__file__).resolve().parents[2]


def run_demo(
    domain: int, *options: str, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / 'demo' / 'run_demo.py'), *options]
    env = dict(os.environ, ROS_DOMAIN_ID=str(domain))
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def test_demo(domain: int, tmp_path: Path) -> None:
    """The whole way with the true network, from a camera's process to a listener's table."""
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    video = cv2.VideoCapture(str(ROOT / 'demo' / 'street.mp4'))
    for i in range(10):
        cv2.imwrite(str(pictures / f'{i}.png'), video.read()[1])
    out = tmp_path / 'out'
    done = run_demo(domain, '--video', str(pictures), '--out', str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    # A listener may miss the first pictures, while the middleware brings the two together.
    heard = re.search(r'pictures in +(\d+)', done.stdout)
    assert heard is not None
    assert 7 <= int(heard[1]) <= 10
    for word in ('pictures out', 'people per picture', 'age of results', 'height', 'distance'):
        assert word in done.stdout
    # What shows results of random weights must say so, and nothing else may.
    assert ('UNTRAINED' in done.stdout) == ('UNTRAINED' in done.stderr)
    assert cv2.imread(str(out / 'panel.png')) is not None
    assert cv2.imread(str(out / 'overlay_0.png')) is not None


def test_demo_fails_without_a_video(domain: int, tmp_path: Path) -> None:
    """A process that dies makes the demo fail, at once and with the reason."""
    missing = tmp_path / 'missing.mp4'
    done = run_demo(domain, '--video', str(missing), '--out', str(tmp_path / 'out'))
    assert done.returncode == 1
    assert str(missing) in done.stderr
    assert 'The demo failed: the camera died.' in done.stderr
    assert 'Traceback' not in done.stderr


def test_demo_fails_with_bad_weights(domain: int, tmp_path: Path) -> None:
    """A node that cannot be configured ends the demo with the reason; paths are the caller's."""
    (tmp_path / 'half.bin').write_bytes(b'half a download')
    done = run_demo(domain, '--weights', 'half.bin', '--out', 'out', cwd=tmp_path)
    assert done.returncode == 1
    assert f'WRONG: the node says: configure failed: {tmp_path / "half.bin"}' in done.stderr
    assert (tmp_path / 'out').is_dir()


def test_demo_that_is_ended_leaves_nothing_running(domain: int, tmp_path: Path) -> None:
    """SIGTERM ends the processes that it started: their output is closed at once."""
    command = [sys.executable, str(ROOT / 'demo' / 'run_demo.py'), '--out', str(tmp_path)]
    env = dict(os.environ, ROS_DOMAIN_ID=str(domain))
    demo = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert demo.stderr is not None
    while 'as camera/image_raw' not in demo.stderr.readline():
        assert demo.poll() is None
    demo.send_signal(signal.SIGTERM)
    _, said = demo.communicate(timeout=40)
    assert demo.returncode == 1
    assert 'it was interrupted' in said
    assert 'Traceback' not in said
