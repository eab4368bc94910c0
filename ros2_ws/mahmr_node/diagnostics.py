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

"""What the node tells of itself on /diagnostics: per camera rates, ages, drops, faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from mahmr_node.frame_slot import FrameSlot
from mahmr_node.gpu import gpu_memory
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.node import Node

PERIOD_S = 1.0

# For timers: the time of a bag (use_sim_time) stands still before it begins and where it pauses.
STEADY = Clock(clock_type=ClockType.STEADY_TIME)

# An error shows for at least this long, and is logged at most this often.
ERROR_SHOWN_S = 5.0

# Without a result for this long, in an active node, something upstream is wrong.
STALE_S = 3.0


@dataclass(frozen=True)
class Timing:
    """
    Seconds that one frame took: in the slot, in each step, and from its stamp to the end.

    Frames that wait together are one batch: each is as long in preparation, and in the network,
    as all of them.
    """

    waiting_s: float
    preparing_s: float
    network_s: float
    tracking_s: float
    publishing_s: float
    age_s: float


class CameraStatistics:
    """What happened to the frames of one camera; the worker writes, the timer reads."""

    def __init__(self, name: str, slot: FrameSlot) -> None:
        self.name = name
        self.slot = slot
        self.published = 0
        self.failed = 0
        self.people = 0
        self.calibration = ''
        self.timing: Timing | None = None
        self.drawing_s: float | None = None
        self.last_result_s = time.monotonic()
        self.interval_s = 0.0
        self.last_error = ''
        self._last_error_s = float('-inf')
        self._last_logged_s = float('-inf')

    def succeed(self, people: int, calibration: str, timing: Timing) -> None:
        """Count one published frame."""
        now = time.monotonic()
        self.interval_s = now - self.last_result_s if self.published else 0.0
        self.last_result_s = now
        self.published += 1
        self.people, self.calibration, self.timing = people, calibration, timing

    def fail(self, error: str) -> bool:
        """Count one lost frame; return whether it is time to log."""
        now = time.monotonic()
        self.failed += 1
        self.last_error, self._last_error_s = error, now
        log = now - self._last_logged_s > ERROR_SHOWN_S
        if log:
            self._last_logged_s = now
        return log

    def status(self, rate_hz: float) -> tuple[bytes, str, dict[str, str]]:
        """Return level, message and values, as DiagnosticStatus has them."""
        now = time.monotonic()
        values = {
            'rate (Hz)': f'{rate_hz:.1f}',
            'frames received': str(self.slot.received),
            'frames dropped': str(self.slot.dropped),
            'frames lost on the way': str(self.slot.lost),
            'frames failed': str(self.failed),
            'results': str(self.published),
            'people': str(self.people),
            'calibration': self.calibration,
            'last error': self.last_error,
        }
        if self.timing is not None:
            for key, seconds in vars(self.timing).items():
                values[f'{key.removesuffix("_s")} (ms)'] = f'{1000 * seconds:.1f}'
        if self.drawing_s is not None:
            values['drawing (ms)'] = f'{1000 * self.drawing_s:.1f}'
        if now - self._last_error_s < ERROR_SHOWN_S:
            return DiagnosticStatus.ERROR, self.last_error, values
        if now - self.last_result_s > STALE_S:
            return DiagnosticStatus.WARN, 'no frames are coming', values
        return DiagnosticStatus.OK, f'{rate_hz:.1f} Hz, {self.people} people', values


class Diagnostics:
    """Publishes a status of the node and of each camera once a second, in every state."""

    def __init__(
        self,
        node: Node,
        state: Callable[[], str],
        cameras: Callable[[], Sequence[CameraStatistics]],
    ) -> None:
        """`state` names the lifecycle state; `cameras` are those at work now."""
        self._node = node
        self._state = state
        self._cameras = cameras
        self._counts: dict[str, tuple[float, int]] = {}
        self.transition_error = ''
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        node.create_timer(PERIOD_S, self.publish, clock=STEADY)

    def publish(self) -> None:
        """Publish now."""
        name = self._node.get_fully_qualified_name().lstrip('/')
        level, message = DiagnosticStatus.OK, self._state()
        if self.transition_error:
            level, message = DiagnosticStatus.ERROR, self.transition_error
        array = DiagnosticArray(
            status=[_status(name, level, message, {'state': self._state(), **gpu_memory()})]
        )
        array.header.stamp = self._node.get_clock().now().to_msg()
        for camera in self._cameras():
            status = camera.status(self._rate_hz(camera))
            array.status.append(_status(f'{name}: {camera.name}', *status))
        self._publisher.publish(array)

    def _rate_hz(self, camera: CameraStatistics) -> float:
        now, published = time.monotonic(), camera.published
        last_s, last_published = self._counts.get(camera.name, (now - PERIOD_S, 0))
        self._counts[camera.name] = (now, published)
        return max(published - last_published, 0) / max(now - last_s, 1e-3)


def _status(name: str, level: bytes, message: str, values: dict[str, str]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=name, message=message, hardware_id='mahmr', values=pairs
    )
