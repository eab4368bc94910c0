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

"""The newest frame of a camera: a new one replaces what nobody has taken yet."""

from __future__ import annotations

from dataclasses import dataclass
import threading
import time
from typing import Any


@dataclass(frozen=True)
class Frame:
    """A picture message as it came, and when (seconds of the monotonic clock)."""

    message: Any
    arrival_s: float


class FrameSlot:
    """Holds one frame; all methods may be called from any thread."""

    def __init__(self, arrived: threading.Condition) -> None:
        """Use `arrived`, which cameras share, to wake whoever waits for frames."""
        self._arrived = arrived
        self._frame: Frame | None = None
        self._number: int | None = None
        self.received = 0
        self.dropped = 0
        self.lost = 0
        """Sent, but never here: lost on the way, or passed over while the process was busy."""

    def put(self, message: Any, number: int | None = None) -> None:
        """
        Keep this message; one that still waits is dropped and counted.

        `number` counts the messages of one publisher: those missing are lost ones.
        """
        with self._arrived:
            if number is not None and self._number is not None:
                self.lost += max(number - self._number - 1, 0)
            self._number = number
            self.received += 1
            if self._frame is not None:
                self.dropped += 1
            self._frame = Frame(message, time.monotonic())
            self._arrived.notify_all()

    def take(self) -> Frame | None:
        """Empty the slot; None where nothing waits."""
        with self._arrived:
            frame, self._frame = self._frame, None
            return frame

    @property
    def waiting(self) -> bool:
        """Whether a frame is there to be taken."""
        return self._frame is not None
