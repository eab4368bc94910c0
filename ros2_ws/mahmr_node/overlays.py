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

"""The thread that draws people into their pictures, so that no other result waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import threading
import time
from typing import Any, TYPE_CHECKING

from mahmr_node.messages import Result

if TYPE_CHECKING:
    from mahmr_node.worker import CameraLine

Publish = Callable[[Callable[[Any], None], Any], None]
Report = Callable[['CameraLine', Exception], None]


@dataclass(frozen=True)
class _Waiting:
    """A result to be drawn."""

    line: CameraLine
    result: Result


class Overlays:
    """
    Draws the newest result of each camera that somebody looks at.

    Drawing may take longer than the time between results: those that come meanwhile are passed
    over, except the newest.
    """

    def __init__(self, publish: Publish, report: Report) -> None:
        """Start the thread; `publish` sends a message with its call, `report` tells of faults."""
        self._publish = publish
        self._report = report
        self._waiting: dict[str, _Waiting] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name='mahmr overlays', daemon=True)
        self._thread.start()

    def put(self, line: CameraLine, result: Result) -> None:
        """Have this drawn instead of what still waits of the same camera."""
        with self._changed:
            self._waiting[line.statistics.name] = _Waiting(line, result)
            self._changed.notify()

    def stop(self) -> None:
        """Draw nothing more; returns at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._waiting)
                if self._stopped:
                    return
                # The camera that waits longest; one that waits again goes to the end.
                waiting = self._waiting.pop(next(iter(self._waiting)))
            try:
                started_s = time.monotonic()
                self._publish(*waiting.line.output.overlay(waiting.result))
                waiting.line.statistics.drawing_s = time.monotonic() - started_s
            except Exception as error:
                self._report(waiting.line, error)
