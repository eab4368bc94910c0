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

"""Picture messages to RGB arrays, by cv_bridge where it works and by OpenCV elsewhere."""

from __future__ import annotations

import array
from typing import Any

from mahmr_model.sensors.encodings import (
    checked_rows,
    compressed_to_rgb,
    ENCODINGS,
    image_to_rgb,
)
from mahmr_model.types import ImageArray
import numpy as np
from rclpy.logging import get_logger
from sensor_msgs.msg import CompressedImage, Image

__all__ = ['ENCODINGS', 'to_rgb']

# What cv_bridge turns into rgb8; not every version of it does all of these.
CV_BRIDGE = ('bgr8', 'rgba8', 'bgra8', 'mono8', 'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8')


def _find_bridge() -> Any | None:
    """
    Return a cv_bridge that works, or None.

    That of a ROS installation is built for one NumPy and fails with another, which a virtual
    environment beside it may bring.
    """
    try:
        from cv_bridge import CvBridge

        bridge = CvBridge()
        probe = Image(height=1, width=1, step=3, encoding='bgr8', data=array.array('B', bytes(3)))
        bridge.imgmsg_to_cv2(probe, 'rgb8')
    except Exception as error:
        get_logger('mahmr').info(f'OpenCV alone converts pictures, cv_bridge fails here: {error}')
        return None
    return bridge


_bridge = _find_bridge()


def to_rgb(message: Image | CompressedImage) -> ImageArray:
    """
    Return the picture as RGB (height, width, 3); it may share the message's memory.

    :raises UserError: for what `mahmr_model.sensors.encodings` cannot read.
    """
    if isinstance(message, CompressedImage):
        return compressed_to_rgb(message)
    if _bridge is None or message.encoding not in CV_BRIDGE:
        return image_to_rgb(message)
    rows = checked_rows(message)
    if message.step != rows.shape[1]:
        message.data = array.array('B', rows.tobytes())
        message.step = rows.shape[1]
    return np.asarray(_bridge.imgmsg_to_cv2(message, 'rgb8'), dtype=np.uint8)
