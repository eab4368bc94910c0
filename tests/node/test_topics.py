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

import math

from bad_pictures import oversized_png
from builtin_interfaces.msg import Time
import cv2
from geometry_msgs.msg import PoseArray
from mahmr_msgs.msg import HumanArray
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_tools import (
    BEST_EFFORT,
    Camera,
    compressed,
    message_stamp,
    picture,
    RELIABLE,
    Rig,
    values,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
import stand_in
from visualization_msgs.msg import Marker, MarkerArray


def test_headers_and_contents(rig: Rig) -> None:
    """Every topic carries exactly the picture's header, and the people where they are."""
    rig.start_node()
    camera = rig.camera()
    kinds = {
        'humans': HumanArray,
        'poses': PoseArray,
        'markers': MarkerArray,
        'overlay': Image,
        'estimated_camera_info': CameraInfo,
    }
    topics = {name: rig.collect(kind, f'/mahmr/camera/{name}') for name, kind in kinds.items()}
    rig.exchange(camera, topics['humans'], people=1)
    sent = camera.send(people=3, size=(64, 48), frame='optical')
    rig.wait(
        lambda: all(m and message_stamp(m[-1]) == sent.header.stamp for m in topics.values()),
        'all topics',
    )
    last = {name: messages[-1] for name, messages in topics.items()}
    for name in ('humans', 'poses', 'overlay', 'estimated_camera_info'):
        assert last[name].header == sent.header
    assert {m.header.frame_id for m in last['markers'].markers} == {'optical'}

    humans = last['humans']
    assert [human.id for human in humans.humans] == [1, 2, 3]
    assert (humans.image_width, humans.image_height) == (64, 48)
    assert humans.untrained
    assert list(humans.faces) == list(stand_in.FACES.reshape(-1))
    focal = 32 / math.tan(stand_in.ESTIMATED_FOV_RAD / 2)
    assert humans.focal_x_px == pytest.approx(focal, rel=1e-6)
    assert humans.camera_source == HumanArray.ESTIMATED
    for human, place, height in zip(
        humans.humans, stand_in.PLACES_M, stand_in.HEIGHTS_M, strict=False
    ):
        vertices = np.array(human.vertices_m).reshape(-1, 3)
        assert np.allclose(vertices, place + stand_in.SHAPE_M, atol=1e-5)
        assert np.allclose(human.joints_m[:3], place, atol=1e-5)
        assert human.height_m == pytest.approx(height, rel=1e-6)
        joints_px = np.array(human.joints_px).reshape(-1, 2)
        at = human.root_pose.position
        assert joints_px[0, 0] == pytest.approx(focal * at.x / at.z + 32, abs=1e-3)
        # Half a turn about y is (0, sin 45°, 0, cos 45°) as a quaternion of a quarter turn.
        turn = human.root_pose.orientation
        assert (turn.y, turn.w) == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    assert last['poses'].poses == [human.root_pose for human in humans.humans]
    info = last['estimated_camera_info']
    assert info.k[0] == pytest.approx(focal)
    assert (info.width, info.height, info.p[2]) == (64, 48, 32)
    overlay = last['overlay']
    assert (overlay.width, overlay.height, overlay.encoding) == (64, 48, 'rgb8')
    assert bytes(overlay.data) != bytes(sent.data), 'nothing was drawn'


def test_markers(rig: Rig) -> None:
    """What RViz asks for: whole triangles, finite, unique names, a lifetime, and clearing."""
    rig.start_node(parameters={'draw_skeletons': True, 'draw_labels': True})
    camera = rig.camera()
    results = rig.collect(MarkerArray, '/mahmr/camera/markers')
    colours = []
    for people in (3, 2):
        markers = rig.exchange(camera, results, people=people).markers
        assert markers[0].action == Marker.DELETEALL
        shown = markers[1:]
        assert len(shown) == 3 * people
        assert len({(m.ns, m.id) for m in shown}) == len(shown)
        meshes = [m for m in shown if m.type == Marker.TRIANGLE_LIST]
        assert len(meshes) == people
        for mesh, place in zip(meshes, stand_in.PLACES_M, strict=False):
            points = np.array([(p.x, p.y, p.z) for p in mesh.points])
            assert np.allclose(points, (place + stand_in.SHAPE_M)[stand_in.FACES.reshape(-1)])
            assert mesh.colors == []
            assert (mesh.scale.x, mesh.scale.y, mesh.scale.z) == (1, 1, 1)
            assert mesh.pose.orientation.w == 1
            assert mesh.color.a == 1
        for marker in shown:
            assert marker.ns.startswith('camera/')
            assert 0.9 < marker.lifetime.sec + 1e-9 * marker.lifetime.nanosec < 60
            assert marker.type == Marker.TEXT_VIEW_FACING or len(marker.points) > 0
            assert all(math.isfinite(c) for p in marker.points for c in (p.x, p.y, p.z))
        assert '1.60 m tall, 4.3 m UNTRAINED' in next(m for m in shown if m.text).text
        colours.append([(m.color.r, m.color.g, m.color.b) for m in meshes])
    assert len(set(colours[0])) == 3, 'people of one colour'
    assert colours[1] == colours[0][:2], 'a person changed colour'
    empty = rig.exchange(camera, results, people=0).markers
    assert [marker.action for marker in empty] == [Marker.DELETEALL]


def test_known_camera(rig: Rig) -> None:
    """camera_info is used from when it comes; what it cannot be used for is flagged."""
    rig.start_node()
    camera = rig.camera()
    results = rig.humans()
    rig.wait(lambda: camera.infos.get_subscription_count() > 0, 'a camera_info listener')

    def calibration_after(info: CameraInfo | None, wanted: int) -> HumanArray:
        """Send a calibration, then pictures until it has arrived as well."""
        if info is not None:
            camera.infos.publish(info)
        for _ in range(50):
            humans = rig.exchange(camera, results, size=(64, 48))
            if humans.calibration == wanted:
                return humans
        raise AssertionError(f'calibration {humans.calibration}, not {wanted}')

    late = calibration_after(None, HumanArray.CALIBRATION_MISSING)
    assert late.camera_source == HumanArray.ESTIMATED
    info = CameraInfo(width=64, height=48, distortion_model='plumb_bob', d=[0.0] * 5)
    info.k = [80.0, 0.0, 30.0, 0.0, 81.0, 20.0, 0.0, 0.0, 1.0]
    known = calibration_after(info, HumanArray.CALIBRATION_USED)
    assert known.camera_source == HumanArray.CAMERA_INFO
    assert (known.focal_x_px, known.focal_y_px) == (80, 81)
    assert (known.principal_x_px, known.principal_y_px) == (30, 20)
    assert not known.undistorted
    info.width, info.height = 128, 96
    scaled = calibration_after(info, HumanArray.CALIBRATION_ADAPTED)
    assert scaled.focal_x_px == 40
    info.height = 50
    other = calibration_after(info, HumanArray.CALIBRATION_OTHER_SIZE)
    assert other.camera_source == HumanArray.ESTIMATED
    zero = calibration_after(CameraInfo(width=64, height=48), HumanArray.CALIBRATION_ZERO)
    assert zero.camera_source == HumanArray.ESTIMATED
    info.width, info.height, info.d = 64, 48, [-0.2, 0.1, 0.0, 0.0, 0.0]
    assert calibration_after(info, HumanArray.CALIBRATION_USED).undistorted
    assert rig.set(camera_source='estimated').successful
    ignored = calibration_after(None, HumanArray.CALIBRATION_IGNORED)
    assert ignored.camera_source == HumanArray.ESTIMATED


@pytest.mark.parametrize('qos', [RELIABLE, BEST_EFFORT], ids=['reliable', 'best_effort'])
@pytest.mark.parametrize('first', ['node', 'camera'])
def test_quality_of_service(rig: Rig, qos: QoSProfile, first: str) -> None:
    """Reliable and best-effort cameras both work, whichever side starts first."""
    if first == 'node':
        rig.start_node()
        rig.wait(lambda: rig.node.count_subscribers('/camera/image_raw') > 0, 'a listener')
        camera = Camera(rig, 'camera', qos)
    else:
        camera = Camera(rig, 'camera', qos)
        rig.start_node()
    camera.wait_for_listener()
    results = rig.humans()
    assert len(rig.exchange(camera, results, people=2).humans) == 2
    there = rig.node.get_subscriptions_info_by_topic('/camera/image_raw')
    assert [s.qos_profile.reliability for s in there] == [qos.reliability]


def test_quality_of_service_changes(rig: Rig) -> None:
    """A camera that comes back with another reliability is heard again."""
    rig.start_node()
    results = rig.humans()
    for people, qos in enumerate((RELIABLE, BEST_EFFORT, RELIABLE), start=1):
        camera = rig.camera(qos=qos)
        assert len(rig.exchange(camera, results, people=people).humans) == people
        rig.node.destroy_publisher(camera.images)


def test_pictures_without_a_time(rig: Rig) -> None:
    """Their results have none either; people are followed by arrival, so that nobody freezes."""
    process = rig.start_node(parameters={'smoothing': True})
    camera, results, diagnostics = rig.camera(), rig.humans(), rig.diagnostics()
    rig.exchange(camera, results)
    results.clear()

    for right_cm in [0] * 3 + [20] * 20:
        count = len(results)
        camera.images.publish(picture(right_cm=right_cm))
        rig.wait(lambda: len(results) > count, 'a result')  # noqa: B023
        rig.spin(0.05)
    # By the stamps, no time would have passed in which somebody could move.
    assert results[-1].humans[0].root_pose.position.x > stand_in.PLACES_M[0, 0] + 0.18
    assert results[-1].header.stamp == Time()
    assert process.output.count('pictures have no time') == 1
    rig.wait(lambda: 'age (ms)' in values(diagnostics[-1:], 'camera'), 'diagnostics')
    assert float(values(diagnostics, 'camera')['age (ms)']) < 60_000


def test_overridden(rig: Rig) -> None:
    """Quality of service as the parameters say, and results under a name of the user's."""
    rig.start_node(
        parameters={'image_reliability': 'best_effort', 'output_reliability': 'best_effort'},
        remap={'~/camera/humans': '/people'},
    )
    camera = rig.camera(qos=RELIABLE)
    results = rig.collect(HumanArray, '/people', BEST_EFFORT)
    assert len(rig.exchange(camera, results, people=2).humans) == 2
    wanted = BEST_EFFORT.reliability
    there = rig.node.get_subscriptions_info_by_topic('/camera/image_raw')
    assert [s.qos_profile.reliability for s in there] == [wanted]
    for topic in ('/people', '/mahmr/camera/markers'):
        offered = rig.node.get_publishers_info_by_topic(topic)
        assert [p.qos_profile.reliability for p in offered] == [wanted]


def test_raw_720p_gets_through(rig: Rig) -> None:
    """Raw 720p pictures (2.76 MB) of a reliable camera all arrive with default settings."""
    rig.start_node()
    camera = rig.camera()
    results = rig.humans()
    rig.exchange(camera, results)
    for _ in range(15):
        before = len(results)
        stamp = camera.send(size=(1280, 720)).header.stamp
        rig.wait(lambda: len(results) > before, 'a 720p picture', 20)  # noqa: B023
        assert results[-1].header.stamp == stamp


def test_encodings_and_faults(rig: Rig) -> None:
    """A picture that cannot be read, or breaks the network, costs that frame and no more."""
    process = rig.start_node()
    process.may_show_tracebacks = True
    camera = rig.camera()
    results = rig.humans()
    diagnostics = rig.diagnostics()
    assert len(rig.exchange(camera, results, people=1, frame='').humans) == 1
    assert results[-1].header.frame_id == 'camera_optical_frame'
    assert process.output.count('pictures name no frame') == 1

    def wait_for_error(text: str) -> None:
        rig.wait(
            lambda: any(
                s.level == b'\x02' and text in s.message for d in diagnostics for s in d.status
            ),
            f'an ERROR with "{text}"',
        )

    unknown = Image(width=4, height=4, encoding='32FC1', step=16)
    camera.images.publish(unknown)
    wait_for_error('"32FC1"')
    said = process.output.count('"32FC1"')
    for _ in range(20):
        camera.images.publish(unknown)
        rig.spin(0.05)
    assert said == 1
    assert process.output.count('"32FC1"') <= 2, 'a line in the log for each bad picture'
    camera.images.publish(Image(encoding='rgb8'))
    wait_for_error('no pixels (0x0)')
    camera.images.publish(Image(width=4, height=4, encoding='rgb8', step=12))
    wait_for_error('0 bytes in all')
    for fault, text in (
        (1, 'the stand-in was asked to fail'),
        (2, 'not finite'),
        (4, 'not enough memory for this picture (CUDA out of memory. Tried to allocate 2.00 GiB)'),
    ):
        camera.send(fault=fault)
        wait_for_error(text)
        assert len(rig.exchange(camera, results, people=2).humans) == 2
    assert rig.state() == 'active'

    def healthy() -> bool:
        rig.exchange(camera, results)
        return diagnostics[-1].status[-1].level == b'\x00'

    rig.wait(healthy, 'health again', 30)


def test_compressed(rig: Rig) -> None:
    """Compressed transport, as image_transport names its topic."""
    rig.start_node(parameters={'camera.transport': 'compressed'})
    publisher = rig.node.create_publisher(
        CompressedImage, '/camera/image_raw/compressed', RELIABLE
    )
    rig.wait(lambda: publisher.get_subscription_count() > 0, 'a listener')
    results = rig.humans()
    rgb = np.zeros((48, 64, 3), np.uint8)
    rgb[0, 0] = (4, 0, 0)
    message = compressed(cv2.imencode('.png', rgb[..., ::-1])[1].tobytes(), 'png')
    for _ in range(20):
        publisher.publish(message)
        rig.spin(0.2)
        if results:
            break
    assert len(results[0].humans) == 4


def test_a_picture_that_opencv_refuses(rig: Rig) -> None:
    """It is counted and named, without a traceback, and the node goes on."""
    process = rig.start_node(parameters={'camera.transport': 'compressed'})
    publisher = rig.node.create_publisher(
        CompressedImage, '/camera/image_raw/compressed', RELIABLE
    )
    rig.wait(lambda: publisher.get_subscription_count() > 0, 'a listener')
    results, diagnostics = rig.humans(), rig.diagnostics()

    def failed() -> bool:
        publisher.publish(compressed(oversized_png(), 'png'))
        return values(diagnostics, 'camera').get('frames failed', '0') != '0'

    rig.wait(failed, 'the fault')
    assert 'cannot be decoded' in values(diagnostics, 'camera')['last error']
    assert 'cannot be decoded' in process.output
    sound = compressed(cv2.imencode('.png', np.zeros((48, 64, 3), np.uint8))[1].tobytes(), 'png')
    rig.wait(lambda: (publisher.publish(sound), results)[1], 'a result')


def test_nothing_is_built_without_listeners(rig: Rig) -> None:
    """Only the topics that somebody listens to are built, though every frame is worked on."""
    log = rig.folder / 'log'
    rig.start_node(env={stand_in.LOG: str(log)})
    camera = rig.camera()
    camera.send()
    rig.wait(lambda: log.exists() and 'batch' in log.read_text(), 'a frame worked on')
    rig.spin(0.3)
    assert 'built' not in log.read_text()
    poses = rig.collect(PoseArray, '/mahmr/camera/poses')
    rig.exchange(camera, poses)
    built = {line for line in log.read_text().splitlines() if line.startswith('built')}
    assert built == {'built poses'}


def test_drawing_holds_up_nothing(rig: Rig) -> None:
    """Results come while an overlay is drawn, which passes over all but the newest of them."""
    log = rig.folder / 'log'
    rig.start_node(env={stand_in.LOG: str(log), stand_in.DRAWING_DELAY_S: '1.0'})
    camera, results = rig.camera(), rig.humans()
    rig.exchange(camera, results)
    overlays = rig.collect(Image, '/mahmr/camera/overlay')
    rig.exchange(camera, overlays)
    shown = len(overlays)
    for _ in range(8):
        sent = rig.exchange(camera, results)
    assert len(overlays) - shown < 6, 'results waited for drawings'
    rig.wait(lambda: overlays[-1].header == sent.header, 'the newest overlay')


def test_camera_info_beside_remapped_pictures(rig: Rig) -> None:
    """Where the pictures are remapped, the calibration is looked for beside them."""
    rig.start_node(remap={'camera/image_raw': '/left/image_rect'})
    rig.camera('left', suffix='image_rect')
    rig.wait(lambda: rig.node.count_subscribers('/left/camera_info') > 0, 'a listener beside')
