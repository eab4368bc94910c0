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

"""
`ros2 run mahmr video_camera`: a video file or a folder of pictures plays as a camera.

Publishes <name>/image_raw (bgr8) and <name>/camera_info with the same stamp. Without a known
lens (`horizontal_fov_deg` 0) camera_info says so: its matrix is zero.
"""

from __future__ import annotations

import array
from collections.abc import Iterator
import math
from pathlib import Path
import threading
import time

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import Camera, ImageArray
from mahmr_node.parameters import declare, Spec
from mahmr_node.start import start
import numpy as np
import rclpy
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import CameraInfo, Image

PICTURES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')

# Pictures a second for a folder of pictures, and for a video that does not say.
DEFAULT_RATE_HZ = 10.0

# Seconds that the last pictures may take to reach their listeners.
FLUSH_S = 5.0
# Seconds that a listener may take to know of the camera after the camera knows of it.
SETTLE_S = 1.0

PARAMETERS = (
    Spec('file', '', 'Video file, or folder of pictures (in the order of their names).', True),
    Spec('name', 'camera', 'Name of the camera, the first part of its topics.', True),
    Spec('frame_id', 'camera_optical_frame', 'Frame of the pictures.', True),
    Spec('rate_hz', 0.0, 'Pictures a second; 0: as the video says.', True, 0.0, 1000.0),
    Spec('loop', True, 'Begin again at the end; otherwise the process ends with the video.', True),
    Spec('wait_for_listeners', 0, 'Begin when so many listen to the pictures.', True, 0, 100),
    Spec(
        'horizontal_fov_deg',
        0.0,
        'Horizontal angle of the lens, degrees; 0: not known.',
        True,
        0.0,
        179.0,
    ),
    Spec(
        'reliability',
        'reliable',
        'How pictures are offered.',
        True,
        choices=('reliable', 'best_effort'),
    ),
)


class PictureSource:
    """The pictures of a file or folder, one after the other, BGR (height, width, 3)."""

    def __init__(self, path: Path) -> None:
        """
        Open it.

        :raises UserError: where there is no picture to be had.
        """
        self._path = path
        self.rate_hz = DEFAULT_RATE_HZ
        if not path.exists():
            raise UserError(f'There is no video or folder {path}; name one with -p file:=…')
        if path.is_dir():
            self._files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES)
            if not self._files:
                raise UserError(f'The folder {path} has no pictures ({", ".join(PICTURES)}).')
            return
        video = cv2.VideoCapture(str(path))
        self._files = []
        if not video.isOpened() or not video.read()[0]:
            raise UserError(f'{path} is not a video that OpenCV can read; try mp4, avi or mkv.')
        rate_hz = video.get(cv2.CAP_PROP_FPS)
        if math.isfinite(rate_hz) and rate_hz > 0:
            self.rate_hz = float(rate_hz)

    def __iter__(self) -> Iterator[ImageArray]:
        """
        Read from the start to the end.

        :raises UserError: for a picture file that cannot be read.
        """
        for file in self._files:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                raise UserError(f'{file} is not a picture that OpenCV can read; take it away.')
            yield np.asarray(image, dtype=np.uint8)
        if not self._files:
            video = cv2.VideoCapture(str(self._path))
            while (read := video.read())[0]:
                yield np.asarray(read[1], dtype=np.uint8)


class VideoCamera(Node):
    """Publishes the pictures at their rate."""

    def __init__(self) -> None:
        """
        Open what the parameters name.

        :raises UserError: for a parameter or a file that cannot be used.
        """
        super().__init__('video_camera')
        self._values = declare(self, PARAMETERS)
        self._source = PictureSource(Path(self._values['file']))
        self._pictures = iter(self._source)
        self.published = 0
        self._listened_to_since_s = math.inf
        self.done = False
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=2,
            reliability=ReliabilityPolicy[self._values['reliability'].upper()],
        )
        name = self._values['name']
        self._images = self.create_publisher(Image, f'{name}/image_raw', profile)
        self._infos = self.create_publisher(CameraInfo, f'{name}/camera_info', profile)
        rate_hz = self._values['rate_hz'] or self._source.rate_hz
        self.create_timer(1 / rate_hz, self._publish_next)
        self.get_logger().info(f'{self._values["file"]} as {name}/image_raw, {rate_hz:g} Hz')

    def flush(self) -> None:
        """Wait until the last pictures have reached their reliable listeners."""
        for publisher in (self._images, self._infos):
            publisher.wait_for_all_acked(Duration(seconds=FLUSH_S))

    def _publish_next(self) -> None:
        if self.done or (not self.published and not self._listened_to()):
            return
        image_bgr = next(self._pictures, None)
        if image_bgr is None and self._values['loop']:
            self._pictures = iter(self._source)
            image_bgr = next(self._pictures, None)
        if image_bgr is None:
            self.done = True
            return
        self._publish(image_bgr)

    def _listened_to(self) -> bool:
        """Return whether there are the listeners that are waited for, and they know it."""
        wanted = self._values['wait_for_listeners']
        if self._images.get_subscription_count() < wanted:
            self._listened_to_since_s = math.inf
            return False
        self._listened_to_since_s = min(self._listened_to_since_s, time.monotonic())
        return not wanted or time.monotonic() - self._listened_to_since_s >= SETTLE_S

    def _publish(self, image_bgr: ImageArray) -> None:
        height, width = image_bgr.shape[:2]
        image = Image(height=height, width=width, encoding='bgr8', step=3 * width)
        image.header.stamp = self.get_clock().now().to_msg()
        image.header.frame_id = self._values['frame_id']
        image.data = array.array('B', image_bgr.tobytes())
        info = CameraInfo(
            header=image.header, height=height, width=width, distortion_model='plumb_bob'
        )
        info.d = [0.0] * 5
        fov_deg = self._values['horizontal_fov_deg']
        if fov_deg:
            camera = Camera.from_horizontal_fov(math.radians(fov_deg), width, height)
            info.k = camera.matrix.reshape(-1)
            info.r = np.eye(3).reshape(-1)
            info.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)
        self._infos.publish(info)
        self._images.publish(image)
        self.published += 1


def run(args: list[str] | None, ended: threading.Event) -> int:
    """Play until the end of the video or until `ended` is set; return the exit code."""
    try:
        start(args)
        camera = VideoCamera()
        while not camera.done and not ended.is_set():
            rclpy.spin_once(camera, timeout_sec=0.1)
        if camera.done:
            camera.flush()
            camera.get_logger().info(f'the end, after {camera.published} pictures')
    except UserError as error:
        get_logger('video_camera').fatal(str(error))
        return 2
    finally:
        try_shutdown()
    return 0
