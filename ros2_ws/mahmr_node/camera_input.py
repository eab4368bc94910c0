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

"""One camera's way in: its subscriptions, its newest frame, its lens."""

from __future__ import annotations

from collections.abc import Callable
import copy
import time

from mahmr_node.cameras import Calibration, Lens, lens_of, Undistorter
from mahmr_node.frame_slot import Frame, FrameSlot
from mahmr_node.images import to_rgb
from mahmr_node.messages import Picture
from mahmr_node.parameters import CameraSettings, Settings
from mahmr_node.subscription import MatchingSubscription
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

# How long after the subscription a camera_info may come without a warning.
GRACE_S = 2.0


def camera_info_topic(node: Node, name: str, camera: CameraSettings) -> str:
    """
    Return where a camera's calibration is.

    A topic that the user names or remaps is taken; otherwise the one beside the pictures, also
    where those are remapped.
    """
    if camera.camera_info_topic:
        return camera.camera_info_topic
    own = f'{name}/camera_info'
    if node.resolve_topic_name(own) != node.resolve_topic_name(own, only_expand=True):
        return own
    folder = node.resolve_topic_name(camera.image_topic).rpartition('/')[0]
    return f'{folder}/camera_info'


class CameraInput:
    """Subscribes to a camera and turns its newest frame into a picture with a lens."""

    def __init__(
        self,
        node: Node,
        name: str,
        camera: CameraSettings,
        settings: Callable[[], Settings],
        slot: FrameSlot,
    ) -> None:
        """Subscribe; `settings` gives the parameters as they are at each frame."""
        self._logger = node.get_logger()
        self._name = name
        self._settings = settings
        self._info: CameraInfo | None = None
        self._warned: set[str] = set()
        self._undistort = Undistorter()
        self._started_s = time.monotonic()
        image_topic = node.resolve_topic_name(camera.image_topic)
        part = image_topic.rpartition('/')[2]
        self._rectified = camera.rectification == 'rectified' or (
            camera.rectification == 'auto' and 'rect' in part
        )
        image_type = Image
        if camera.transport == 'compressed':
            image_type, image_topic = CompressedImage, f'{image_topic}/compressed'
        reliability = settings().image_reliability
        self._subscriptions = (
            MatchingSubscription(node, image_type, image_topic, slot.put, reliability),
            MatchingSubscription(
                node, CameraInfo, camera_info_topic(node, name, camera), self.keep_info
            ),
        )

    def refresh(self) -> None:
        """Follow publishers that have come or gone."""
        for subscription in self._subscriptions:
            subscription.refresh()

    def close(self) -> None:
        """End the subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()

    def prepare(self, frame: Frame) -> Picture:
        """
        Decode a frame, find its lens, straighten it.

        :raises UserError: for a picture that cannot be read.
        """
        image_rgb = to_rgb(frame.message)
        lens = self._lens(image_rgb.shape[1], image_rgb.shape[0])
        header = copy.copy(frame.message.header)
        header.frame_id = self._frame_id(header.frame_id)
        picture = Picture(self._undistort(image_rgb, lens), header, lens, frame.arrival_s)
        if not picture.is_stamped:
            self._warn_once('stamp', 'pictures have no time: people are followed by their arrival')
        return picture

    def keep_info(self, info: CameraInfo, number: int | None = None) -> None:
        """Use this calibration from the next picture on."""
        self._info = info

    def _lens(self, width: int, height: int) -> Lens:
        if self._settings().camera_source == 'estimated':
            return Lens(Calibration.IGNORED)
        lens = lens_of(self._info, width, height, rectified=self._rectified)
        early = time.monotonic() - self._started_s < GRACE_S
        if lens.note and not (early and lens.calibration is Calibration.MISSING):
            estimated = '' if lens.camera else ': the lens is estimated from the picture'
            self._warn_once(str(lens.calibration), f'{lens.note}{estimated}')
        return lens

    def _frame_id(self, frame_id: str) -> str:
        settings = self._settings()
        if settings.frame_override:
            return settings.frame_override
        if not frame_id:
            self._warn_once('frame', f'pictures name no frame: "{settings.default_frame}" is used')
            return settings.default_frame
        return frame_id

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._logger.warning(f'{self._name}: {text}')
