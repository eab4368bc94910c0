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

from __future__ import annotations

import array
from collections.abc import Callable
from functools import partial
import time

from geometry_msgs.msg import Point
from mahmr_node import cdr
from mahmr_node.cameras import Calibration, Lens
from mahmr_node.cdr import marker_array
from mahmr_node.markers import markers_of
from mahmr_node.messages import Picture, Result
from mahmr_node.parameters import NODE_PARAMETERS, Settings
import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo
import stand_in
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray, UVCoordinate


def settings(**changes: object) -> Settings:
    """Return the node's default settings, changed."""
    values = {spec.name: spec.default for spec in NODE_PARAMETERS}
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def result_of(people: int, frame: str = 'cam') -> Result:
    """Return a result with some of the stand-in's people."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[0, 0, 0] = people
    header = Header(frame_id=frame)
    header.stamp.sec, header.stamp.nanosec = 12, 345
    picture = Picture(image, header, Lens(Calibration.MISSING), 0.0)
    return Result(picture, stand_in.people_in(image, None))


def by_rclpy(markers: list[tuple[Marker, np.ndarray | None]]) -> bytes:
    """Serialise as rclpy does, every point an object."""
    message = MarkerArray()
    for marker, points in markers:
        if points is not None:
            marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
        message.markers.append(marker)
    return serialize_message(message)


def assert_same(monkeypatch: pytest.MonkeyPatch, ours: Callable[[], bytes], theirs: bytes) -> None:
    """
    Compare byte for byte, except what fills the gaps before aligned values.

    rclpy leaves those bytes as its memory held them; here they are the ones that change when
    the filling does.
    """
    first = np.frombuffer(ours(), np.uint8)
    monkeypatch.setattr(cdr, 'PADDING', b'\xff')
    second = np.frombuffer(ours(), np.uint8)
    monkeypatch.undo()
    expected = np.frombuffer(theirs, np.uint8)
    assert len(first) == len(expected)
    assert np.array_equal(first[first == second], expected[first == second])


@pytest.mark.parametrize('people', [0, 1, 5])
@pytest.mark.parametrize('frame', ['', 'c', 'ca', 'cam', 'came', 'camera/optical', 'größe'])
def test_equal_to_rclpy(people: int, frame: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte, for all alignments that the length of a string leads to."""
    shown = settings(draw_skeletons=True, draw_labels=True)
    for name in ('c', 'cam', 'front'):
        markers = markers_of(result_of(people, frame), name, shown, 1.25)
        assert_same(monkeypatch, partial(marker_array, markers), by_rclpy(markers))
        back = deserialize_message(marker_array(markers), MarkerArray)
        assert len(back.markers) == len(markers) == 1 + 3 * people


def test_every_field_of_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields that the node leaves empty are written as well: lists, nested messages, bytes."""
    marker = Marker(ns='odd', text='t', mesh_resource='package://x', frame_locked=True)
    marker.colors = [ColorRGBA(r=0.1, g=0.2, b=0.3, a=0.4)] * 3
    marker.uv_coordinates = [UVCoordinate(u=0.5, v=0.25)]
    marker.texture.data = array.array('B', b'12345')
    marker.texture.format = 'png'
    marker.mesh_file.data = array.array('B', b'123')
    points = np.array([[1, 2, 3], [4, 5, 6.5]])
    for markers in ([(marker, points)] * 2, []):
        assert_same(monkeypatch, partial(marker_array, markers), by_rclpy(markers))


def test_fixed_arrays_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message with lists and fixed arrays of doubles, written by the same writer."""
    info = CameraInfo(d=[0.1, 0.2], k=np.arange(9.0), p=np.arange(12.0), width=5)
    info.header.frame_id = 'odd'

    def ours() -> bytes:
        writer = cdr._Writer()
        writer.message(info, {})
        return writer.finish()

    assert_same(monkeypatch, ours, serialize_message(info))


def test_cost_of_a_mesh() -> None:
    """Five meshes of 13,776 faces in well under 100 ms; rclpy's own way takes over 300 ms."""
    points = np.random.default_rng(0).random((3 * 13776, 3))
    markers = [(Marker(), points)] * 5
    marker_array(markers)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        data = marker_array(markers)
        times.append(time.perf_counter() - started)
    assert len(data) > 5 * points.nbytes
    assert min(times) < 0.1
