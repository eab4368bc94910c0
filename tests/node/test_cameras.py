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

import cv2
from mahmr_model.errors import UserError
from mahmr_model.types import Camera
from mahmr_msgs.msg import HumanArray
from mahmr_node.cameras import Calibration, Distortion, Lens, lens_of, Undistorter
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

FX, FY, CX, CY = 600.0, 610.0, 320.0, 250.0


def info(**changes: object) -> CameraInfo:
    """Return the calibration of a 640×480 camera, changed."""
    message = CameraInfo(width=640, height=480, distortion_model='plumb_bob')
    message.d = [0.0] * 5
    message.k = [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
    message.p = [500.0, 0.0, 310.0, -60.0, 0.0, 500.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def numbers(lens: Lens) -> tuple[float, float, float, float]:
    assert lens.camera is not None
    return lens.camera.fx, lens.camera.fy, lens.camera.cx, lens.camera.cy


def test_numbers_are_those_of_the_message() -> None:
    """The model knows no ROS, so its flags repeat the numbers of HumanArray."""
    for flag in Calibration:
        assert getattr(HumanArray, f'CALIBRATION_{flag.name}') == flag
    constants = [name for name in dir(HumanArray) if name.startswith('CALIBRATION_')]
    assert len(constants) == len(Calibration)


def test_raw_and_rectified() -> None:
    """K is the lens of a raw picture, the left of P that of a rectified one."""
    raw = lens_of(info(), 640, 480, rectified=False)
    assert (raw.calibration, raw.distortion, raw.note) == (Calibration.USED, None, '')
    assert numbers(raw) == (FX, FY, CX, CY)
    rectified = lens_of(info(d=[0.1, 0, 0, 0, 0.0]), 640, 480, rectified=True)
    assert numbers(rectified) == (500, 500, 310, 240)
    assert rectified.distortion is None


def test_binning_and_region() -> None:
    """A region moves the principal point, binning then divides everything."""
    binned = info(binning_x=2, binning_y=2)
    lens = lens_of(binned, 320, 240, rectified=False)
    assert lens.calibration is Calibration.USED
    assert numbers(lens) == (FX / 2, FY / 2, CX / 2, CY / 2)
    binned.roi.x_offset, binned.roi.y_offset = 100, 40
    binned.roi.width, binned.roi.height = 400, 300
    lens = lens_of(binned, 200, 150, rectified=False)
    assert lens.calibration is Calibration.USED
    assert numbers(lens) == (FX / 2, FY / 2, (CX - 100) / 2, (CY - 40) / 2)


def test_another_size() -> None:
    """The same shape is scaled and flagged; another shape is not used."""
    lens = lens_of(info(), 1280, 960, rectified=False)
    assert lens.calibration is Calibration.ADAPTED
    assert numbers(lens) == (2 * FX, 2 * FY, 2 * CX, 2 * CY)
    assert '640x480' in lens.note
    lens = lens_of(info(), 640, 360, rectified=False)
    assert lens.calibration is Calibration.OTHER_SIZE
    assert lens.camera is None
    assert lens_of(info(width=0, height=0), 640, 480, rectified=False).calibration is (
        Calibration.ADAPTED
    )


@pytest.mark.parametrize(
    ('message', 'expected'),
    [
        (None, Calibration.MISSING),
        (CameraInfo(), Calibration.ZERO),
        (info(k=[float('nan'), 0, 1, 0, 1, 1, 0, 0, 1.0]), Calibration.INVALID),
        (info(k=[600.0, 0, 1, 0, -1, 1, 0, 0, 1.0]), Calibration.INVALID),
        (info(distortion_model='fov', d=[0.1]), Calibration.INVALID),
        (info(d=[0.1, 0.2]), Calibration.INVALID),
        (info(d=[float('nan')] * 5), Calibration.INVALID),
    ],
)
def test_not_usable(message: CameraInfo | None, expected: Calibration) -> None:
    """No lens comes out, and a sentence says why."""
    lens = lens_of(message, 640, 480, rectified=False)
    assert lens.calibration is expected
    assert lens.camera is None
    assert lens.note


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [
        ('plumb_bob', [-0.3, 0.1, 0.001, -0.002, 0.0]),
        ('rational_polynomial', [-0.2, 0.1, 0.001, 0, 0.0, 0.05, 0.01, 0.0]),
        ('equidistant', [0.05, -0.01, 0.002, 0.0]),
    ],
)
def test_undistortion(model: str, coefficients: list[float]) -> None:
    """
    A point that the bent lens shows somewhere is seen where the straight lens has it.

    Within half a pixel: the spot's centre is found from whole pixels.
    """
    lens = lens_of(info(distortion_model=model, d=coefficients), 640, 480, rectified=False)
    assert lens.camera is not None
    point = np.array([[[0.25, -0.2, 1.0]]])
    k, d = lens.camera.matrix, np.array(coefficients)
    if model == 'equidistant':
        bent, _ = cv2.fisheye.projectPoints(point, np.zeros(3), np.zeros(3), k, d)
    else:
        bent, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), k, d)
    image = np.zeros((480, 640, 3), np.uint8)
    y, x = np.mgrid[0:480, 0:640]
    near = np.exp(-((x - bent[0, 0, 0]) ** 2 + (y - bent[0, 0, 1]) ** 2) / 18)
    image[:] = (255 * near)[..., None]
    straight = Undistorter()(image, lens)[..., 0].astype(float)
    seen = np.array([(x * straight).sum(), (y * straight).sum()]) / straight.sum()
    expected = lens.camera.project(point[0])[0]
    assert np.abs(bent[0, 0] - expected).max() > 1.5, 'the case bends nothing'
    assert np.abs(seen - expected).max() < 0.5


def test_a_picture_that_cannot_be_straightened_is_refused() -> None:
    """More than 32766 pixels a side are too many for OpenCV; the next picture is well again."""
    bent = Distortion((-0.3, 0.1, 0.0, 0.0, 0.0), fisheye=False)
    undistort = Undistorter()
    for width in (64, 40_000, 64):
        lens = Lens(Calibration.USED, Camera(600, 600, 32, 2, width, 4), bent)
        image = np.zeros((4, width, 3), np.uint8)
        if width == 64:
            assert undistort(image, lens).shape == image.shape
            continue
        with pytest.raises(UserError, match='40000x4 cannot be straightened'):
            undistort(image, lens)


def test_straight_picture_is_left_alone() -> None:
    """Without distortion the very same array comes back."""
    image = np.zeros((480, 640, 3), np.uint8)
    assert Undistorter()(image, lens_of(info(), 640, 480, rectified=False)) is image
