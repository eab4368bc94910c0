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

"""A bag of pictures in; a bag of people, and pictures of them, out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mahmr_model.bag.messages import humans, markers
from mahmr_model.bag.reader import (
    BagCamera,
    BagPicture,
    BagReader,
    BrokenBag,
    Rectification,
)
from mahmr_model.bag.writer import bag_writer, BagWriter
from mahmr_model.errors import UserError
from mahmr_model.files import folder_written_beside
from mahmr_model.pictures import video_writer, VideoWriter
from mahmr_model.predictor import Predictor
from mahmr_model.render import draw_panel
from mahmr_model.results import frame_stem, save_people
from mahmr_model.sensors.calibration import Calibration, Lens, lens_of, Undistorter
from mahmr_model.tracking import Smoother, Tracker
from mahmr_model.types import Camera, ImageArray, People
from tqdm import tqdm

DEFAULT_FRAME = 'camera_optical_frame'
"""Of results whose picture names no frame, as the node has it."""

MARKER_LIFETIME_S = 1.0
"""Markers vanish after this, or after three pictures where that is longer."""


@dataclass(frozen=True)
class BagJob:
    """What is to be done with a bag."""

    source: Path
    out: Path
    """A folder that is not there yet."""
    topics: tuple[str, ...] = ()
    """Topics of pictures; empty: one for each camera."""
    rectification: Rectification = 'auto'
    lens: Callable[[int, int], Camera | None] = lambda width, height: None
    """The true lens of pictures of a size, where camera_info is not to be used."""
    smooth: bool = False
    pictures: bool = True
    """Whether pictures, arrays and videos are written beside the bag."""


def process_bag(job: BagJob, load: Callable[[], Predictor], say: Callable[[str], None]) -> bool:
    """
    Do a job; whether every picture was read and understood.

    The folder `job.out` appears when all is done. `load` gives the predictor, once the bag turned
    out to be one; `say` tells the user of each picture that is left out, and of the lens.

    :raises UserError: where there is nothing to write.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(BagReader(job.source))
        cameras = reader.cameras(job.topics, job.rectification)
        out = stack.enter_context(folder_written_beside(job.out))
        predictor = load()
        writer = stack.enter_context(bag_writer(out / 'bag', reader.storage))
        lines = {
            camera.image_topic: stack.enter_context(
                _line(job, camera, reader.duration_s, predictor, writer, out, say)
            )
            for camera in cameras
        }
        whole = _process_all(reader, lines, say)
        done = sum(line.done for line in lines.values())
        if done == 0:
            raise UserError(f'{job.source}: no picture of this bag could be used.')
    say(f'{done} pictures of {", ".join(c.name for c in cameras)} done; results in {job.out}')
    return whole and not any(line.failed for line in lines.values())


def _process_all(reader: BagReader, lines: dict[str, _Line], say: Callable[[str], None]) -> bool:
    """Process what can be read; whether that was everything."""
    total = sum(line.camera.pictures for line in lines.values())
    pictures = reader.pictures([line.camera for line in lines.values()])
    try:
        for picture in tqdm(pictures, total=total or None, unit='picture', disable=None):
            lines[picture.camera.image_topic].process(picture)
    except BrokenBag as error:
        say(f'error: {error}')
        return False
    return True


@contextmanager
def _line(
    job: BagJob,
    camera: BagCamera,
    duration_s: float,
    predictor: Predictor,
    writer: BagWriter,
    out: Path,
    say: Callable[[str], None],
) -> Iterator[_Line]:
    """Give what processes one camera, its video finished whatever happens."""
    rate_hz = (camera.pictures - 1) / duration_s if duration_s > 0 else 0.0
    line = _Line(job, camera, predictor, writer, out, say, rate_hz)
    if not job.pictures:
        yield line
        return
    with video_writer(out / f'{camera.name}.mp4', min(max(rate_hz, 1.0), 120.0)) as video:
        line.video = video
        yield line


class _Line:
    """Everything that the pictures of one camera pass through."""

    def __init__(
        self,
        job: BagJob,
        camera: BagCamera,
        predictor: Predictor,
        writer: BagWriter,
        out: Path,
        say: Callable[[str], None],
        rate_hz: float,
    ) -> None:
        self.camera = camera
        self.video: VideoWriter | None = None
        self.done = 0
        self.failed = 0
        self._job = job
        self._predictor = predictor
        self._writer = writer
        self._out = out
        self._say = say
        self._lifetime_s = max(MARKER_LIFETIME_S, 3 / rate_hz if rate_hz > 0 else 0.0)
        self._undistort = Undistorter()
        self._tracker = Tracker()
        self._smoother = Smoother(predictor.repose) if job.smooth else None
        self._said: set[str] = set()

    def process(self, picture: BagPicture) -> None:
        """Find the people of a picture and write them; a bad one is told and left out."""
        number = self.done + self.failed
        try:
            image_rgb = picture.rgb()
            lens = self._lens(picture, image_rgb)
            image_rgb = self._undistort(image_rgb, lens)
            people = self._predictor(image_rgb, lens.camera)
        except UserError as error:
            self.failed += 1
            self._say(f'error: {self.camera.image_topic}, picture {number}: {error}')
            return
        people = self._tracker.update(people, picture.stamp_s)
        if self._smoother is not None:
            people = self._smoother.update(people, picture.stamp_s)
        self._write(picture, people, lens)
        if self.video is not None:
            panel = draw_panel(image_rgb, people)
            source = f'{self._job.source}#{self.camera.image_topic}#{number}'
            stem = frame_stem(self._out / 'pictures' / self.camera.name, number)
            save_people(stem, people, source, panel)
            self.video.write(panel)
        self.done += 1

    def _lens(self, picture: BagPicture, image_rgb: ImageArray) -> Lens:
        """Return the lens that was named, or that of the newest camera_info."""
        height, width = image_rgb.shape[:2]
        named = self._job.lens(width, height)
        if named is not None:
            return Lens(Calibration.IGNORED, named)
        lens = lens_of(picture.info, width, height, rectified=self.camera.rectified)
        if lens.note:
            note = lens.note
            if lens.calibration is Calibration.MISSING:
                note = 'the bag has no camera_info beside this topic'
            estimated = '' if lens.camera else ': the lens is estimated from the pictures'
            self._say_once(f'{note}{estimated}')
        return lens

    def _write(self, picture: BagPicture, people: People, lens: Lens) -> None:
        header = self._header(picture.message.header)
        name = self.camera.name
        topic = f'/mahmr/{name}'
        self._writer.write(f'{topic}/humans', humans(people, header, lens), picture.time_ns)
        marks = markers(people, header, name, self._lifetime_s)
        self._writer.write(f'{topic}/markers', marks, picture.time_ns)

    def _header(self, header: Any) -> Any:
        if header.frame_id:
            return header
        self._say_once(f'the pictures name no frame: "{DEFAULT_FRAME}" is used')
        return replace(header, frame_id=DEFAULT_FRAME)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(f'{self.camera.image_topic}: {text}')
