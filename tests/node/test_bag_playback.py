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

"""Recordings: a bag that loops through the node, and the bags that `mahmr bag` writes."""

from __future__ import annotations

from pathlib import Path

from bag_maker import camera_info, header, image, Message, START_NS, write_bag
from diagnostic_msgs.msg import DiagnosticArray
from mahmr_model.bag import messages as without_ros
from mahmr_model.bag.types import typestore
from mahmr_model.sensors.calibration import Calibration
from mahmr_model.types import Camera
from mahmr_msgs.msg import HumanArray
from mahmr_node import markers, messages
from mahmr_node.cameras import Lens
from mahmr_node.cdr import marker_array
from mahmr_node.messages import Picture, Result
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from ros_tools import Rig
from sensor_msgs.msg import CameraInfo
import stand_in
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

PLAYER = Path(__file__).resolve().parent / 'bag_player.py'
SIZE = (64, 48)
STEP_NS = 100_000_000
LENS = (60.0, 60.0, 32.0, 24.0)

# Pictures of the first place, then of another, 2.5 m away, for longer than an id is remembered.
FIRST, SECOND = 6, 20


def recording() -> list[Message]:
    """Return 2.6 s with one person, who is first in one place and then in another."""
    recorded: list[Message] = []
    for step in range(FIRST + SECOND):
        taken_ns = START_NS + step * STEP_NS
        rgb = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
        rgb[0, 0] = (1, 0, 0 if step < FIRST else 250)
        info = camera_info(SIZE, taken_ns, LENS)
        recorded.append(('/camera/camera_info', taken_ns + 1_000_000, info))
        recorded.append(('/camera/image_raw', taken_ns + 2_000_000, image(rgb, taken_ns)))
    return recorded


def loops(results: list[HumanArray]) -> list[list[HumanArray]]:
    """Cut results where their time jumps back."""
    cut: list[list[HumanArray]] = [[]]
    for result in results:
        if cut[-1] and taken_ns(result) < taken_ns(cut[-1][-1]):
            cut.append([])
        cut[-1].append(result)
    return cut


def taken_ns(result: HumanArray) -> int:
    return int(result.header.stamp.sec * 10**9 + result.header.stamp.nanosec)


def test_a_bag_that_loops(rig: Rig) -> None:
    """With the bag's time: stamps as recorded, a small age, and ids that begin again each time."""
    rig.start_node(parameters={'use_sim_time': True, 'smoothing': True})
    results, diagnostics = rig.humans(), rig.diagnostics()
    bag = write_bag(rig.folder / 'bag', recording())
    rig.start([str(PLAYER), str(bag)])
    rig.wait(lambda: len(loops(results)) > 2, 'the second loop to end', timeout_s=120)
    whole = loops(results)[:2]
    for loop in whole:
        ids = {'first': set(), 'second': set()}
        for result in loop:
            step, rest_ns = divmod(taken_ns(result) - START_NS, STEP_NS)
            assert rest_ns == 0
            ids['first' if step < FIRST else 'second'] |= {human.id for human in result.humans}
            assert result.calibration == HumanArray.CALIBRATION_USED
        assert ids['second'] in ({2}, {1}), 'an id of the loop before'
        assert ids['first'] <= {1}
    assert any(result.humans[0].id == 2 for loop in whole[1:] for result in loop)
    shown = [a for a in diagnostics if a.header.stamp.sec >= START_NS // 10**9]
    assert shown, 'diagnostics have the time of the bag'
    assert age_ms(shown[-1]) < 2000


def age_ms(diagnostics: DiagnosticArray) -> float:
    """Return how old results were that the diagnostics tell about."""
    values = {pair.key: pair.value for status in diagnostics.status for pair in status.values}
    return abs(float(values['age (ms)']))


def test_without_a_clock_the_node_still_tells_of_itself(rig: Rig) -> None:
    """Time stands still until a bag begins; diagnostics and new publishers do not wait."""
    rig.start_node(parameters={'use_sim_time': True})
    diagnostics = rig.diagnostics()
    rig.wait(lambda: diagnostics, 'diagnostics')
    camera, results = rig.camera(), rig.humans()
    assert len(rig.exchange(camera, results, people=2).humans) == 2


def result_of_two() -> Result:
    """Return two tracked people in a picture with a lens that bends."""
    camera = Camera(*LENS, *SIZE)
    rgb = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    rgb[0, 0] = (2, 0, 0)
    people = stand_in.people_in(rgb, camera).with_ids(np.array([7, 3]))
    stamped = Header(frame_id='lens')
    stamped.stamp.sec, stamped.stamp.nanosec = 12, 34
    return Result(Picture(rgb, stamped, Lens(Calibration.ADAPTED, camera), 0.0), people)


def test_a_bag_of_people_is_what_the_node_publishes() -> None:
    """Without ROS the same messages are written, field by field."""
    result = result_of_two()
    stamped = header(12 * 10**9 + 34, 'lens')
    written = without_ros.humans(result.people, stamped, result.picture.lens)
    data = typestore().serialize_cdr(written, 'mahmr_msgs/msg/HumanArray')
    published = messages.human_array(result, vertices=True)
    assert deserialize_message(bytes(data), HumanArray) == deserialize_message(
        serialize_message(published), HumanArray
    )


def test_markers_in_a_bag_are_those_of_the_node() -> None:
    class Settings:
        draw_meshes, draw_skeletons, draw_labels = True, False, True
        marker_opacity = 1.0

    result = result_of_two()
    stamped = header(12 * 10**9 + 34, 'lens')
    written = without_ros.markers(result.people, stamped, 'left', 1.5)
    data = typestore().serialize_cdr(written, 'visualization_msgs/msg/MarkerArray')
    drawn = markers.markers_of(result, 'left', Settings(), 1.5)  # type: ignore[arg-type]
    published = marker_array(drawn)
    assert deserialize_message(bytes(data), MarkerArray) == deserialize_message(
        published, MarkerArray
    )


def test_a_calibration_is_read_as_the_node_reads_it() -> None:
    """The types without ROS have the bytes of rclpy's, so a recording is what was sent."""
    ours = camera_info(SIZE, START_NS, LENS, d=(-0.1, 0.0, 0.0, 0.0, 0.0))
    data = bytes(typestore().serialize_cdr(ours, 'sensor_msgs/msg/CameraInfo'))
    theirs = deserialize_message(data, CameraInfo)
    assert (theirs.k[0], theirs.d[0]) == (LENS[0], -0.1)
    again = typestore().deserialize_cdr(serialize_message(theirs), 'sensor_msgs/msg/CameraInfo')
    assert again.k.tolist() == ours.k.tolist()
