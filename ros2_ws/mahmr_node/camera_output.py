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

"""One camera's way out: its publishers, and what is built for those that have listeners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from geometry_msgs.msg import PoseArray
from mahmr_msgs.msg import HumanArray
from mahmr_node import messages
from mahmr_node.bodies import Bodies
from mahmr_node.cdr import marker_array
from mahmr_node.markers import markers_of
from mahmr_node.mesh import MeshReducer
from mahmr_node.messages import Result, Sending
from mahmr_node.parameters import Settings
from mahmr_node.transforms import Transforms
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import MarkerArray

OVERLAY = 'overlay'

# In the order in which they are sent.
TOPICS = {
    'markers': MarkerArray,
    'humans': HumanArray,
    'poses': PoseArray,
    'estimated_camera_info': CameraInfo,
    OVERLAY: Image,
}


@dataclass(frozen=True)
class Shared:
    """What the outputs of all cameras use in common."""

    reduce_mesh: MeshReducer
    transforms: Transforms | None
    """None where TF is not asked for."""
    bodies: Bodies | None
    """None where REP-155 is not asked for."""
    device: str
    """What draws overlays, by torch's name: where the network is."""


class CameraOutput:
    """Publishes the results of one camera."""

    def __init__(self, node: LifecycleNode, name: str, reliability: str, shared: Shared) -> None:
        """Make the publishers `~/<name>/…`."""
        self._node = node
        self._name = name
        self._shared = shared
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=5,
            reliability=ReliabilityPolicy[reliability.upper()],
        )
        self._publishers = {
            topic: node.create_lifecycle_publisher(kind, f'~/{name}/{topic}', profile)
            for topic, kind in TOPICS.items()
        }

    def close(self) -> None:
        """Take the publishers down."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def listeners(self) -> dict[str, int]:
        """Return how many listen to each topic."""
        return {t: p.get_subscription_count() for t, p in self._publishers.items()}

    def messages(self, result: Result, settings: Settings, interval_s: float) -> Iterator[Sending]:
        """
        Build what has listeners, one by one: each message comes with the call that sends it.

        The overlay, which takes longer than all others together, is built by `overlay`.
        `interval_s` is the time between results, which the lifetime of markers depends on.
        """
        people = self._shared.reduce_mesh(result.people, settings.mesh_faces)
        reduced = replace(result, people=people)
        for topic, publisher in self._publishers.items():
            if topic != OVERLAY and publisher.get_subscription_count() > 0:
                yield publisher.publish, self._build(topic, reduced, settings, interval_s)
        if self._shared.transforms is not None:
            yield from self._shared.transforms.messages(self._name, result)
        if self._shared.bodies is not None:
            yield from self._shared.bodies.messages(self._name, result, interval_s)

    @property
    def wants_overlay(self) -> bool:
        """Whether somebody looks at the overlay."""
        return self._publishers[OVERLAY].get_subscription_count() > 0

    def overlay(self, result: Result) -> Sending:
        """Draw the people into their picture; the message comes with the call that sends it."""
        return self._publishers[OVERLAY].publish, self._draw(result)

    def _draw(self, result: Result) -> Image:
        # Only who looks at overlays waits for the renderer to be imported.
        from mahmr_model.render import draw_overlay

        device = self._shared.device
        # Smooth outlines are four times the work, which a CPU needs for the network.
        smooth = not device.startswith('cpu')
        overlay_rgb = draw_overlay(
            result.picture.image_rgb, result.people, smooth=smooth, device=device
        )
        return messages.rgb_image(result.picture.header, overlay_rgb)

    def _build(self, topic: str, result: Result, settings: Settings, interval_s: float) -> Any:
        if topic == 'markers':
            lifetime_s = max(settings.marker_lifetime_s, 3 * interval_s)
            return marker_array(markers_of(result, self._name, settings, lifetime_s))
        if topic == 'humans':
            return messages.human_array(result, vertices=settings.publish_vertices)
        if topic == 'poses':
            return messages.pose_array(result)
        return messages.camera_info(result)
