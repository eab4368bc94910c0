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

"""People as messages: HumanArray, PoseArray, camera_info, picture."""

from __future__ import annotations

import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from mahmr_model.colours import identities
from mahmr_model.types import ImageArray, People
from mahmr_msgs.msg import Human, HumanArray
from mahmr_node.cameras import Lens
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

Sending = tuple[Callable[[Any], None], Any]
"""The call that sends a message, and the message."""

CAMERA_SOURCES = {
    'given': HumanArray.CAMERA_INFO,
    'estimated': HumanArray.ESTIMATED,
    'assumed': HumanArray.ASSUMED,
}


@dataclass(frozen=True)
class Picture:
    """A picture ready for the network, and what it came with."""

    image_rgb: ImageArray
    """(height, width, 3), straightened where its lens bends."""
    header: Header
    """The picture's own; only an empty or overridden frame_id is another."""
    lens: Lens
    arrival_s: float
    """When it arrived, seconds of the monotonic clock."""

    @property
    def is_stamped(self) -> bool:
        """Whether the camera says when it was taken."""
        return bool(self.header.stamp.sec or self.header.stamp.nanosec)

    @property
    def stamp_s(self) -> float:
        """When it was taken, seconds of the camera's clock; when it arrived if that is unknown."""
        if not self.is_stamped:
            return self.arrival_s
        return float(self.header.stamp.sec) + 1e-9 * float(self.header.stamp.nanosec)


@dataclass(frozen=True)
class Result:
    """The people of a picture, with ids."""

    picture: Picture
    people: People

    @property
    def ids(self) -> list[int]:
        """Who each person is: tracked, or else the place in the list."""
        return identities(self.people)


def human_array(result: Result, *, vertices: bool) -> HumanArray:
    """Return everything about the people; `vertices` adds the meshes."""
    people, picture = result.people, result.picture
    message = HumanArray(header=picture.header)
    message.image_height, message.image_width = picture.image_rgb.shape[:2]
    camera = people.camera
    message.focal_x_px, message.focal_y_px = camera.fx, camera.fy
    message.principal_x_px, message.principal_y_px = camera.cx, camera.cy
    message.camera_source = CAMERA_SOURCES[people.camera_source]
    message.calibration = int(picture.lens.calibration)
    message.undistorted = picture.lens.distortion is not None
    message.untrained = people.untrained
    message.inference_s = float(people.inference_s)
    if vertices and len(people):
        message.faces = _numbers('I', people.faces)
    poses = root_poses(people)
    message.humans = [_human(result, i, poses[i], vertices=vertices) for i in range(len(people))]
    return message


def _human(result: Result, index: int, root_pose: Pose, *, vertices: bool) -> Human:
    people = result.people
    human = Human(id=result.ids[index], root_pose=root_pose)
    human.confidence = float(people.confidence[index])
    human.box_xyxy_px = people.boxes_xyxy_px[index].astype(np.float32)
    human.height_m = float(people.height_m[index])
    human.betas = _numbers('f', people.betas[index])
    human.joint_rotations_rad = people.pose_axis_angle[index].astype(np.float32).reshape(-1)
    human.translation_m = people.translation_m[index].astype(np.float32)
    human.joints_m = _numbers('f', people.joints_camera_m[index])
    human.joints_px = _numbers('f', people.joints_px[index])
    if vertices:
        human.vertices_m = _numbers('f', people.vertices_camera_m[index])
    return human


def pose_array(result: Result) -> PoseArray:
    """Return the pelvis of each person."""
    return PoseArray(header=result.picture.header, poses=root_poses(result.people))


def root_poses(people: People) -> list[Pose]:
    """Return position (metres) and rotation of each pelvis in the optical frame."""
    return _poses(people, Rotation.identity())


def body_poses(people: People) -> list[Pose]:
    """Return the same poses with the axes of REP-103: x to the front, y to the left, z up."""
    # The body's own: x to the left, y up, z to the front.
    return _poses(people, Rotation.from_matrix([[0, 1, 0], [0, 0, 1], [1, 0, 0]]))


def _poses(people: People, axes: Rotation) -> list[Pose]:
    if not len(people):
        return []
    quaternions = (Rotation.from_rotvec(people.pose_axis_angle[:, 0]) * axes).as_quat()
    return [
        Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=a, y=b, z=c, w=w))
        for (x, y, z), (a, b, c, w) in zip(
            people.root_m.tolist(), quaternions.tolist(), strict=True
        )
    ]


def camera_info(result: Result) -> CameraInfo:
    """Return the lens that placed the people: no distortion, K and P the same."""
    camera = result.people.camera
    message = CameraInfo(header=result.picture.header, distortion_model='plumb_bob')
    message.width, message.height = camera.width, camera.height
    message.d = [0.0] * 5
    message.k = camera.matrix.reshape(-1)
    message.r = np.eye(3).reshape(-1)
    message.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(-1)
    return message


def rgb_image(header: Header, image_rgb: ImageArray) -> Image:
    """Return a picture as an rgb8 message."""
    height, width = image_rgb.shape[:2]
    message = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    message.data = array.array('B', image_rgb.tobytes())
    return message


def _numbers(kind: str, values: npt.NDArray[np.generic]) -> array.array[float]:
    """Return a list of numbers in the form that rclpy serialises without looking at each."""
    return array.array(kind, np.asarray(values, dtype=f'={kind}').tobytes())
