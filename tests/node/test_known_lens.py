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
Metric places for every kind of calibration that a camera may have.

One node serves all cases, as on a robot: the camera `raw` and the camera `rect`, whose pictures
are rectified. The stand-in finds people by the picture and the lens alone, so what is published is
at the true place only where the node found the true lens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
import time

import boards
from boards import Sensor
from mahmr_msgs.msg import HumanArray
import numpy as np
import pytest
from ros_tools import Camera, own_domain, RELIABLE, Rig, TIMEOUT_S
from sensor_msgs.msg import CameraInfo
import stand_in

K = np.array([[600.0, 0, 320], [0, 610.0, 250], [0, 0, 1]])
P = np.array([[520.0, 0, 310], [0, 520.0, 235], [0, 0, 1]])
BARREL = (-0.3, 0.1, 0.001, -0.002, 0.0)
RATIONAL = (-0.2, 0.1, 0.001, 0.0, 0.0, 0.05, 0.01, 0.0)
FISHEYE = (0.05, -0.01, 0.002, 0.0)
ZERO = (0.0,) * 5


@dataclass(frozen=True)
class Case:
    """A camera as it is, the calibration that it sends, and what is to come of it."""

    sensor: Sensor
    told: dict[str, object] = field(default_factory=dict)
    """What its camera_info says other than K, P and no distortion for 640x480."""
    calibration: int = HumanArray.CALIBRATION_USED
    undistorted: bool = False
    rectified: bool = False


def bent(coefficients: tuple[float, ...], model: str, **changes: object) -> Case:
    sensor = Sensor(K, coefficients=coefficients, fisheye=model == 'equidistant')
    told = {'d': list(coefficients), 'distortion_model': model}
    return replace(Case(sensor, told, undistorted=True), **changes)


PART = {'roi': (100, 100, 400, 300)}
BINNED = {'binning_x': 2, 'binning_y': 2}

RIGHT = {
    'raw': Case(Sensor(K)),
    'no D': Case(Sensor(K), {'d': []}),
    'plumb_bob': bent(BARREL, 'plumb_bob'),
    'rational_polynomial': bent(RATIONAL, 'rational_polynomial'),
    'equidistant': bent(FISHEYE, 'equidistant'),
    'binning': Case(Sensor(K, (320, 240), binning=2), BINNED),
    'region': Case(Sensor(K, (400, 300), offset=(100, 100)), PART),
    'region, binning': Case(
        Sensor(K, (200, 150), offset=(100, 100), binning=2), {**PART, **BINNED}
    ),
    'distorted, region, binning': Case(
        Sensor(K, (200, 150), BARREL, offset=(100, 100), binning=2),
        {**PART, **BINNED, 'd': list(BARREL)},
        undistorted=True,
    ),
    'another size': Case(
        Sensor(K), {'k': K * [[2], [2], [1]], 'width': 1280, 'height': 960},
        HumanArray.CALIBRATION_ADAPTED,
    ),
    'another size, distorted': Case(
        Sensor(K, coefficients=BARREL),
        {'k': K * [[2], [2], [1]], 'width': 1280, 'height': 960, 'd': list(BARREL)},
        HumanArray.CALIBRATION_ADAPTED,
        undistorted=True,
    ),
    'no size': Case(Sensor(K), {'width': 0, 'height': 0}, HumanArray.CALIBRATION_ADAPTED),
    'rectified': Case(Sensor(P), {'d': list(BARREL)}, rectified=True),
    'rectified, binning': Case(
        Sensor(P, (320, 240), binning=2), {**BINNED, 'd': list(BARREL)}, rectified=True
    ),
    'rectified, region': Case(
        Sensor(P, (400, 300), offset=(100, 100)), {**PART, 'd': list(BARREL)}, rectified=True
    ),
    'rectified, without P': Case(Sensor(K), {'p': np.zeros((3, 4))}, rectified=True),
}  # fmt: skip

WRONG = {
    'zeros': ({'k': np.zeros((3, 3)), 'p': np.zeros((3, 4))}, HumanArray.CALIBRATION_ZERO),
    'another shape': ({'width': 640, 'height': 360}, HumanArray.CALIBRATION_OTHER_SIZE),
    'no number': ({'k': np.full((3, 3), np.nan)}, HumanArray.CALIBRATION_INVALID),
    'unknown model': (
        {'d': [0.1], 'distortion_model': 'magic'}, HumanArray.CALIBRATION_INVALID
    ),
}  # fmt: skip


def camera_info(told: dict[str, object]) -> CameraInfo:
    """Return a calibration for 640x480 with K, P (of a second camera of a pair) and changes."""
    projection = np.hstack([P, [[-60.0], [0], [0]]])
    info = CameraInfo(width=640, height=480, distortion_model='plumb_bob', d=list(ZERO))
    info.k, info.p = K.reshape(-1), projection.reshape(-1)
    for name, value in told.items():
        if name == 'roi':
            info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = value
        else:
            setattr(info, name, value.reshape(-1) if isinstance(value, np.ndarray) else value)
    return info


class Station:
    """A node with two cameras, and who listens to it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.process = rig.start_node(
            parameters={
                'cameras': '[raw, rect]',
                'rect.image_topic': 'rect/image_rect_color',
                'tracking': False,
            },
            env={stand_in.BOARDS: '1'},
        )
        self.cameras = {
            'raw': Camera(rig, 'raw', RELIABLE),
            'rect': Camera(rig, 'rect', RELIABLE, suffix='image_rect_color'),
        }
        self.results = {name: rig.humans(name) for name in self.cameras}
        for camera in self.cameras.values():
            camera.wait_for_listener()
            rig.wait(lambda c=camera: c.infos.get_subscription_count() > 0, 'an info listener')

    def result(
        self, name: str, sensor: Sensor, info: CameraInfo | None, wanted: int
    ) -> HumanArray:
        """Send a picture and its calibration, again until that has been taken up."""
        image = boards.draw(sensor)
        end = time.monotonic() + TIMEOUT_S
        while True:
            if info is not None:
                self.cameras[name].infos.publish(info)
                self.rig.spin(0.05)
            humans = self.rig.exchange(self.cameras[name], self.results[name], image_rgb=image)
            places_m = places(humans)
            if humans.calibration == wanted and (info is None or is_right(places_m) or wanted > 1):
                return humans
            assert time.monotonic() < end, f'calibration {humans.calibration}, people {places_m}'


def places(humans: HumanArray) -> np.ndarray:
    """Return where people stand, (N, 3) metres; a pose and its body's points agree."""
    at = [human.root_pose.position for human in humans.humans]
    places_m = np.array([(p.x, p.y, p.z) for p in at])
    for human, place in zip(humans.humans, places_m, strict=True):
        assert np.allclose(human.joints_m[:3], place, atol=1e-4)
        vertices_m = np.array(human.vertices_m).reshape(-1, 3)
        assert np.allclose(vertices_m, place + stand_in.SHAPE_M, atol=1e-4)
    return places_m


def is_right(places_m: np.ndarray) -> bool:
    """Whether everybody is within 1 % of their distance of where they truly are."""
    apart_m = np.linalg.norm(places_m - boards.CENTRES_M, axis=1)
    return bool((apart_m < 0.01 * np.linalg.norm(boards.CENTRES_M, axis=1)).all())


@pytest.fixture(scope='module')
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with own_domain() as domain:
        rig = Rig(domain, tmp_path_factory.mktemp('station'))
        try:
            yield Station(rig)
        finally:
            rig.close()


def test_no_calibration_yet(station: Station) -> None:
    """Before any camera_info: the estimate, which is wrong for this lens, and the flag of it."""
    humans = station.result('raw', Sensor(K), None, HumanArray.CALIBRATION_MISSING)
    assert humans.camera_source == HumanArray.ESTIMATED
    assert not is_right(places(humans))


@pytest.mark.parametrize('name', RIGHT)
def test_right(station: Station, name: str) -> None:
    """Within 1 % of the truth, and told how that came about."""
    case = RIGHT[name]
    camera = 'rect' if case.rectified else 'raw'
    humans = station.result(camera, case.sensor, camera_info(case.told), case.calibration)
    assert is_right(places(humans))
    assert humans.camera_source == HumanArray.CAMERA_INFO
    assert humans.undistorted == case.undistorted
    assert (humans.image_width, humans.image_height) == case.sensor.size
    for human, place in zip(humans.humans, places(humans), strict=True):
        u = humans.focal_x_px * place[0] / place[2] + humans.principal_x_px
        v = humans.focal_y_px * place[1] / place[2] + humans.principal_y_px
        assert tuple(human.joints_px[:2]) == pytest.approx((u, v), abs=0.01)


@pytest.mark.parametrize('name', WRONG)
def test_wrong(station: Station, name: str) -> None:
    """A calibration that cannot be right gives the estimate, and the flag of it."""
    told, calibration = WRONG[name]
    humans = station.result('raw', Sensor(K), camera_info(told), calibration)
    assert humans.camera_source == HumanArray.ESTIMATED
    assert not is_right(places(humans))
    assert not humans.undistorted


def test_right_again(station: Station) -> None:
    """A calibration that comes late, or is corrected, is used from then on."""
    humans = station.result('raw', Sensor(K), camera_info({}), HumanArray.CALIBRATION_USED)
    assert is_right(places(humans))


def test_one_warning_each(station: Station) -> None:
    """What cannot be used is warned of once for a camera, and not once a frame."""
    for _ in range(2):
        for told, calibration in WRONG.values():
            station.result('raw', Sensor(K), camera_info(told), calibration)
    log = station.process.output
    for text in ('is not calibrated', 'while the picture is', 'is no lens'):
        assert log.count(text) == 1, log


def test_never_any(rig: Rig, tmp_path: Path) -> None:
    """Pictures without a calibration: all are answered with the estimate; one warning."""
    process = rig.start_node(env={stand_in.BOARDS: '1'})
    camera, results = rig.camera(), rig.humans()
    image = boards.draw(Sensor(K))
    rig.exchange(camera, results, image_rgb=image)
    said = 'no camera_info has arrived yet: the lens is estimated from the picture'
    rig.wait(
        lambda: (rig.exchange(camera, results, image_rgb=image), said in process.output)[1],
        'the warning',
    )
    for _ in range(3):
        humans = rig.exchange(camera, results, image_rgb=image)
        assert humans.calibration == HumanArray.CALIBRATION_MISSING
    assert process.output.count(said) == 1
