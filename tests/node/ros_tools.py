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

"""A client of the node for tests: processes, services, topics on a domain of their own."""

from __future__ import annotations

import array as arrays
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import fcntl
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from mahmr_msgs.msg import HumanArray
from mahmr_node.messages import rgb_image
import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import DescribeParameters, SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / 'tests' / 'node' / 'stand_in.py'
VIDEO_CAMERA = ['-c', 'from mahmr_node.main import video_camera; video_camera()']
LISTENER = ROOT / 'tests' / 'node' / 'listener.py'

# Generous: the machine may be busy with other things. Nothing waits this long that works.
TIMEOUT_S = 60.0
ANSWER_S = 10.0  # then a call is made again

# What a sound process may write to stderr is a log line; none of these.
BAD_WORDS = ('Traceback', 'context is invalid', 'Exception ignored', 'Segmentation')

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4


@contextmanager
def own_domain() -> Iterator[int]:
    """Give a ROS domain, 1 to 101, that nobody else on this machine has been given."""
    for attempt in range(101):
        number = 1 + (7 * os.getpid() + attempt) % 101
        path = Path(tempfile.gettempdir()) / f'mahmr_test_domain_{number}.lock'
        with path.open('w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    raise AssertionError('all ROS domains are taken by other tests')


class Process:
    """A process of the project, its output in a file."""

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.may_show_tracebacks = False
        with log.open('wb') as file:
            self._process = subprocess.Popen(
                command, env=env, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors='replace')

    def handles(self, number: signal.Signals) -> bool:
        """Whether it has installed a handler of a signal."""
        return bool(int(self._status('SigCgt'), 16) >> (number - 1) & 1)

    def _status(self, name: str) -> str:
        """Return a value that Linux tells of the process."""
        for line in Path(f'/proc/{self._process.pid}/status').read_text().splitlines():
            if line.startswith(f'{name}:'):
                return line.partition(':')[2].strip()
        raise AssertionError(f'the process has ended\n{self.output}')

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def memory_mib(self) -> float:
        """Return what it holds of the machine's memory."""
        return float(self._status('VmRSS').split()[0]) / 1024

    @property
    def threads(self) -> int:
        return int(self._status('Threads'))

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        return self._process.wait(timeout_s)

    def stop(self, number: signal.Signals = signal.SIGINT) -> float:
        """Signal it; return the seconds it took. It must end well."""
        started = time.monotonic()
        if self.running:
            self._process.send_signal(number)
        code = self._process.wait(TIMEOUT_S)
        took = time.monotonic() - started
        assert code == 0, f'ended with {code}:\n{self.output}'
        for word in BAD_WORDS:
            allowed = word == 'Traceback' and self.may_show_tracebacks
            assert allowed or word not in self.output, self.output
        return took

    def kill(self) -> None:
        if self.running:
            self._process.kill()
            self._process.wait()


class Camera:
    """Publishes pictures (and calibrations) as a camera driver would."""

    def __init__(self, rig: Rig, name: str, qos: QoSProfile, suffix: str = 'image_raw') -> None:
        self._rig = rig
        self.images = rig.node.create_publisher(Image, f'/{name}/{suffix}', qos)
        self.infos = rig.node.create_publisher(CameraInfo, f'/{name}/camera_info', qos)

    def wait_for_listener(self) -> None:
        self._rig.wait(lambda: self.images.get_subscription_count() > 0, 'a picture listener')

    def send(
        self,
        people: int = 1,
        fault: int = 0,
        size: tuple[int, int] = (64, 48),
        frame: str = 'cam',
        right_cm: int = 0,
        image_rgb: np.ndarray | None = None,
    ) -> Image:
        """Send a picture that has `people` people in it, as stand_in.py reads it, or this one."""
        message = picture(people, fault, size, frame, right_cm)
        if image_rgb is not None:
            message = rgb_image(Header(frame_id=frame), image_rgb)
        message.header.stamp = self._rig.node.get_clock().now().to_msg()
        self.images.publish(message)
        return message


def picture(
    people: int = 1,
    fault: int = 0,
    size: tuple[int, int] = (64, 48),
    frame: str = 'cam',
    right_cm: int = 0,
) -> Image:
    """Make a picture for the stand-in: its first pixel asks for people, a fault and a place."""
    width, height = size
    rgb = np.full((height, width, 3), 90, np.uint8)
    rgb[0, 0] = (people, fault, right_cm)
    message = Image(width=width, height=height, encoding='rgb8', step=3 * width)
    message.header.frame_id = frame
    message.data = arrays.array('B', rgb.tobytes())
    return message


class Rig:
    """A ROS context of a test, with the processes it starts."""

    def __init__(self, domain: int, folder: Path) -> None:
        self.domain = domain
        self.folder = folder
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node('test_client', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._processes: list[Process] = []
        self._failing: list[Process] = []

    def close(self) -> None:
        """End everything; a process that does not end well fails the test."""
        try:
            for process in self._processes:
                process.stop()
        finally:
            for process in (*self._processes, *self._failing):
                process.kill()
            self._executor.shutdown()
            self.node.destroy_node()
            rclpy.try_shutdown(context=self._context)

    def start(
        self,
        program: list[str],
        parameters: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        remap: Mapping[str, str] | None = None,
        fails: bool = False,
    ) -> Process:
        """Start a Python program with ROS arguments; one that `fails` need not end well."""
        command = [sys.executable, *program, '--ros-args']
        for name, value in (parameters or {}).items():
            text = str(value).lower() if isinstance(value, bool) else str(value).replace("'", '"')
            command += ['-p', f'{name}:={text}']
        for name, value in (remap or {}).items():
            command += ['-r', f'{name}:={value}']
        whole = dict(os.environ, ROS_DOMAIN_ID=str(self.domain), PYTHONUNBUFFERED='1')
        whole.update(env or {})
        whole['PYTHONPATH'] = os.pathsep.join(
            [str(ROOT), str(ROOT / 'ros2_ws'), whole.get('PYTHONPATH', '')]
        )
        log = self.folder / f'process_{len(self._processes) + len(self._failing)}.log'
        process = Process(command, whole, log)
        (self._failing if fails else self._processes).append(process)
        return process

    def start_node(self, active: bool = True, **options: Any) -> Process:
        """Start the node with the stand-in; bring it to `active` if wanted."""
        process = self.start([str(STAND_IN)], **options)
        if active:
            assert self.change_state(CONFIGURE), process.output
            assert self.change_state(ACTIVATE), process.output
        return process

    def wait(self, true: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Serve callbacks until something is true."""
        end = time.monotonic() + timeout_s
        while not true():
            logs = '\n'.join(process.output for process in self._processes)
            assert time.monotonic() < end, f'waited {timeout_s} s for {what}\n{logs}'
            self._executor.spin_once(timeout_sec=0.02)

    def spin(self, seconds: float) -> None:
        """Serve callbacks for a while, where nothing is expected to happen."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def call(
        self, kind: Any, name: str, request: Any, was_done: Callable[[], bool] = lambda: False
    ) -> Any:
        """
        Call a service once it is there; None where it was done but its answer was lost.

        Fast DDS drops the answer to a client that the server has not discovered yet, although the
        client has discovered the server, so a call without an answer is made again.
        """
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, name)
        end = time.monotonic() + TIMEOUT_S
        answer = None
        while answer is None:
            future = client.call_async(request)
            again = min(end, time.monotonic() + ANSWER_S)
            self.wait(lambda f=future, t=again: f.done() or time.monotonic() > t, name)
            if future.done():
                answer = future.result()
            elif was_done():
                break
            else:
                assert time.monotonic() < end, f'waited {TIMEOUT_S} s for an answer of {name}'
        self.node.destroy_client(client)
        return answer

    def change_state(self, transition: int, node: str = '/mahmr') -> bool:
        before = self.state(node)
        request = ChangeState.Request()
        request.transition.id = transition
        answer = self.call(
            ChangeState,
            f'{node}/change_state',
            request,
            was_done=lambda: self.state(node) != before,
        )
        return answer is None or bool(answer.success)

    def state(self, node: str = '/mahmr') -> str:
        answer = self.call(GetState, f'{node}/get_state', GetState.Request())
        return str(answer.current_state.label)

    def set(  # noqa: A003
        self, node: str = '/mahmr', **values: Any
    ) -> SetParametersResult:
        """Set parameters; return the first refusal, or else a success."""
        request = SetParameters.Request()
        request.parameters = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        results = self.call(SetParameters, f'{node}/set_parameters', request).results
        return next((result for result in results if not result.successful), results[0])

    def describe(self, names: list[str], node: str = '/mahmr') -> Any:
        request = DescribeParameters.Request(names=names)
        return self.call(DescribeParameters, f'{node}/describe_parameters', request).descriptors

    def collect(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """Subscribe, wait for a publisher, and return the list that messages go to."""
        messages: list[Any] = []
        self.node.create_subscription(kind, topic, messages.append, qos)
        self.wait(lambda: self.node.count_publishers(topic) > 0, f'a publisher of {topic}')
        return messages

    def listen(self, topics: Mapping[str, str], env: Mapping[str, str]) -> Callable[[str], Any]:
        """
        Start a process that hears topics of types that only `env` has.

        What comes back gives the messages of a topic so far.
        """
        listener = self.start([str(LISTENER), *(f'{t}={k}' for t, k in topics.items())], env=env)

        def heard(topic: str) -> list[dict[str, Any]]:
            lines = listener.output.splitlines(keepends=True)
            messages = [json.loads(line) for line in lines if line.endswith('}\n')]
            return [message for message in messages if message['topic'] == topic]

        for topic in topics:
            self.wait(lambda t=topic: self.node.count_subscribers(t) > 0, f'a listener of {topic}')
        return heard

    def humans(self, camera: str = 'camera') -> list[HumanArray]:
        return self.collect(HumanArray, f'/mahmr/{camera}/humans')

    def camera(
        self, name: str = 'camera', qos: QoSProfile = RELIABLE, suffix: str = 'image_raw'
    ) -> Camera:
        """Make a camera and wait until the node listens to it."""
        camera = Camera(self, name, qos, suffix)
        camera.wait_for_listener()
        return camera

    def age_s(self, message: Any) -> float:
        """Return how old a result is now, by the stamp of its picture."""
        stamp = message_stamp(message)
        now = self.node.get_clock().now().nanoseconds
        return float(now - stamp.nanosec - stamp.sec * 10**9) * 1e-9

    def diagnostics(self) -> list[DiagnosticArray]:
        return self.collect(DiagnosticArray, '/diagnostics')

    def exchange(self, camera: Camera, results: list[Any], **picture_options: Any) -> Any:
        """
        Send a picture and return what is published for it.

        Both ends are matched before; where the far end of a match lags behind, the picture is
        sent again.
        """
        for _ in range(5):
            before = len(results)
            stamp = camera.send(**picture_options).header.stamp
            end = time.monotonic() + TIMEOUT_S / 5
            while time.monotonic() < end:
                self._executor.spin_once(timeout_sec=0.02)
                for message in results[before:]:
                    if message_stamp(message) == stamp:
                        return message
        raise AssertionError('no result\n' + '\n'.join(p.output for p in self._processes))


class Caller:
    """A client of a service that is there, for many calls."""

    def __init__(self, rig: Rig, kind: Any, name: str) -> None:
        self._rig, self._name = rig, name
        self._client = rig.node.create_client(kind, name)
        rig.wait(self._client.service_is_ready, name)

    def __call__(self, request: Any) -> tuple[Any, float]:
        """Return the answer, and after how many seconds it came."""
        started = time.monotonic()
        future = self._client.call_async(request)
        self._rig.wait(future.done, f'an answer of {self._name}')
        return future.result(), time.monotonic() - started


def values(diagnostics: list[DiagnosticArray], camera: str) -> dict[str, str]:
    """Return the newest values that the diagnostics tell about a camera."""
    for array in reversed(diagnostics):
        for status in array.status:
            if status.name.endswith(f': {camera}'):
                return {pair.key: pair.value for pair in status.values}
    return {}


def message_stamp(message: Any) -> Any:
    """Return when the picture of a result was taken (a MarkerArray's is in its markers)."""
    if hasattr(message, 'markers'):
        return message.markers[0].header.stamp
    return message.header.stamp


def compressed(image_bytes: bytes, kind: str = 'jpeg') -> CompressedImage:
    """Make a compressed picture message."""
    message = CompressedImage(format=kind)
    message.data = arrays.array('B', image_bytes)
    return message
