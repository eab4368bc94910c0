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

"""The poses of scenes: within what people can do, on their feet, and made as they should be."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.errors import UserError
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from training.synthetic.scenes.people import CATEGORY_WEIGHTS
from training.synthetic.scenes.pose_library import POSE_LIBRARY, pose_library
from training.synthetic.scenes.poses import __main__ as command
from training.synthetic.scenes.poses import build
from training.synthetic.scenes.poses.figure import Figure, joint, SIDES
from training.synthetic.scenes.poses.limits import within_limits
from training.synthetic.scenes.poses.mocap import MOTIONS, read_motions, retargeted
from training.synthetic.scenes.poses.settle import settled
from training.synthetic.scenes.poses.stances import stand, walk
from training.synthetic.scenes.rotations import heading, matrices, rotvec
from training.synthetic.scenes.small_body import small_body


def posed(rotvecs: np.ndarray) -> dict[str, np.ndarray]:
    """Return joints (N, 3) by name, of the mean body, the pelvis at the origin."""
    joints = small_body().pose(matrices(rotvecs), np.zeros((len(rotvecs), 11))).joints
    return {name: joints[:, i] - joints[:, 0] for i, name in enumerate(JOINT_NAMES_45)}


def test_the_shipped_library_is_whole_and_within_limits() -> None:
    library = pose_library()
    assert POSE_LIBRARY.stat().st_size < 3_000_000
    assert set(library.rows) == set(CATEGORY_WEIGHTS)
    assert sum(len(rows) for rows in library.rows.values()) == len(library.rotvecs) > 4000
    # float16 and the tilts move angles by less than a degree; recordings may go 12° beyond.
    assert within_limits(library.rotvecs, 13).all()
    assert within_limits(library.rotvecs[library.rows['stand']], 1).all()
    assert ((library.lifts_m >= 0) & (library.lifts_m < 1.2)).all()
    assert (library.lifts_m[library.rows['stand']] == 0).all()


def test_who_stands_has_both_feet_on_the_ground() -> None:
    rows = pose_library().rows['stand']
    skin = (
        small_body().pose(matrices(pose_library().rotvecs[rows]), np.zeros((len(rows), 11))).skin
    )
    part = small_body().part
    lows = [skin[:, np.isin(part, feet), 1].min(1) for feet in ((7, 10), (8, 11))]
    ground = skin[..., 1].min(1)
    # One foot is always on it, and the other rests on it or, in a long step, on its toes.
    assert np.abs(np.minimum(*lows) - ground).max() < 1e-9
    assert np.mean(np.maximum(*lows) - ground < 0.03) > 0.95


@pytest.mark.parametrize('side', SIDES)
def test_hands_and_feet_go_where_they_are_told(side: str) -> None:
    figure = Figure()
    figure.set('pelvis', 'YXZ', [20, 15, -5])
    figure.bend(20, 10, 5)
    sign = 1.0 if side == 'left' else -1.0
    wrist, ankle = np.array([sign * 0.25, 0.35, 0.35]), np.array([sign * 0.12, -0.7, 0.2])
    figure.arm(side, wrist, (sign, -1, -0.3), None)  # type: ignore[arg-type]
    figure.leg(side, ankle, (0, 0, 1), np.eye(3))  # type: ignore[arg-type]
    joints = posed(figure.rotvecs()[None])
    np.testing.assert_allclose(joints[f'{side}_wrist'][0], wrist, atol=1e-6)
    np.testing.assert_allclose(joints[f'{side}_ankle'][0], ankle, atol=1e-6)
    assert within_limits(figure.rotvecs()[None]).all()
    # A knee bends forwards, an elbow outwards and down as told.
    hip, knee = joints[f'{side}_hip'][0], joints[f'{side}_knee'][0]
    assert (knee - (hip + ankle) / 2)[2] > 0.05
    shoulder, elbow = joints[f'{side}_shoulder'][0], joints[f'{side}_elbow'][0]
    assert (elbow - (shoulder + wrist) / 2) @ np.array([sign, -1, -0.3]) > 0.05


def test_what_cannot_be_reached_is_approached_with_a_nearly_straight_arm() -> None:
    figure = Figure()
    figure.arm('left', np.array([2.0, 0.4, 0.0]), (0, -1, 0), None)
    joints = posed(figure.rotvecs()[None])
    arm = joints['left_wrist'][0] - joints['left_shoulder'][0]
    assert arm[0] > 0.98 * np.linalg.norm(arm)
    assert np.rad2deg(np.linalg.norm(figure.rotvecs()[joint('left_elbow')])) < 8


def test_limits_refuse_what_nobody_can_do() -> None:
    still = np.zeros((24, 3))
    assert within_limits(still[None]).all()
    for name, axis, degrees in (
        ('left_knee', 0, -20),
        ('left_elbow', 1, 30),
        ('right_elbow', 1, -30),
        ('left_hip', 0, 60),
        ('head', 1, 80),
        ('left_shoulder', 1, 100),
        ('right_shoulder', 1, -100),
    ):
        wrong = still.copy()
        wrong[joint(name), axis] = np.deg2rad(degrees)
        assert not within_limits(wrong[None]).any(), name
        assert within_limits((wrong * 0.1)[None]).all(), name


def frame(**changes: tuple[int, float]) -> np.ndarray:
    """Return a frame of a recording that stands at ease, but for some numbers."""
    numbers = np.zeros(44)
    numbers[2] = 0.89
    for first in (4, 8, 12, 16, 21, 25, 30, 35, 39):
        numbers[first] = 1.0
    for index, value in changes.values():
        numbers[index] = value
    return numbers


def test_recordings_keep_their_sense() -> None:
    half = np.sqrt(0.5)
    frames = np.stack(
        [
            frame(),
            frame(knee=(20, -1.0)),
            frame(elbow=(43, 1.2)),
            frame(w=(4, half), x=(6, half)),  # turned a quarter to the left
        ]
    )
    joints = posed(retargeted(frames))
    for side, sign in (('left', 1), ('right', -1)):
        down = joints[f'{side}_wrist'][0] - joints[f'{side}_shoulder'][0]
        assert down[1] < -0.45
        assert sign * joints[f'{side}_shoulder'][0, 0] > 0.1
    assert joints['right_ankle'][1, 2] < joints['left_ankle'][1, 2] - 0.2  # a bent knee: back
    assert joints['left_wrist'][2, 2] > joints['right_wrist'][2, 2] + 0.15  # a bent elbow: ahead
    assert joints['nose'][0, 2] > 0.05
    assert joints['nose'][3, 0] > 0.05  # their y is up too


def motions(folder: Path, frames: list[list[float]]) -> Path:
    for name in MOTIONS:
        (folder / f'humanoid3d_{name}.txt').write_text(json.dumps({'Frames': frames}))
    return folder


def test_the_command_makes_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, 'RECIPE', {'stand': (5, (stand,)), 'walk': (4, (walk,))})
    folder = motions(tmp_path, [frame().tolist()] * 4)
    out = tmp_path / 'library.npz'
    sheet = tmp_path / 'sheet.jpg'
    todo = ['--motions', folder, '--out', out, '--seed', '3', '--sheet', sheet, '--columns', '2']
    assert command.main([str(part) for part in todo]) == 0
    assert 'stand: 5' in capsys.readouterr().out
    assert cv2.imread(str(sheet)).shape[1] == 300
    with np.load(out, allow_pickle=False) as file:
        names = [str(n) for n in file['category_names']]
        assert set(names) == {'stand', 'walk', *(c for c, _ in MOTIONS.values())}
        assert np.isfinite(file['rotvecs']).all()
        assert (file['category'] == names.index('stand')).sum() == 5


def test_what_is_no_library_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert 'Say what to do' in capsys.readouterr().err
    out = tmp_path / 'library.npz'
    out.write_bytes(b'none')
    assert command.main(['--out', str(out), '--sheet', str(tmp_path / 'a.jpg')]) == 2
    assert 'should hold a library of poses' in capsys.readouterr().err


def test_motions_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='should be a motion of the package pybullet'):
        read_motions(tmp_path)
    with pytest.raises(UserError, match='should hold frames of 44 numbers'):
        read_motions(motions(tmp_path, [[1.0, 2.0]]))


def test_a_leaning_body_is_laid_on_the_ground() -> None:
    pose = np.zeros((1, 24, 3))
    pose[0, 0] = Rotation.from_euler('XY', [-90, 14], degrees=True).as_rotvec()
    laid = settled(pose, 40.0)
    up = Rotation.from_rotvec(laid[0, 0]).apply([0, 0, 1])
    assert up[1] > 0.97  # the belly faces up: on the back
    np.testing.assert_array_equal(settled(pose, 1.0), pose)


def test_rotations_agree_with_scipys() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(200, 3))
    vectors *= (generator.uniform(0, np.pi, 200) / np.linalg.norm(vectors, axis=1))[:, None]
    vectors = np.concatenate([vectors, np.zeros((1, 3)), np.eye(3) * np.pi, -np.eye(3) * 3.14159])
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(matrices(vectors), expected, atol=1e-12)
    again = np.stack([rotvec(m) for m in expected])
    np.testing.assert_allclose(matrices(again), expected, atol=1e-9)
    angles = generator.uniform(-4, 4, 5)
    turned = Rotation.from_euler('Y', angles[:, None]).as_matrix()
    np.testing.assert_allclose(heading(angles), turned, atol=1e-12)
