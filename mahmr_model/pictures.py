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

"""Pictures and videos from files, as RGB arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
import warnings

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import ImageArray
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
COUNTED = ('.mp4', '.m4v', '.mov', '.avi')
"""Videos that say how many frames they have; Matroska's only say how long they are."""


def read_picture(path: Path) -> ImageArray:
    """
    Read a picture as RGB uint8 (H, W, 3), turned as its EXIF orientation says.

    Grey, palette, transparent and 16-bit pictures are converted. Raises UserError.
    """
    try:
        with warnings.catch_warnings():
            # A large picture is no attack here: the user named it.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image = ImageOps.exif_transpose(file)
                if image.mode in ('I', 'F'):
                    raise ValueError('32 bits a pixel; convert it to 8 or 16')
                if image.mode.startswith('I;16'):
                    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                return np.asarray(image.convert('RGB'))
    except FileNotFoundError as error:
        raise UserError(f'{path}: there is no such picture; check the path.') from error
    except UnidentifiedImageError as error:
        raise UserError(
            f'{path}: this is not a picture that can be read, whatever its name says; expected '
            f'{", ".join(SUFFIXES)} of 8 or 16 bits a channel.'
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f'{path}: the picture cannot be read ({error}); replace it.') from error


def list_pictures(inputs: Sequence[Path]) -> list[Path]:
    """Return the pictures named by files and folders, a folder's sorted by name, each once."""
    pictures: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found = sorted(
                p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()
            )
            if not found:
                raise UserError(
                    f'{path}: no pictures in this folder; expected {", ".join(SUFFIXES)}.'
                )
            pictures += found
        elif path.is_file():
            pictures.append(path)
        else:
            raise UserError(f'{path}: there is no such file or folder; check the path.')
    return list({path.resolve(): path for path in pictures}.values())


class Video:
    """The frames of a video file, in order."""

    def __init__(self, path: Path) -> None:
        """Open a video; raises UserError where it is missing or unreadable."""
        if not path.is_file():
            raise UserError(f'{path}: there is no such video; check the path.')
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if not self._capture.isOpened() or self.width <= 0 or self.height <= 0:
            raise UserError(
                f'{path}: this video cannot be read; it is truncated, or no video that OpenCV '
                'knows: convert it anew, for example with ffmpeg to .mp4.'
            )
        self.frames_per_s = self._capture.get(cv2.CAP_PROP_FPS) or 30.0
        self.announced_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        """How many frames the file says it has, or by its length should; 0 for unknown."""
        self.is_counted = path.suffix.lower() in COUNTED
        """Whether the file itself says how many, and not only how long it is, sound and all."""

    def __iter__(self) -> Iterator[ImageArray]:
        """Yield frames as RGB uint8 (H, W, 3) until the file ends."""
        while True:
            read, frame = self._capture.read()
            if not read:
                return
            yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def is_truncated(self, count: int) -> bool:
        """
        Return whether it should have had more frames than the `count` that could be read.

        Where it is only known how long it is, sound may go on for a second, or a twentieth.
        """
        spare = 0 if self.is_counted else max(self.frames_per_s, self.announced_frames / 20)
        return count + spare < self.announced_frames

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


class VideoWriter:
    """Writes RGB frames of one size into an .mp4 file."""

    def __init__(self, path: Path, frames_per_s: float) -> None:
        self._path = path
        self._frames_per_s = frames_per_s
        self._writer: cv2.VideoWriter | None = None
        self.frames = 0
        """How many frames were given."""

    def write(self, image_rgb: ImageArray) -> None:
        """Add a frame; the first one sets the size."""
        height, width = (side - side % 2 for side in image_rgb.shape[:2])  # codecs want even
        if self._writer is None:
            codec = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(
                str(self._path), codec, self._frames_per_s, (width, height)
            )
            if not self._writer.isOpened():
                raise UserError(f'{self._path}: a video cannot be written here; check the folder.')
        self.frames += 1
        self._writer.write(cv2.cvtColor(image_rgb[:height, :width], cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def video_writer(path: Path, frames_per_s: float) -> Iterator[VideoWriter]:
    """
    Give a writer that is finished whatever happens.

    OpenCV does not tell a full disk, so what was written is counted; raises UserError.
    """
    writer = VideoWriter(path, frames_per_s)
    try:
        yield writer
    finally:
        writer.close()
    if writer.frames and Video(path).announced_frames != writer.frames:
        raise UserError(f'{path}: the video could not be written whole; free space.')


def write_picture(path: Path, image_rgb: ImageArray) -> None:
    """Write an RGB picture in the format that the suffix says."""
    Image.fromarray(image_rgb).save(path)
