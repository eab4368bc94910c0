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

"""`mahmr bag`: what it makes of good bags, and what it says of bad ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from bad_pictures import oversized_png
from bag_maker import camera_info, compressed, image, Message, START_NS, write_bag
import cv2
from mahmr_model.bag.process import BagJob, process_bag
from mahmr_model.bag.types import typestore
from mahmr_model.cli import main
from mahmr_model.errors import UserError
from mahmr_model.types import Camera, ImageArray, People
import numpy as np
import pytest
from rosbags.rosbag2 import Reader

SIZE = (64, 48)
K = (50.0, 52.0, 31.0, 25.0)
P = (40.0, 41.0, 30.0, 24.0)
STEP_NS = 100_000_000
DISTORTED = (-0.3, 0.1, 0.0, 0.0, 0.0)
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def picture(value: int = 90) -> np.ndarray:
    """Return a picture with a pattern; its first pixel is `value`."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    rgb = np.stack([3 * x, 4 * y, x + y], axis=-1).astype(np.uint8)
    rgb[0, 0] = value
    return rgb


def clip(
    topic: str = '/front/image_raw',
    count: int = 3,
    info: Any = None,
    start_ns: int = START_NS,
    **options: Any,
) -> list[Message]:
    """Return pictures 0.1 s apart, each recorded 5 ms after it was taken, its info before it."""
    messages: list[Message] = []
    for step in range(count):
        stamp_ns = start_ns + step * STEP_NS
        if info is not None:
            messages.append((topic.rpartition('/')[0] + '/camera_info', stamp_ns, info))
        messages.append((topic, stamp_ns + 5_000_000, image(picture(step), stamp_ns, **options)))
    return messages


class StandIn:
    """
    A predictor that sees one person, and remembers what it was given.

    They are 4 m away, and as many decimetres more as the first pixel says.
    """

    untrained = True

    def __init__(self) -> None:
        self.images: list[ImageArray] = []
        self.cameras: list[Camera | None] = []

    def __call__(self, image_rgb: ImageArray, camera: Camera | None) -> People:
        self.images.append(image_rgb)
        self.cameras.append(camera)
        lens = camera or Camera(60, 60, 32, 24, *SIZE)
        root = np.array([[0.5, 0.2, 4 + 0.1 * image_rgb[0, 0, 0]]], np.float32)
        joints = np.repeat(root[:, None], 45, 1)
        mesh = root[:, None] + np.array([[0, -1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
        return People(
            confidence=np.array([0.8], np.float32),
            boxes_xyxy_px=np.array([[10, 5, 30, 40]], np.float32),
            pose_axis_angle=np.full((1, 24, 3), 0.1, np.float32),
            betas=np.zeros((1, 10), np.float32),
            translation_m=root,
            joints_camera_m=joints,
            joints_px=lens.project(joints),
            vertices_camera_m=mesh,
            height_m=np.array([1.7], np.float32),
            faces=FACES,
            camera=lens,
            camera_source='given' if camera else 'estimated',
            untrained=True,
        )

    def repose(self, people: People) -> People:
        joints = np.repeat(people.translation_m[:, None], 45, 1)
        return replace(people, joints_camera_m=joints)


class Run:
    """One run of a job with the stand-in, and what came of it."""

    def __init__(self, folder: Path, messages: Sequence[Message], **job: Any) -> None:
        self.said: list[str] = []
        self.seen = StandIn()
        self.out = folder / 'out'
        storage = job.pop('storage', 'mcap')
        source = write_bag(folder / 'in', messages, storage)
        self.whole = process_bag(
            BagJob(source, self.out, **job),
            lambda: self.seen,  # type: ignore[arg-type, return-value]
            self.said.append,
        )

    def results(self, topic: str = '/mahmr/front/humans') -> list[tuple[int, Any]]:
        """Read what was written on a topic, with the times of recording."""
        with Reader(self.out / 'bag') as reader:
            connections = [c for c in reader.connections if c.topic == topic]
            return [
                (time_ns, typestore().deserialize_cdr(data, connection.msgtype))
                for connection, time_ns, data in reader.messages(connections=connections)
            ]


def files(folder: Path) -> list[str]:
    """List all files below a folder, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_results_have_the_times_and_frames_of_the_pictures(tmp_path: Path, storage: str) -> None:
    run = Run(tmp_path, clip(frame_id='lens'), storage=storage)
    assert run.whole
    stems = [f'pictures/front/{number:06d}' for number in range(3)]
    suffix = {'mcap': 'mcap', 'sqlite3': 'db3'}[storage]
    assert files(run.out) == sorted(
        [f'{s}.{e}' for s in stems for e in ('json', 'npz', 'png')]
        + ['front.mp4', f'bag/bag.{suffix}', 'bag/metadata.yaml']
    )
    for topic in ('/mahmr/front/humans', '/mahmr/front/markers'):
        results = run.results(topic)
        assert [t for t, _ in results] == [START_NS + i * STEP_NS + 5_000_000 for i in range(3)]
        for step, (_, result) in enumerate(results):
            marks = getattr(result, 'markers', None)
            for stamped in [result] if marks is None else marks:
                stamp = stamped.header.stamp
                assert stamp.sec * 10**9 + stamp.nanosec == START_NS + step * STEP_NS
                assert stamped.header.frame_id == 'lens'


def test_people_are_written_as_they_are(tmp_path: Path) -> None:
    run = Run(tmp_path, clip(count=2))
    (_, array), (_, second) = run.results()
    human = array.humans[0]
    assert (human.id, second.humans[0].id) == (1, 1)
    assert (array.image_width, array.image_height) == SIZE
    assert array.camera_source == array.ESTIMATED
    assert array.calibration == array.CALIBRATION_MISSING
    assert array.untrained
    at = human.root_pose.position
    assert (at.x, at.y, at.z) == pytest.approx((0.5, 0.2, 4.0))
    assert human.joints_m.reshape(45, 3)[3] == pytest.approx((0.5, 0.2, 4.0))
    assert human.vertices_m.shape == (12,)
    assert array.faces.tolist() == FACES.reshape(-1).tolist()
    clear, mesh, label = run.results('/mahmr/front/markers')[0][1].markers
    assert clear.action == clear.DELETEALL
    assert (mesh.ns, mesh.id, mesh.type) == ('front/mesh', 1, mesh.TRIANGLE_LIST)
    corners = np.array([(p.x, p.y, p.z) for p in mesh.points])
    expected = human.vertices_m.reshape(4, 3)[FACES.reshape(-1)]
    np.testing.assert_allclose(corners, expected, atol=1e-6)
    assert label.text == '1: 1.70 m tall, 4.0 m UNTRAINED'


def test_a_picture_without_people_is_a_message_without_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = StandIn.__call__

    def nobody(self: StandIn, image_rgb: ImageArray, camera: Camera | None) -> People:
        people = seen(self, image_rgb, camera)
        arrays = {n: v for n, v in vars(people).items() if isinstance(v, np.ndarray)}
        return replace(people, **{n: v[:0] for n, v in arrays.items() if n != 'faces'})

    monkeypatch.setattr(StandIn, '__call__', nobody)
    results = Run(tmp_path, clip(count=2)).results()
    assert len(results) == 2
    assert all(len(array.humans) == len(array.faces) == 0 for _, array in results)


def test_a_raw_picture_has_k_and_is_straightened(tmp_path: Path) -> None:
    run = Run(tmp_path, clip(info=camera_info(SIZE, START_NS, K, P, DISTORTED)))
    assert run.seen.cameras == [Camera(*K, *SIZE)] * 3
    matrix, flat = run.seen.cameras[0].matrix, picture(0)  # type: ignore[union-attr]
    straight = cv2.undistort(flat, matrix, np.array(DISTORTED))
    assert np.abs(run.seen.images[0].astype(int) - straight).mean() < 1
    assert np.abs(straight.astype(int) - flat).mean() > 2
    array = run.results()[0][1]
    assert array.undistorted
    assert array.calibration == array.CALIBRATION_USED
    assert array.focal_x_px == K[0]


@pytest.mark.parametrize(
    ('topic', 'rectification', 'lens'),
    [
        ('/front/image_rect', 'auto', P),
        ('/front/image_rect', 'raw', K),
        ('/front/image_raw', 'rectified', P),
    ],
)
def test_a_rectified_picture_has_p(
    tmp_path: Path, topic: str, rectification: str, lens: tuple[float, ...]
) -> None:
    info = camera_info(SIZE, START_NS, K, P, DISTORTED if lens == P else (0.0,) * 5)
    run = Run(tmp_path, clip(topic, info=info), rectification=rectification)
    assert run.seen.cameras[0] == Camera(*lens, *SIZE)
    assert (run.seen.images[0] == picture(0)).all()


def test_a_calibration_that_comes_late_is_of_the_pictures_before_it_too(tmp_path: Path) -> None:
    info = ('/front/camera_info', START_NS + 2 * STEP_NS, camera_info(SIZE, START_NS, K))
    messages = sorted([*clip(), info], key=lambda m: m[1])
    assert Run(tmp_path, messages).seen.cameras == [Camera(*K, *SIZE)] * 3


@pytest.mark.parametrize(
    ('info', 'said'),
    [
        (None, 'no camera_info beside this topic'),
        (camera_info(SIZE, START_NS), 'not calibrated'),
        (camera_info((100, 30), START_NS, K), '100x30'),
    ],
)
def test_an_estimated_lens_is_told_once(tmp_path: Path, info: Any, said: str) -> None:
    run = Run(tmp_path, clip(info=info))
    assert run.seen.cameras == [None] * 3
    notes = [line for line in run.said if 'the lens is estimated' in line]
    assert len(notes) == 1
    assert said in notes[0]


def test_a_lens_that_is_named_is_taken(tmp_path: Path) -> None:
    named = Camera(99, 99, 30, 20, *SIZE)
    info = camera_info(SIZE, START_NS, K, d=DISTORTED)
    run = Run(tmp_path, clip(info=info), lens=lambda width, height: named)
    assert run.seen.cameras == [named] * 3
    array = run.results()[0][1]
    assert (array.camera_source, array.undistorted) == (array.CAMERA_INFO, False)


def test_cameras_are_kept_apart_and_depth_and_copies_are_left_out(tmp_path: Path) -> None:
    _, png = cv2.imencode('.png', picture(7)[..., ::-1])
    depth = np.zeros((48, 64, 1), np.uint16)
    messages = [
        *clip('/left/image_raw'),
        ('/left/image_raw/compressed', START_NS + 1, compressed(png.tobytes(), START_NS)),
        ('/right/image_raw/compressed', START_NS + 2, compressed(png.tobytes(), START_NS, 'png')),
        ('/left/depth/image_rect', START_NS + 3, image(depth, START_NS, encoding='16UC1')),
    ]
    run = Run(tmp_path, messages, pictures=False)
    assert len(run.results('/mahmr/left/humans')) == 3
    assert len(run.results('/mahmr/right/humans')) == 1
    assert any((seen == picture(7)).all() for seen in run.seen.images)
    assert files(run.out) == ['bag/bag.mcap', 'bag/metadata.yaml']
    with Reader(run.out / 'bag') as reader:
        assert len(reader.connections) == 4


def test_a_picture_without_a_frame_gets_one(tmp_path: Path) -> None:
    run = Run(tmp_path, clip(frame_id=''))
    assert run.results()[0][1].header.frame_id == 'camera_optical_frame'
    assert len([line for line in run.said if 'name no frame' in line]) == 1


def test_ids_begin_again_where_time_jumps_back(tmp_path: Path) -> None:
    """Somebody comes near, which is a new id; then pictures follow that were taken earlier."""
    messages = []
    for step, (decimetres, taken_s) in enumerate([(50, 0), (0, 0.1), (5, 0.2), (0, -60)]):
        stamp_ns = START_NS + int(taken_s * 1e9)
        shown = image(picture(decimetres), stamp_ns)
        messages.append(('/front/image_raw', START_NS + step * STEP_NS, shown))
    run = Run(tmp_path, messages, smooth=True)
    assert [array.humans[0].id for _, array in run.results()] == [1, 2, 2, 1]
    places = [array.humans[0].root_pose.position.z for _, array in run.results()]
    assert 4.0 < places[2] < 4.5
    assert places[3] == pytest.approx(4.0)  # raw: the filter has nothing of before


def test_a_bad_picture_is_told_and_the_others_are_done(tmp_path: Path) -> None:
    messages = clip(count=4)
    messages[2][2].encoding = 'secret'
    run = Run(tmp_path, messages)
    assert not run.whole
    assert len(run.results()) == 3
    errors = [line for line in run.said if line.startswith('error: ')]
    assert len(errors) == 1
    assert 'picture 2' in errors[0]
    assert '"secret"' in errors[0]


def test_a_picture_that_opencv_refuses_is_told_and_the_others_are_done(tmp_path: Path) -> None:
    """A PNG that claims to be larger than OpenCV takes; one that it cannot straighten."""
    _, png = cv2.imencode('.png', picture(0))
    _, wide = cv2.imencode('.png', np.zeros((4, 40_000, 3), np.uint8))
    datas = [png.tobytes(), oversized_png(), wide.tobytes(), png.tobytes()]
    info = camera_info((0, 0), START_NS, K, d=DISTORTED)
    messages: list[Message] = [('/front/camera_info', START_NS, info)]
    for step, data in enumerate(datas):
        stamp_ns = START_NS + step * STEP_NS
        topic = '/front/image_raw/compressed'
        messages.append((topic, stamp_ns, compressed(data, stamp_ns, 'png')))
    run = Run(tmp_path, messages)
    assert not run.whole
    assert len(run.results()) == 2
    errors = [line for line in run.said if line.startswith('error: ')]
    assert len(errors) == 2
    assert 'picture 1' in errors[0]
    assert 'cannot be decoded' in errors[0]
    assert 'picture 2' in errors[1]
    assert 'cannot be straightened' in errors[1]


def test_a_bag_without_one_good_picture_leaves_nothing(tmp_path: Path) -> None:
    messages = clip(count=2)
    for _, _, bad in messages:
        bad.step = 1
    with pytest.raises(UserError, match='no picture of this bag could be used'):
        Run(tmp_path, messages)
    assert [p.name for p in tmp_path.iterdir()] == ['in']


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = StandIn.__call__

    def stopped(self: StandIn, *picture: Any) -> People:
        if len(self.images) == 2:
            raise KeyboardInterrupt
        return call(self, *picture)

    monkeypatch.setattr(StandIn, '__call__', stopped)
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, clip())
    assert [p.name for p in tmp_path.iterdir()] == ['in']


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs `mahmr bag` with results in `out`."""

    def run(source: Path, *options: object) -> tuple[int, str]:
        arguments = ['bag', source, tmp_path / 'out', '--device', 'cpu', *options]
        return main([str(a) for a in arguments]), capsys.readouterr().err

    return run


def test_the_command(command: Callable, tmp_path: Path) -> None:
    """The real network, all options, a single file as the bag."""
    folder = write_bag(tmp_path / 'in', clip(info=camera_info(SIZE, START_NS, K)))
    code, said = command(next(folder.glob('*.mcap')), '--smooth', '--topic', '/front/image_raw')
    assert code == 0, said
    assert '3 pictures of front done' in said
    people = json.loads((tmp_path / 'out/pictures/front/000002.json').read_text())
    assert people['camera']['source'] == 'given'
    assert people['camera']['matrix'][0][0] == K[0]
    code, said = command(folder)
    assert code == 2
    assert 'is there already and is not overwritten' in said


def ros1(folder: Path) -> Path:
    (folder / 'old.bag').write_bytes(b'#ROSBAG V2.0\n')
    return folder / 'old.bag'


def text(folder: Path) -> Path:
    (folder / 'text.mcap').write_text('no bag')
    return folder / 'text.mcap'


def picture_file(folder: Path) -> Path:
    (folder / 'street.mp4').write_bytes(b'1234')
    return folder / 'street.mp4'


def empty_folder(folder: Path) -> Path:
    (folder / 'empty').mkdir()
    return folder / 'empty'


def file_is_missing(folder: Path) -> Path:
    bag = write_bag(folder / 'in', clip())
    next(bag.glob('*.mcap')).unlink()
    return bag


def metadata_is_text(folder: Path) -> Path:
    bag = write_bag(folder / 'in', clip())
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: 3')
    return bag


def no_pictures(folder: Path) -> Path:
    info = camera_info(SIZE, START_NS, K)
    return write_bag(folder / 'in', [('/front/camera_info', START_NS, info)])


def nothing_recorded(folder: Path) -> Path:
    return write_bag(folder / 'in', [])


def two_of_a_camera(folder: Path) -> Path:
    return write_bag(folder / 'in', [*clip(), *clip('/front/image_rect')])


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda folder: folder / 'none', 'there is no such bag'),
        (ros1, 'bag of ROS 1'),
        (text, 'cannot be read'),
        (picture_file, 'this is no bag'),
        (empty_folder, 'a folder with metadata.yaml, and this has none'),
        (file_is_missing, 'files are missing'),
        (metadata_is_text, 'Invalid bag metadata'),
        (no_pictures, 'it has /front/camera_info (sensor_msgs/msg/CameraInfo)'),
        (nothing_recorded, 'it has no topics'),
        (two_of_a_camera, 'choose one with --topic'),
    ],
)
def test_bad_bags(command: Callable, tmp_path: Path, make: Callable, message: str) -> None:
    source = make(tmp_path)
    before = files(tmp_path)
    code, said = command(source)
    assert code == 2
    assert message in said
    assert len([line for line in said.splitlines() if line.startswith('error: ')]) == 1
    assert files(tmp_path) == before
    assert not (tmp_path / 'out').exists()


def test_a_topic_that_is_not_there(command: Callable, tmp_path: Path) -> None:
    code, said = command(write_bag(tmp_path / 'in', clip()), '--topic', '/other')
    assert code == 2
    assert '/other is no topic of pictures in this bag; it has /front/image_raw' in said


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_bag_is_told(tmp_path: Path, storage: str, share: float) -> None:
    """Whether it can be read in part or not at all: no traceback, nothing half-written."""
    source = write_bag(tmp_path / 'whole', clip(count=40), storage)
    file = next(p for p in source.iterdir() if p.name != 'metadata.yaml')
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    said: list[str] = []
    job = BagJob(source, tmp_path / 'out', pictures=False)
    try:
        assert not process_bag(job, StandIn, said.append)  # type: ignore[arg-type]
        with Reader(tmp_path / 'out' / 'bag') as reader:
            assert reader.message_count > 0
    except UserError as error:
        said.append(str(error))
        assert not (tmp_path / 'out').exists()
    assert any('cannot be read' in line for line in said)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_bag(tmp_path / 'in', clip())

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('rosbags.rosbag2.Writer.write', full)
    with pytest.raises(UserError, match='No space left on device'):
        process_bag(BagJob(source, tmp_path / 'out'), StandIn, print)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ['in']
