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

"""People as ROS messages without ROS: what the node publishes, field by field."""

from __future__ import annotations

from typing import Any

from mahmr_model.bag.types import typestore
from mahmr_model.colours import colour_of
from mahmr_model.labels import label_of, LETTER_M
from mahmr_model.sensors.calibration import Lens
from mahmr_model.types import People
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation


def humans(people: People, header: Any, lens: Lens) -> Any:
    """Return the mahmr_msgs/HumanArray of tracked people in a picture."""
    types = typestore().types
    array = types['mahmr_msgs/msg/HumanArray']
    source = {'given': array.CAMERA_INFO, 'estimated': array.ESTIMATED, 'assumed': array.ASSUMED}
    camera = people.camera
    return array(
        header=header,
        image_width=camera.width,
        image_height=camera.height,
        focal_x_px=camera.fx,
        focal_y_px=camera.fy,
        principal_x_px=camera.cx,
        principal_y_px=camera.cy,
        camera_source=source[people.camera_source],
        calibration=int(lens.calibration),
        undistorted=lens.distortion is not None,
        untrained=people.untrained,
        inference_s=people.inference_s,
        faces=people.faces[slice(None if len(people) else 0)].astype(np.uint32).ravel(),
        humans=[_human(people, index) for index in range(len(people))],
    )


def _human(people: People, index: int) -> Any:
    return typestore().types['mahmr_msgs/msg/Human'](
        id=_ids(people)[index],
        confidence=float(people.confidence[index]),
        box_xyxy_px=_flat(people.boxes_xyxy_px[index]),
        root_pose=_pose(people.root_m[index], people.pose_axis_angle[index, 0]),
        height_m=float(people.height_m[index]),
        betas=_flat(people.betas[index]),
        joint_rotations_rad=_flat(people.pose_axis_angle[index]),
        translation_m=_flat(people.translation_m[index]),
        joints_m=_flat(people.joints_camera_m[index]),
        joints_px=_flat(people.joints_px[index]),
        vertices_m=_flat(people.vertices_camera_m[index]),
    )


def markers(people: People, header: Any, camera_name: str, lifetime_s: float) -> Any:
    """
    Return a visualization_msgs/MarkerArray: a mesh and a label for each person.

    The first marker clears what was there before, so that people who left vanish.
    """
    marker = typestore().types['visualization_msgs/msg/Marker']
    array = [_marker(header, '', 0, marker.ARROW, marker.DELETEALL)]
    for index, person_id in enumerate(_ids(people)):
        mesh = _marker(header, f'{camera_name}/mesh', person_id, marker.TRIANGLE_LIST, marker.ADD)
        mesh.lifetime = _duration(lifetime_s)
        mesh.points = _triangles(people, index)
        label = _marker(
            header, f'{camera_name}/label', person_id, marker.TEXT_VIEW_FACING, marker.ADD
        )
        label.lifetime = _duration(lifetime_s)
        _write_label(label, people, index)
        array += [mesh, label]
    return typestore().types['visualization_msgs/msg/MarkerArray'](markers=array)


def _ids(people: People) -> list[int]:
    if people.ids is None:
        raise ValueError('expected tracked people; these have no ids')
    return [int(identity) for identity in people.ids]


def _marker(header: Any, namespace: str, person_id: int, kind: int, action: int) -> Any:
    types = typestore().types
    vector, colour = types['geometry_msgs/msg/Vector3'], types['std_msgs/msg/ColorRGBA']
    adds = action == types['visualization_msgs/msg/Marker'].ADD
    red, green, blue = colour_of(person_id) if adds else (0, 0, 0)
    empty_header = types['std_msgs/msg/Header'](
        stamp=types['builtin_interfaces/msg/Time'](sec=0, nanosec=0), frame_id=''
    )
    no_bytes = np.zeros(0, np.uint8)
    return types['visualization_msgs/msg/Marker'](
        header=header,
        ns=namespace,
        id=person_id,
        type=kind,
        action=action,
        pose=_pose(np.zeros(3), np.zeros(3)),
        scale=vector(x=1.0, y=1.0, z=1.0) if adds else vector(x=0.0, y=0.0, z=0.0),
        color=colour(r=red / 255, g=green / 255, b=blue / 255, a=1.0 if adds else 0.0),
        lifetime=_duration(0.0),
        frame_locked=False,
        points=[],
        colors=[],
        texture_resource='',
        texture=types['sensor_msgs/msg/CompressedImage'](
            header=empty_header, format='', data=no_bytes
        ),
        uv_coordinates=[],
        text='',
        mesh_resource='',
        mesh_file=types['visualization_msgs/msg/MeshFile'](filename='', data=no_bytes),
        mesh_use_embedded_materials=False,
    )


def _triangles(people: People, index: int) -> list[Any]:
    """Return three points of each face; those of a vertex are one object."""
    point = typestore().types['geometry_msgs/msg/Point']
    points = [point(x=x, y=y, z=z) for x, y, z in people.vertices_camera_m[index].tolist()]
    return [points[vertex] for vertex in people.faces.reshape(-1).tolist()]


def _write_label(label: Any, people: People, index: int) -> None:
    types = typestore().types
    written = label_of(people, index)
    x, y, z = written.place_m
    label.pose.position = types['geometry_msgs/msg/Point'](x=x, y=y, z=z)
    label.scale = types['geometry_msgs/msg/Vector3'](x=0.0, y=0.0, z=LETTER_M)
    label.text = written.text


def _pose(position_m: npt.NDArray[Any], rotation_rad: npt.NDArray[Any]) -> Any:
    types = typestore().types
    a, b, c, w = Rotation.from_rotvec(rotation_rad).as_quat().tolist()
    x, y, z = position_m.tolist()
    return types['geometry_msgs/msg/Pose'](
        position=types['geometry_msgs/msg/Point'](x=x, y=y, z=z),
        orientation=types['geometry_msgs/msg/Quaternion'](x=a, y=b, z=c, w=w),
    )


def _duration(seconds: float) -> Any:
    whole = int(seconds)
    return typestore().types['builtin_interfaces/msg/Duration'](
        sec=whole, nanosec=int((seconds - whole) * 1e9)
    )


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32).reshape(-1)
