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
People as REP-155 ("ROS4HRI") has them: /humans/bodies/tracked, and topics for each body.

A body is called <camera>_<id>. Of the topics that REP-155 lists, those that a picture gives are
published: roi, skeleton2d, cropped; and TF has its frame body_<camera>_<id> where `publish_tf`
is on.
"""

from __future__ import annotations

from collections.abc import Iterator
import threading
import time
from typing import Any

from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.errors import UserError
from mahmr_node.messages import Result, rgb_image, Sending
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

try:
    from rclpy.event_handler import PublisherEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks

# Bodies of a camera that gives no results for this long are no longer tracked, at the earliest.
SILENCE_S = 2.0

# The keypoints of hri_msgs/Skeleton2D; "neck" is SMPL's, all others have the same name.
PAIRED = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle', 'eye', 'ear')
KEYPOINTS = ('nose', 'neck', *(f'{side}_{part}' for part in PAIRED for side in ('left', 'right')))


class Bodies:
    """The bodies of all cameras of a node; topics of a body exist while it is seen."""

    def __init__(self, node: LifecycleNode) -> None:
        """
        Make the publisher of the list.

        :raises UserError: where hri_msgs is not installed or is of an unknown version.
        """
        try:
            from hri_msgs import msg as hri

            self._topics = {
                'roi': (hri.NormalizedRegionOfInterest2D, self._roi),
                'skeleton2d': (hri.Skeleton2D, self._skeleton),
                'cropped': (Image, self._cropped),
            }
            self._list_type = hri.IdsList
            self._point_type = hri.NormalizedPointOfInterest2D
            self._keypoints = {
                getattr(hri.Skeleton2D, name.upper()): JOINT_NAMES_45.index(name)
                for name in KEYPOINTS
            }
        except (ImportError, AttributeError) as error:
            raise UserError(
                'publish_bodies needs the ROS package hri_msgs of REP-155, which cannot be used '
                f'({error}); install it, or set publish_bodies to false.'
            ) from error
        self._node = node
        # Of each camera: until when its bodies are taken as seen, and their names.
        self._seen: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._publishers: dict[str, dict[str, Any]] = {}
        self._changing = threading.Lock()
        self._open = False
        latched = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self._tracked = node.create_lifecycle_publisher(
            self._list_type, '/humans/bodies/tracked', latched
        )

    def open(self) -> None:  # noqa: A003
        """Begin: bodies may come from now on."""
        self._open = True

    def leave(self) -> None:
        """End: say that nobody is tracked any more, and take the topics of all bodies down."""
        with self._changing:
            self._open = False
            self._seen = {}
            self._drop(set(self._publishers))
            listed = self._list()
        if self._tracked.is_activated:
            self._tracked.publish(listed)

    def close(self) -> None:
        """Take everything down."""
        self.leave()
        self._node.destroy_lifecycle_publisher(self._tracked)

    def refresh(self) -> None:
        """Let the bodies of cameras that have fallen silent go; to be called from time to time."""
        now_s = time.monotonic()
        with self._changing:
            silent = [name for name, (until_s, _) in self._seen.items() if until_s < now_s]
            gone = {body for name in silent for body in self._seen.pop(name)[1]}
            self._drop(gone)
            listed = self._list()
        if gone:
            self._tracked.publish(listed)

    def messages(self, camera_name: str, result: Result, interval_s: float) -> Iterator[Sending]:
        """
        Build the list, and what has listeners of each body; each comes with its sending.

        `interval_s` is the time between results: a camera is silent after three of them.
        """
        until_s = time.monotonic() + max(SILENCE_S, 3 * interval_s)
        names = tuple(f'{camera_name}_{person_id}' for person_id in result.ids)
        with self._changing:
            if not self._open:
                return
            _, before = self._seen.get(camera_name, (0.0, ()))
            self._seen[camera_name] = (until_s, names)
            self._drop(set(before) - set(names))
            for name in names:
                if name not in self._publishers:
                    self._publishers[name] = self._add(name)
            listed = self._list()
            topics = [self._publishers[name] for name in names]
        listed.header = result.picture.header
        yield self._tracked.publish, listed
        for index, publishers in enumerate(topics):
            for topic, publisher in publishers.items():
                if publisher.get_subscription_count() > 0:
                    message = self._topics[topic][1](result, index)
                    if message is not None:
                        yield publisher.publish, message

    def _list(self) -> Any:
        """Return everybody whom any camera sees, at the present time; under the lock."""
        ids = sorted(body for _, names in self._seen.values() for body in names)
        message = self._list_type(ids=ids)
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _add(self, name: str) -> dict[str, Any]:
        # Without event callbacks the executor knows nothing of a publisher, so that it may come
        # and go in the worker's thread.
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        return {
            topic: self._node.create_publisher(
                kind, f'/humans/bodies/{name}/{topic}', 1, event_callbacks=quiet
            )
            for topic, (kind, _) in self._topics.items()
        }

    def _drop(self, names: set[str]) -> None:
        for name in names:
            for publisher in self._publishers.pop(name).values():
                self._node.destroy_publisher(publisher)

    def _roi(self, result: Result, index: int) -> Any:
        """Return the box, 0 to 1 over the picture's width and height."""
        people = result.people
        size = np.tile((people.camera.width, people.camera.height), 2)
        corners = (people.boxes_xyxy_px[index] / size).clip(0, 1).tolist()
        message = self._topics['roi'][0]()
        _give_header(message, result)
        message.xmin, message.ymin, message.xmax, message.ymax = corners
        message.c = float(people.confidence[index])
        return message

    def _skeleton(self, result: Result, index: int) -> Any:
        """Return the keypoints, 0 to 1 over the picture; those beyond it have no confidence."""
        people = result.people
        size = (people.camera.width, people.camera.height)
        points = (people.joints_px[index] / size).tolist()
        sure = float(people.confidence[index])
        message = self._topics['skeleton2d'][0]()
        _give_header(message, result)
        skeleton = [self._point_type() for _ in self._keypoints]
        for place, joint in self._keypoints.items():
            x, y = points[joint]
            inside = 0 <= x <= 1 and 0 <= y <= 1
            skeleton[place] = self._point_type(
                x=min(max(x, 0.0), 1.0), y=min(max(y, 0.0), 1.0), c=sure if inside else 0.0
            )
        message.skeleton = skeleton
        return message

    def _cropped(self, result: Result, index: int) -> Image | None:
        """Return the part of the picture in the box; None where nothing of it is inside."""
        image_rgb = result.picture.image_rgb
        left, top, right, bottom = result.people.boxes_xyxy_px[index].round().astype(int)
        part = image_rgb[slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))]
        return rgb_image(result.picture.header, part) if part.size else None


def _give_header(message: Any, result: Result) -> None:
    """Set the header, which not every version of hri_msgs has in every message."""
    if hasattr(message, 'header'):
        message.header = result.picture.header
