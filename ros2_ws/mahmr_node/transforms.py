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

"""A TF frame for each person."""

from __future__ import annotations

from collections.abc import Iterator

from geometry_msgs.msg import Pose, TransformStamped, Vector3
from mahmr_model.errors import UserError
from mahmr_node.messages import body_poses, Result, root_poses, Sending
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

# What tf2's own broadcaster offers, so that every listener matches.
TF_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
)


class Transforms:
    """Publishes on /tf, as tf2_ros' broadcaster does, but only while the node is active."""

    def __init__(self, node: LifecycleNode, bodies: bool) -> None:
        """
        Make the publisher; with `bodies` REP-155's frames are published as well.

        :raises UserError: where tf2_msgs is not installed.
        """
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise UserError(
                'publish_tf needs the ROS package tf2_msgs, which cannot be imported '
                f'({error}); install it, or set publish_tf to false.'
            ) from error
        self._node = node
        self._type = TFMessage
        self._bodies = bodies
        self._publisher = node.create_lifecycle_publisher(TFMessage, '/tf', TF_QOS)

    def close(self) -> None:
        """Take the publisher down."""
        self._node.destroy_lifecycle_publisher(self._publisher)

    def messages(self, camera_name: str, result: Result) -> Iterator[Sending]:
        """Build a message where there are people and listeners; it comes with its sending."""
        if len(result.people) and self._publisher.get_subscription_count() > 0:
            people, ids = result.people, result.ids
            transforms = [
                transform(result, pose, f'{camera_name}/person_{person_id}')
                for person_id, pose in zip(ids, root_poses(people), strict=True)
            ]
            if self._bodies:
                transforms += [
                    transform(result, pose, f'body_{camera_name}_{person_id}')
                    for person_id, pose in zip(ids, body_poses(people), strict=True)
                ]
            yield self._publisher.publish, self._type(transforms=transforms)


def transform(result: Result, pose: Pose, child_frame: str) -> TransformStamped:
    """Return the frame of a person in the picture's frame, at the picture's time."""
    stamped = TransformStamped(header=result.picture.header, child_frame_id=child_frame)
    at = pose.position
    stamped.transform.translation = Vector3(x=at.x, y=at.y, z=at.z)
    stamped.transform.rotation = pose.orientation
    return stamped
