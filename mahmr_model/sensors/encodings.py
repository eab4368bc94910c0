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

"""Picture messages to RGB arrays: encodings by name, padded rows, compressed pictures."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import ImageArray
import numpy as np

# Bytes a pixel, and OpenCV's conversion to RGB (None: it is RGB). The names that give no meaning
# to the channels (8UC3) come from OpenCV, whose order is blue, green, red.
ENCODINGS: dict[str, tuple[int, int | None]] = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': (1, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGRBG2RGB),
    '8UC1': (1, cv2.COLOR_GRAY2RGB),
    '8UC3': (3, cv2.COLOR_BGR2RGB),
    '8UC4': (4, cv2.COLOR_BGRA2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUYV),
}


class ImageMessage(Protocol):
    """What is read of a sensor_msgs/Image, whichever library made it."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedMessage(Protocol):
    """What is read of a sensor_msgs/CompressedImage."""

    format: str  # noqa: A003
    data: Any


def image_to_rgb(message: ImageMessage) -> ImageArray:
    """
    Return the picture as RGB (height, width, 3); it may share the message's memory.

    :raises UserError: as `checked_rows` does.
    """
    rows = checked_rows(message)
    channels, conversion = ENCODINGS[message.encoding]
    image = rows.reshape(message.height, message.width, channels)
    if conversion is None:
        return image
    return np.asarray(cv2.cvtColor(image, conversion), dtype=np.uint8)


def checked_rows(message: ImageMessage) -> ImageArray:
    """
    Return the bytes (height, width x bytes a pixel), without what `step` adds to a row.

    :raises UserError: for an encoding that is not in `ENCODINGS`, big-endian data, a picture
        without pixels, or data that does not fill its size.
    """
    _check(message)
    used = message.step * message.height
    rows = np.frombuffer(message.data, np.uint8, used).reshape(message.height, message.step)
    width = message.width * ENCODINGS[message.encoding][0]
    return np.ascontiguousarray(rows[:, :width])


def compressed_to_rgb(message: CompressedMessage) -> ImageArray:
    """
    Decode JPEG, PNG and what else OpenCV reads, as it was taken (EXIF turns nothing).

    :raises UserError: for data that is no picture, or one that OpenCV finds too large.
    """
    data = np.frombuffer(message.data, np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    bgr, reason = None, ''
    try:
        if len(data):
            bgr = cv2.imdecode(data, flags)
    except cv2.error as error:
        reason = f' ({error.err})'
    if bgr is None:
        raise UserError(
            f'A compressed picture of {len(data)} bytes and format "{message.format}" cannot be '
            f'decoded{reason}; JPEG and PNG are read.'
        )
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _check(message: ImageMessage) -> None:
    """Refuse what cannot be read, and say why."""
    size = f'{message.width}x{message.height}'
    if message.encoding not in ENCODINGS:
        raise UserError(
            f'The picture has the encoding "{message.encoding}", which is not one of '
            f'{", ".join(ENCODINGS)}; have the camera driver or image_proc convert it.'
        )
    if message.is_bigendian:
        raise UserError(
            f'The picture ({message.encoding}) is marked big-endian; only little-endian pictures '
            'are read: have the camera driver send them with is_bigendian 0.'
        )
    if message.width == 0 or message.height == 0:
        raise UserError(f'The picture has no pixels ({size}); look at the camera driver.')
    row = message.width * ENCODINGS[message.encoding][0]
    if message.step < row or len(message.data) < message.step * message.height:
        raise UserError(
            f'A {message.encoding} picture of {size} has rows of at least {row} bytes, but this '
            f'one has step {message.step} and {len(message.data)} bytes in all.'
        )
    if message.encoding in ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv') and message.width % 2:
        raise UserError(f'A {message.encoding} picture has an even width, but this one is {size}.')
