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
People as RViz markers.

RViz wants lists of triangles with a multiple of 3 points, none of them NaN, never an empty one;
colours per vertex would switch its lighting off, so a person has one colour.
"""

from __future__ import annotations

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from mahmr_model.body.joints import SMPL_BONES
from mahmr_model.colours import colour_of
from mahmr_model.labels import label_of, LETTER_M
from mahmr_node.messages import Result
from mahmr_node.parameters import Settings
import numpy as np
import numpy.typing as npt
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

PointsM = npt.NDArray[np.float64]

# Metres: how thick bones are, how large letters are and how far over the head they stand.
BONE_M = 0.03


def markers_of(
    result: Result, camera_name: str, settings: Settings, lifetime_s: float
) -> list[tuple[Marker, PointsM | None]]:
    """
    Return each marker with its points (P, 3) in metres, for `mahmr_node.cdr.marker_array`.

    The first clears what was there before, so that people who left vanish, and an empty picture
    clears. Namespaces carry the camera's name: with a person's id they are unique over cameras.
    """
    markers: list[tuple[Marker, PointsM | None]] = [
        (Marker(header=result.picture.header, action=Marker.DELETEALL), None)
    ]
    people = result.people
    for index, person_id in enumerate(result.ids):

        def marker(kind: int, part: str, person_id: int = person_id) -> Marker:
            return _marker(result, f'{camera_name}/{part}', person_id, kind, lifetime_s)

        if settings.draw_meshes and len(people.faces):
            mesh = marker(Marker.TRIANGLE_LIST, 'mesh')
            mesh.color.a = settings.marker_opacity
            vertices_m = people.vertices_camera_m[index].astype(np.float64)
            markers.append((mesh, vertices_m.take(people.faces.reshape(-1), axis=0)))
        if settings.draw_skeletons:
            bones = marker(Marker.LINE_LIST, 'skeleton')
            bones.scale = Vector3(x=BONE_M)
            markers.append((bones, _bones(people.joints_camera_m[index])))
        if settings.draw_labels:
            markers.append((_label(marker(Marker.TEXT_VIEW_FACING, 'label'), result, index), None))
    return markers


def _marker(
    result: Result, namespace: str, person_id: int, kind: int, lifetime_s: float
) -> Marker:
    red, green, blue = colour_of(person_id)
    seconds = int(lifetime_s)
    return Marker(
        header=result.picture.header,
        ns=namespace,
        id=person_id,
        type=kind,
        action=Marker.ADD,
        pose=Pose(orientation=Quaternion(w=1.0)),
        scale=Vector3(x=1.0, y=1.0, z=1.0),
        color=ColorRGBA(r=red / 255, g=green / 255, b=blue / 255, a=1.0),
        lifetime=Duration(sec=seconds, nanosec=int((lifetime_s - seconds) * 1e9)),
    )


def _bones(joints_m: npt.NDArray[np.float32]) -> PointsM:
    """Return both ends of each bone, (46, 3)."""
    return joints_m.astype(np.float64)[np.array(SMPL_BONES).reshape(-1)]


def _label(label: Marker, result: Result, index: int) -> Marker:
    written = label_of(result.people, index)
    x, y, z = written.place_m
    label.pose.position = Point(x=x, y=y, z=z)
    label.scale = Vector3(z=LETTER_M)
    label.text = written.text
    return label
