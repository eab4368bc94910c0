"""The thread that takes the newest frames of all cameras through the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import threading
import time
import traceback
from typing import Any, Protocol, TYPE_CHECKING

from mahmr_model.errors import UserError
from mahmr_model.types import People
from mahmr_node.camera_input import CameraInput
from mahmr_node.diagnostics import CameraStatistics, Timing
from mahmr_node.frame_slot import Frame, FrameSlot
from mahmr_node.inference import Inference
from mahmr_node.messages import Picture, Result
from mahmr_node.parameters import Settings

if TYPE_CHECKING:
    from mahmr_node.camera_output import CameraOutput


class TrackerLike(Protocol):
    """What gives people their ids: `mahmr_model.tracking.Tracker`."""

    def update(self, people: People, stamp_s: float) -> People:
        """Return the same people with ids."""


@dataclass(frozen=True)
class CameraLine:
    """Everything that one camera's frames pass through."""

    slot: FrameSlot
    input: CameraInput
    output: CameraOutput
    tracker: TrackerLike
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
        with self._arrived:
            self._arrived.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; whether it has."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

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
                self._finish(line, picture, people, settings)
            except Exception as error:
                self._report(line, error)
                continue
            timing = Timing(
                waiting_s=taken_s - picture.arrival_s,
                preparing_s=prepared_s - taken_s,
                network_s=network_s,
                publishing_s=time.monotonic() - started_s,
                age_s=self._now_s() - picture.stamp_s,
            )
            line.statistics.succeed(len(people), picture.lens.calibration.name.lower(), timing)

    def _finish(
        self, line: CameraLine, picture: Picture, people: People, settings: Settings
    ) -> None:
        """Track and publish the people of one picture."""
        if settings.tracking:
            people = line.tracker.update(people, picture.stamp_s)
        result = Result(picture, people)
        for publish, message in line.output.messages(result, settings, line.statistics.interval_s):
            # Only the sending is under the lock: drawing takes longer than a lifecycle
            # transition may wait.
            with self._publishing:
                if self._stopped:
                    return
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
