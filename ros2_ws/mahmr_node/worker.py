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

"""The thread that takes the newest frames of all cameras through the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import threading
import time
import traceback
from typing import Any

from mahmr_model.errors import UserError
from mahmr_model.tracking import Smoother, SmootherConfig, Tracker
from mahmr_model.types import People
from mahmr_node.camera_input import CameraInput
from mahmr_node.camera_output import CameraOutput
from mahmr_node.diagnostics import CameraStatistics, Timing
from mahmr_node.frame_slot import Frame, FrameSlot
from mahmr_node.inference import Inference
from mahmr_node.messages import Picture, Result
from mahmr_node.overlays import Overlays
from mahmr_node.parameters import Settings


@dataclass(frozen=True)
class CameraLine:
    """Everything that one camera's frames pass through."""

    slot: FrameSlot
    input: CameraInput  # noqa: A003
    output: CameraOutput
    tracker: Tracker
    smoother: Smoother
    statistics: CameraStatistics


class Worker:
    """
    Runs while the node is active: waiting frames of all cameras make one batch.

    A camera that stalls has no frame in the batch and holds up none.
    """

    def __init__(
        self,
        lines: Sequence[CameraLine],
        arrived: threading.Condition,
        inference: Inference,
        settings: Callable[[], Settings],
        logger: Any,
        now_s: Callable[[], float],
    ) -> None:
        """Start the thread; `now_s` is the clock of the frames' stamps, in seconds."""
        self._lines = lines
        self._arrived = arrived
        self._inference = inference
        self._settings = settings
        self._logger = logger
        self._now_s = now_s
        self._stopped = False
        self._publishing = threading.Lock()
        self._overlays = Overlays(self._send, self._report)
        self._thread = threading.Thread(target=self._run, name='mahmr worker', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """
        Publish nothing from now on; returns at once.

        Frames that are in the network come out of it into nothing: a lifecycle transition does
        not wait for them.
        """
        with self._publishing:
            self._stopped = True
        self._overlays.stop()
        with self._arrived:
            self._arrived.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads to end, for so long each; whether they have."""
        self._thread.join(timeout_s)
        return self._overlays.join(timeout_s) and not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(
                    lambda: self._stopped or any(line.slot.waiting for line in self._lines)
                )
            if self._stopped:
                return
            try:
                self._process([(line, line.slot.take()) for line in self._lines])
            except Exception:
                # Faults of a frame are dealt with where they arise; this is a fault of ours, and
                # the node must outlive it all the same.
                self._logger.error(f'a batch of frames failed:\n{traceback.format_exc()}')

    def _process(self, frames: list[tuple[CameraLine, Frame | None]]) -> None:
        """Take one batch from messages to messages."""
        settings = self._settings()
        batch: list[tuple[CameraLine, Picture]] = []
        taken_s = time.monotonic()
        for line, frame in frames:
            if frame is not None:
                try:
                    batch.append((line, line.input.prepare(frame)))
                except Exception as error:
                    self._report(line, error)
        if not batch:
            return
        prepared_s = time.monotonic()
        results = self._inference.run(
            [picture.image_rgb for _, picture in batch],
            [picture.lens.camera for _, picture in batch],
            settings.confidence_threshold,
        )
        network_s = time.monotonic() - prepared_s
        for (line, picture), people in zip(batch, results, strict=True):
            started_s = time.monotonic()
            if isinstance(people, Exception):
                self._report(line, people)
                continue
            try:
                people = follow(line, people, picture.stamp_s, settings)
                tracked_s = time.monotonic()
                self._publish(line, Result(picture, people), settings)
            except Exception as error:
                self._report(line, error)
                continue
            timing = Timing(
                waiting_s=taken_s - picture.arrival_s,
                preparing_s=prepared_s - taken_s,
                network_s=network_s,
                tracking_s=tracked_s - started_s,
                publishing_s=time.monotonic() - tracked_s,
                age_s=self._age_s(picture),
            )
            line.statistics.succeed(len(people), picture.lens.calibration.name.lower(), timing)

    def _age_s(self, picture: Picture) -> float:
        """Return how long ago a picture was taken, or arrived where it has no time."""
        now_s = self._now_s() if picture.is_stamped else time.monotonic()
        return now_s - picture.stamp_s

    def _publish(self, line: CameraLine, result: Result, settings: Settings) -> None:
        """Publish the people of one picture."""
        if line.output.wants_overlay:
            self._overlays.put(line, result)
        for sending in line.output.messages(result, settings, line.statistics.interval_s):
            self._send(*sending)

    def _send(self, publish: Callable[[Any], None], message: Any) -> None:
        """
        Send a message, unless the node has been deactivated meanwhile.

        Only this is under the lock: a lifecycle transition cannot wait for the building.
        """
        with self._publishing:
            if not self._stopped:
                publish(message)

    def _report(self, line: CameraLine, error: Exception) -> None:
        """Show a lost frame in the diagnostics and, from time to time, in the log."""
        if self._stopped:
            # The publishers may be gone already, and nobody waits for this frame.
            return
        kind = '' if isinstance(error, UserError) else f'{type(error).__name__}: '
        text = f'{line.statistics.name}: a frame is lost: {kind}{error}'
        if line.statistics.fail(text):
            if kind:
                text += '\n' + ''.join(traceback.format_exception(error))
            self._logger.error(text)


def follow(line: CameraLine, people: People, stamp_s: float, settings: Settings) -> People:
    """Return people with their ids over time, and smoothed, where the parameters say so."""
    if settings.tracking:
        people = line.tracker.update(people, stamp_s)
    if settings.smoothing:
        line.smoother.config = smoother_config(settings)
        return line.smoother.update(people, stamp_s)
    line.smoother.reset()
    return people


def smoother_config(settings: Settings) -> SmootherConfig:
    """Return the filters that the parameters ask for."""
    chosen, gain = SmootherConfig(), settings.smoothing_speed_gain
    cutoffs_hz = {
        'across': settings.smoothing_across_hz,
        'along': settings.smoothing_along_hz,
        'rotation': settings.smoothing_rotation_hz,
    }
    filters = {
        name: replace(
            getattr(chosen, name),
            min_cutoff_hz=cutoff_hz,
            speed_gain=gain * getattr(chosen, name).speed_gain,
        )
        for name, cutoff_hz in cutoffs_hz.items()
    }
    return replace(chosen, shape_cutoff_hz=settings.smoothing_shape_hz, **filters)
