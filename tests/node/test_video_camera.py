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

from collections.abc import Callable
import math
from pathlib import Path
import signal
import threading

import cv2
from mahmr_node.video_camera import run
import numpy as np
import pytest
from ros_tools import RELIABLE, Rig, VIDEO_CAMERA
from sensor_msgs.msg import CameraInfo, Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of 4 pictures, each of its own brightness."""
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for i in range(4):
        cv2.imwrite(str(folder / f'{i}.png'), np.full((48, 64, 3), 50 * i, np.uint8))
    return folder


def listen(rig: Rig) -> tuple[list[Image], list[CameraInfo]]:
    images: list[Image] = []
    infos: list[CameraInfo] = []
    rig.node.create_subscription(Image, '/cam/image_raw', images.append, RELIABLE)
    rig.node.create_subscription(CameraInfo, '/cam/camera_info', infos.append, RELIABLE)
    return images, infos


@pytest.fixture
def refused(
    domain: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Give what runs the camera in this process with parameters that end it, and what it says."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(domain))
    ended = threading.Event()
    ended.set()

    def run_refused(**parameters: object) -> str:
        given = [part for name, value in parameters.items() for part in ('-p', f'{name}:={value}')]
        assert run(['--ros-args', *given], ended) == 2
        return capfd.readouterr().err

    return run_refused


def test_plays_a_folder_once(rig: Rig, folder: Path) -> None:
    """Every picture once and in order, with a calibration of the same stamp; then it ends."""
    images, infos = listen(rig)
    process = rig.start(
        VIDEO_CAMERA,
        {
            'file': folder,
            'name': 'cam',
            'loop': False,
            'wait_for_listeners': 1,
            'rate_hz': 20.0,
            'horizontal_fov_deg': 90.0,
            'frame_id': 'lens',
        },
    )
    rig.wait(lambda: len(images) == 4, 'four pictures')
    assert process.wait() == 0
    assert [image.data[0] for image in images] == [0, 50, 100, 150]
    assert {image.header.frame_id for image in images} == {'lens'}
    rig.wait(lambda: len(infos) == 4, 'four calibrations')
    assert [i.header for i in infos] == [i.header for i in images]
    assert infos[0].k[0] == pytest.approx(32 / math.tan(math.pi / 4))
    stamps = [i.header.stamp.sec + 1e-9 * i.header.stamp.nanosec for i in images]
    assert stamps[-1] - stamps[0] == pytest.approx(3 / 20, abs=0.1)


def test_loops_a_video(rig: Rig, tmp_path: Path) -> None:
    """A video begins again; an unknown lens is told as zeros."""
    path = tmp_path / 'video.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 25, (64, 48))
    for i in range(3):
        writer.write(np.full((48, 64, 3), 60 * i, np.uint8))
    writer.release()
    images, infos = listen(rig)
    rig.start(VIDEO_CAMERA, {'file': path, 'name': 'cam'})
    rig.wait(lambda: len(images) >= 7, 'more pictures than the video has')
    rig.wait(lambda: infos, 'a calibration')
    assert infos[0].k[0] == 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal(rig: Rig, folder: Path, number: signal.Signals) -> None:
    """A signal between or within pictures ends it with code 0 and without a word."""
    images, _ = listen(rig)
    for _ in range(3):
        images.clear()
        process = rig.start(VIDEO_CAMERA, {'file': folder, 'name': 'cam', 'rate_hz': 500.0})
        rig.wait(lambda: len(images) > 10, 'pictures')
        assert process.stop(number) < 5.0


def test_signal_while_starting(rig: Rig, folder: Path) -> None:
    """The same from the first moment on, while modules are still being imported."""
    process = rig.start(VIDEO_CAMERA, {'file': folder})
    rig.wait(lambda: process.handles(signal.SIGTERM), 'the handlers')
    assert process.stop(signal.SIGINT) < 5.0


@pytest.mark.parametrize(
    ('parameters', 'said'),
    [
        ({}, 'file is empty; name a video or a folder of pictures'),
        ({'file': 'x.mp4', 'name': 'a b'}, 'name is "a b"'),
    ],
)
def test_bad_parameters(
    refused: Callable[..., str], parameters: dict[str, str], said: str
) -> None:
    assert said in refused(**parameters)


@pytest.mark.parametrize('name', ['missing.mp4', 'text.mp4', 'empty'])
def test_bad_file(refused: Callable[..., str], tmp_path: Path, name: str) -> None:
    """What cannot be played is named in one sentence, with an exit code."""
    (tmp_path / 'text.mp4').write_text('this is no video')
    (tmp_path / 'empty').mkdir()
    assert name in refused(file=tmp_path / name)


def test_a_bad_file_ends_the_process(rig: Rig) -> None:
    process = rig.start(VIDEO_CAMERA, {'file': '/nothere.mp4'}, fails=True)
    assert process.wait() == 2
    assert '/nothere.mp4' in process.output
    assert 'Traceback' not in process.output
