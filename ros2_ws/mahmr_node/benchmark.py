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
What the node costs beside the network: `python -m mahmr_node.benchmark [--json FILE]`.

Everything but the network is the node's own, on the real middleware: a picture of five people goes
from its message through decoding, lens, tracking and the building of each message to a listener.
Times are medians over the frames, in milliseconds.
"""

from __future__ import annotations

import argparse
import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import statistics
import subprocess
import sys
import threading
import time

from mahmr_model.bodies import repose
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.files import written_beside
from mahmr_model.tracking import Smoother, Tracker
from mahmr_model.types import Camera, People
from mahmr_node.camera_input import CameraInput
from mahmr_node.camera_output import CameraOutput, OVERLAY, Shared, TOPICS
from mahmr_node.diagnostics import CameraStatistics
from mahmr_node.frame_slot import Frame, FrameSlot
from mahmr_node.main import set_by_signals
from mahmr_node.mesh import MeshReducer
from mahmr_node.messages import Result
from mahmr_node.parameters import CameraSettings, NODE_PARAMETERS, Settings
from mahmr_node.worker import CameraLine, follow
import numpy as np
import rclpy
from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import CameraInfo, Image

NAME = 'mahmr_benchmark'
SIZE = (1280, 720)
PLACES_M = ((-1.6, 0.1, 4.5), (-0.8, 0.2, 5.0), (0.0, 0.1, 4.0), (0.9, 0.2, 5.5), (1.7, 0.1, 5.0))

DISTORTION = (-0.2, 0.05, 0.001, -0.001, 0.0)

ALL, FASTEST = 'message to messages', 'fastest tenth of these'

# What is listened to where a case says nothing else.
ALL_BUT_OVERLAY = ('markers', 'humans', 'poses', 'estimated_camera_info')


@dataclass(frozen=True)
class Case:
    """One way to use the node."""

    name: str
    topics: tuple[str, ...] = ALL_BUT_OVERLAY
    distorted: bool = False
    changes: tuple[tuple[str, float], ...] = ()
    """Parameters that are not at their defaults."""


CASES = (
    Case('default'),
    Case('distorted lens', distorted=True),
    Case('mesh_faces 3000', changes=(('mesh_faces', 3000),)),
    Case('smoothing', changes=(('smoothing', True),)),
    Case('with overlay', topics=tuple(TOPICS)),
)


class Clock:
    """Collects how long each step took in each frame."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done within."""
        started = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - started)

    def summary_ms(self) -> dict[str, float]:
        """Return the median of each step, and what the whole takes where nothing disturbs it."""
        medians = {name: 1000 * statistics.median(times) for name, times in self.seconds.items()}
        fastest = float(1000 * np.quantile(self.seconds[ALL], 0.1))
        return {**medians, FASTEST: fastest}


def five_people(body: BodyLayer) -> People:
    """Return five upright bodies with their arms and legs bent a little."""
    count, camera = len(PLACES_M), lens()
    pose = np.random.default_rng(0).normal(0, 0.15, (count, 24, 3)).astype(np.float32)
    pose[:, 0] = (np.pi, 0, 0)  # the body's y is up, the camera's down
    empty = np.zeros((count, 0), np.float32)
    people = People(
        confidence=np.linspace(0.9, 0.6, count, dtype=np.float32),
        boxes_xyxy_px=np.zeros((count, 4), np.float32),
        pose_axis_angle=pose,
        betas=np.zeros((count, 10), np.float32),
        translation_m=np.array(PLACES_M, np.float32),
        joints_camera_m=empty,
        joints_px=empty,
        vertices_camera_m=empty,
        height_m=empty,
        faces=body.faces.numpy(),
        camera=camera,
        camera_source='given',
    )
    people = repose(people, body)
    pixels = camera.project(people.vertices_camera_m)
    return replace(people, boxes_xyxy_px=np.hstack([pixels.min(axis=1), pixels.max(axis=1)]))


def lens() -> Camera:
    """Return the camera of the pictures."""
    return Camera.from_horizontal_fov(np.pi / 3, *SIZE)


def picture() -> Image:
    """Return a raw bgr8 picture of noise, as a camera driver sends it."""
    width, height = SIZE
    noise = np.random.default_rng(0).integers(0, 256, 3 * width * height, np.uint8)
    message = Image(width=width, height=height, encoding='bgr8', step=3 * width)
    message.header.frame_id = 'camera_optical_frame'
    message.data = array.array('B', noise.tobytes())
    return message


def calibration(distorted: bool) -> CameraInfo:
    """Return the calibration of that camera."""
    info = CameraInfo(width=SIZE[0], height=SIZE[1], distortion_model='plumb_bob')
    info.d = list(DISTORTION) if distorted else [0.0] * len(DISTORTION)
    info.k = lens().matrix.reshape(-1)
    return info


class Bench:
    """The node's parts, wired as the node wires them, around people who are known."""

    def __init__(self, node: LifecycleNode) -> None:
        body_data = load_body(OPEN_BODY)
        self._body = BodyLayer(body_data, kid=False)
        self.people = five_people(self._body)
        self._node = node
        shared = Shared(MeshReducer(body_data.v_template, body_data.faces), None, None, 'cpu')
        self.output = CameraOutput(node, 'camera', 'reliable', shared)
        self._settings = settings_with({})
        self.slot = FrameSlot(threading.Condition())
        camera = CameraSettings('unused/image_raw', '', 'raw', 'raw')
        self.line = CameraLine(
            self.slot,
            CameraInput(node, 'camera', camera, lambda: self._settings, self.slot),
            self.output,
            Tracker(),
            Smoother(lambda people: repose(people, self._body)),
            CameraStatistics('camera', self.slot),
        )

    def run(self, case: Case, frames: int) -> dict[str, float]:
        """Take pictures through all steps; return the median of each in milliseconds."""
        self._settings = settings_with(dict(case.changes))
        self.line.input.keep_info(calibration(case.distorted))
        sent, clock = serialize_message(picture()), Clock()
        warm_up = 3
        for index in range(warm_up + frames):
            clock = Clock() if index == warm_up else clock
            self._frame(sent, (1 + index) / 30, clock)
        return clock.summary_ms()

    def _frame(self, sent: bytes, stamp_s: float, clock: Clock) -> None:
        with clock.step(ALL):
            with clock.step('receive'):
                message = deserialize_message(sent, Image)
            message.header.stamp.sec = int(stamp_s)
            message.header.stamp.nanosec = int(stamp_s % 1 * 1e9)
            with clock.step('decode, lens'):
                picture = self.line.input.prepare(Frame(message, time.monotonic()))
            with clock.step('track, smooth'):
                people = follow(self.line, self.people, stamp_s, self._settings)
            result = Result(picture, people)
            building = self.output.messages(result, self._settings, 0.03)
            started = time.perf_counter()
            for publish, built in building:
                name = publish.__self__.topic.rpartition('/')[2]  # type: ignore[attr-defined]
                clock.seconds[f'build {name}'].append(time.perf_counter() - started)
                with clock.step(f'send {name}'):
                    publish(built)
                started = time.perf_counter()
        if self.output.wants_overlay:
            with clock.step('draw overlay'):
                publish, built = self.output.overlay(result)
            with clock.step('send overlay'):
                publish(built)

    def wait_for_listeners(self, topics: Sequence[str]) -> None:
        """Wait until exactly these topics have a listener."""
        wanted = {topic: int(topic in topics) for topic in TOPICS}
        while self.output.listeners() != wanted:
            time.sleep(0.05)


def settings_with(changes: Mapping[str, object]) -> Settings:
    """Return the node's default parameters, changed."""
    return Settings(**{**{spec.name: spec.default for spec in NODE_PARAMETERS}, **changes})


@contextmanager
def listener(topics: Sequence[str]) -> Iterator[None]:
    """Run a process that takes the bytes of these topics, as another node on the robot does."""
    command = [sys.executable, '-m', 'mahmr_node.benchmark', '--listen', *topics]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.communicate()  # closes its standard input, which ends it


def listen(topics: Sequence[str]) -> None:
    """Take bytes until standard input is closed."""
    ended = set_by_signals()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('benchmark_listener')
    for topic in topics:
        node.create_subscription(
            TOPICS[topic], f'/{NAME}/camera/{topic}', lambda data: None, 5, raw=True
        )
    while not ended.is_set():
        rclpy.spin_once(node, timeout_sec=0.1)
    try_shutdown()


def measure(frames: int = 100) -> dict[str, dict[str, float]]:
    """Return for each case the median milliseconds of each step and of the whole."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = LifecycleNode(NAME)
    try:
        bench = Bench(node)
        node.trigger_configure()
        node.trigger_activate()
        results = {}
        for case in CASES:
            with listener(case.topics):
                bench.wait_for_listeners(case.topics)
                # Drawing takes a hundred times as long as what is measured elsewhere.
                count = max(frames // 10, 2) if OVERLAY in case.topics else frames
                results[case.name] = bench.run(case, count)
    finally:
        node.destroy_node()
        try_shutdown()
    return results


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Write the results as lines of text, a column a case."""
    steps = list(dict.fromkeys(step for times in results.values() for step in times))
    # The overlay is drawn by a thread of its own, so that it is no part of the whole.
    steps.sort(key=lambda step: step in (ALL, FASTEST) or 2 * ('overlay' in step))
    width = max(len(step) for step in steps)
    lines = [' ' * width + ''.join(f'{name:>17}' for name in results)]
    for step in steps:
        cells = (
            f'{times[step]:17.2f}' if step in times else f'{"-":>17}' for times in results.values()
        )
        lines.append(f'{step:{width}}' + ''.join(cells))
    return '\n'.join(lines)


def main() -> None:
    """Measure, print the table, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description='The cost of the node beside the network, in ms.')
    parser.add_argument('--frames', type=int, default=100, help='Frames of each case.')
    parser.add_argument('--json', type=Path, help='File that gets the numbers.')
    parser.add_argument('--listen', nargs='+', choices=TOPICS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # On a domain of its own: nothing else's traffic, and nothing that others hear.
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    if options.listen:
        listen(options.listen)
        return
    results = measure(options.frames)
    width, height = SIZE
    print(f'{len(PLACES_M)} people, {width}x{height}, medians of {options.frames} frames in ms\n')
    print(table(results))
    if options.json:
        with written_beside(options.json) as path:
            path.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
