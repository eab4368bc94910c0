"""One camera's way out: its publishers, and what is built for those that have listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from geometry_msgs.msg import PoseArray, TransformStamped, Vector3
from mahmr_msgs.msg import HumanArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import MarkerArray

from mahmr_model.errors import UserError
from mahmr_model.render import draw_overlay
from mahmr_node import messages
from mahmr_node.cdr import marker_array
from mahmr_node.markers import markers_of
from mahmr_node.messages import Result
from mahmr_node.parameters import Settings

# In the order in which they are sent: the overlay, which takes longest, holds up no other.
TOPICS = {
    'markers': MarkerArray,
    'humans': HumanArray,
    'poses': PoseArray,
    'estimated_camera_info': CameraInfo,
    'overlay': Image,
}


def transform_broadcaster(node: LifecycleNode) -> Any:
    """
    Return a TF broadcaster.

    :raises UserError: where tf2_ros is not installed.
    """
    try:
        from tf2_ros import TransformBroadcaster
    except ImportError as error:
        raise UserError(
            'publish_tf needs the ROS package tf2_ros, which cannot be imported '
            f'({error}); install it, or set publish_tf to false.'
        ) from error
    return TransformBroadcaster(node)


class CameraOutput:
    """Publishes the results of one camera."""

    def __init__(
        self, node: LifecycleNode, name: str, reliability: str, broadcaster: Any | None
    ) -> None:
        """Make the publishers `~/<name>/…`; `broadcaster` is None where TF is not asked for."""
        self._node = node
        self._name = name
        self._broadcaster = broadcaster
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

    def messages(
        self, result: Result, settings: Settings, interval_s: float
    ) -> Iterator[tuple[Callable[[Any], None], Any]]:
        """
        Build what has listeners, one by one: each message comes with the call that sends it.

        `interval_s` is the time between results, which the lifetime of markers depends on.
        """
        for topic, publisher in self._publishers.items():
            if publisher.get_subscription_count() > 0:
                yield publisher.publish, self._build(topic, result, settings, interval_s)
        if self._broadcaster is not None:
            yield self._broadcaster.sendTransform, self._transforms(result)

    def _build(self, topic: str, result: Result, settings: Settings, interval_s: float) -> Any:
        if topic == 'markers':
            lifetime_s = max(settings.marker_lifetime_s, 3 * interval_s)
            return marker_array(markers_of(result, self._name, settings, lifetime_s))
        if topic == 'humans':
            return messages.human_array(result, vertices=settings.publish_vertices)
        if topic == 'poses':
            return messages.pose_array(result)
        if topic == 'overlay':
            overlay_rgb = draw_overlay(result.picture.image_rgb, result.people)
            return messages.rgb_image(result.picture.header, overlay_rgb)
        return messages.camera_info(result)

    def _transforms(self, result: Result) -> list[TransformStamped]:
        poses = messages.root_poses(result.people)
        transforms = []
        for person_id, pose in zip(result.ids, poses, strict=True):
            transform = TransformStamped(
                header=result.picture.header, child_frame_id=f'{self._name}/person_{person_id}'
            )
            at = pose.position
            transform.transform.translation = Vector3(x=at.x, y=at.y, z=at.z)
            transform.transform.rotation = pose.orientation
            transforms.append(transform)
        return transforms
