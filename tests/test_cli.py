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

"""The commands as a user runs them: real pictures, a real video, and all that can be wrong."""

from collections.abc import Callable
import json
from pathlib import Path
import re
import shutil
import subprocess
import sys
import time

import cv2
from mahmr_model.cli import main
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / 'demo'


pytestmark = pytest.mark.usefixtures('untrained')


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command on the CPU in a folder of its own."""

    def command(*arguments: object) -> tuple[int, str]:
        options = (
            ['--out', tmp_path / 'out', '--device', 'cpu']
            if arguments[0] != 'convert-body'
            else []
        )
        code = main([str(a) for a in (arguments[0], *options, *arguments[1:])])
        return code, capsys.readouterr().err

    return command


def left_behind(folder: Path) -> list[str]:
    """List all files below a folder, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_pictures_of_a_folder(run: Callable, tmp_path: Path) -> None:
    (tmp_path / 'in').mkdir()
    shutil.copy(DEMO / 'basketball1.png', tmp_path / 'in')
    cv2.imwrite(str(tmp_path / 'in' / 'second.jpg'), np.full((90, 160, 3), 90, np.uint8))
    (tmp_path / 'in' / 'notes.txt').write_text('not a picture')
    code, said = run('image', tmp_path / 'in', '--fov', 60)
    assert code == 0
    assert 'UNTRAINED' in said
    assert '2 of 2 pictures done' in said
    assert left_behind(tmp_path / 'out') == [
        f'{stem}{suffix}'
        for stem in ('basketball1', 'second')
        for suffix in ('.json', '.npz', '.png')
    ]
    data = json.loads((tmp_path / 'out' / 'basketball1.json').read_text())
    with np.load(tmp_path / 'out' / 'basketball1.npz', allow_pickle=False) as arrays:
        assert len(arrays['confidence']) == len(data['people']) > 0
        assert arrays['vertices_camera_m'].shape[0] == len(data['people'])
        assert str(arrays['camera_source']) == 'given'
        height = arrays['height_m'][0]
        pelvis = arrays['joints_camera_m'][0, 0]
    assert data['untrained'] is True
    assert data['camera']['horizontal_fov_rad'] == pytest.approx(np.pi / 3)
    person = data['people'][0]
    assert person['height_m'] == pytest.approx(height, abs=1e-6)
    assert person['joints_camera_m']['pelvis'] == pytest.approx(pelvis, abs=1e-6)
    panel = cv2.imread(str(tmp_path / 'out' / 'basketball1.png'))
    assert panel.shape[0] > 400
    assert panel.std() > 20


def grey_video(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (320, 240))
    for _ in range(frames):
        writer.write(np.full((240, 320, 3), 60, np.uint8))
    writer.release()
    return path


def test_a_video(run: Callable, tmp_path: Path) -> None:
    video = grey_video(tmp_path / 'short.mp4', 3)
    code, said = run('video', video)
    assert code == 0, said
    assert '3 frames done' in said
    names = left_behind(tmp_path / 'out')
    assert len(names) == 10
    assert 'short.mp4' in names
    ids = [
        [p['id'] for p in json.loads(path.read_text())['people']]
        for path in sorted((tmp_path / 'out' / 'short').glob('*.json'))
    ]
    assert ids[0]
    assert ids[0] == ids[1] == ids[2]
    capture = cv2.VideoCapture(str(tmp_path / 'out' / 'short.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_a_shorter_video_of_the_same_name_takes_the_place_of_all_frames(
    run: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / 'out' / 'short'
    for frames in (4, 2):
        assert run('video', grey_video(tmp_path / 'short.mp4', frames))[0] == 0
        (folder / '000009.txt').write_text('not of ours')
        assert len(left_behind(folder)) == 3 * frames + 1


def test_a_stopped_video_leaves_nothing_half_written(tmp_path: Path) -> None:
    """By the signal of a service manager, too."""
    out = tmp_path / 'out'
    video = DEMO / 'street.mp4'
    command = [sys.executable, '-m', 'mahmr_model.cli', 'video', str(video), '--out', str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(out.glob('street/000000.npz')):
            time.sleep(0.05)
        assert list(out.glob('.street.*.mp4'))
        process.terminate()
        assert process.stderr is not None
        assert process.stderr.read().endswith('stopped\n')
    assert process.returncode == 130
    left = left_behind(out)
    assert left
    assert all(re.fullmatch(r'street/\d{6}\.(npz|json|png)', name) for name in left), left


def test_a_smoothed_video(run: Callable, tmp_path: Path) -> None:
    """The first picture's people are the same with and without, later ones are calmer."""
    video = tmp_path / 'noise.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*'MJPG'), 20, (320, 240))
    rng = np.random.default_rng(0)
    for _ in range(4):
        writer.write(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8))
    writer.release()
    roots: dict[str, list[dict[int, np.ndarray]]] = {}
    for out, options in (('raw', []), ('smooth', ['--smooth'])):
        code, said = run('video', video, '--out', tmp_path / out, *options)
        assert code == 0, said
        roots[out] = []
        for path in sorted((tmp_path / out / 'noise').glob('*.npz')):
            with np.load(path, allow_pickle=False) as arrays:
                places = arrays['joints_camera_m'][:, 0]
                roots[out].append(dict(zip(arrays['ids'].tolist(), places, strict=True)))
    stay = [i for i in roots['raw'][0] if all(i in frame for frame in roots['raw'])]
    assert stay
    assert roots['raw'][0].keys() == roots['smooth'][0].keys()
    moved = {
        out: sum(np.linalg.norm(frames[-1][i] - frames[0][i]) for i in stay)
        for out, frames in roots.items()
    }
    for i in stay:
        np.testing.assert_allclose(roots['smooth'][0][i], roots['raw'][0][i], atol=1e-3)
    assert 0 < moved['smooth'] < 0.9 * moved['raw']


def test_a_truncated_video_is_told_and_leaves_nothing(run: Callable, tmp_path: Path) -> None:
    content = (DEMO / 'street.mp4').read_bytes()
    for share in (0.0, 0.01, 0.5):
        (tmp_path / 'cut.mp4').write_bytes(content[: int(len(content) * share)])
        code, said = run('video', tmp_path / 'cut.mp4')
        assert code == 2
        assert 'cut.mp4' in said
        assert left_behind(tmp_path / 'out') == []


def test_a_video_that_ends_early_gives_what_it_has_and_says_so(
    run: Callable, tmp_path: Path
) -> None:
    whole = tmp_path / 'whole.avi'
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*'MJPG'), 10, (320, 240))
    noise = np.random.default_rng(0).integers(0, 255, (6, 240, 320, 3), dtype=np.uint8)
    for frame in noise:
        writer.write(frame)
    writer.release()
    content = whole.read_bytes()
    (tmp_path / 'cut.avi').write_bytes(content[: len(content) // 2])
    code, said = run('video', tmp_path / 'cut.avi')
    assert code == 2
    assert 'cut.avi' in said
    assert not [name for name in left_behind(tmp_path / 'out') if name.startswith('.')]


def test_a_video_that_only_says_how_long_it_is_may_have_fewer_frames(
    run: Callable, tmp_path: Path
) -> None:
    """Sound that ends after the pictures does that in Matroska; here its end is cut off."""
    whole = tmp_path / 'whole.mkv'
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter.fourcc(*'MJPG'), 10, (320, 240))
    for frame in np.random.default_rng(0).integers(0, 255, (24, 240, 320, 3), dtype=np.uint8):
        writer.write(frame)
    writer.release()
    content = whole.read_bytes()
    for share, code in ((0.8, 0), (0.3, 2)):
        (tmp_path / 'cut.mkv').write_bytes(content[: int(len(content) * share)])
        found, said = run('video', tmp_path / 'cut.mkv')
        assert found == code, said
        assert ('the file says it has 24 frames' in said) == (code == 2)


def jpeg_that_is_text(folder: Path) -> Path:
    (folder / 'text.jpg').write_text('hello')
    return folder / 'text.jpg'


def half_a_png(folder: Path) -> Path:
    content = (DEMO / 'basketball1.png').read_bytes()
    (folder / 'half.png').write_bytes(content[: len(content) // 2])
    return folder / 'half.png'


def empty_folder(folder: Path) -> Path:
    (folder / 'empty').mkdir()
    return folder / 'empty'


def nothing(folder: Path) -> Path:
    return folder / 'nothing.png'


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (jpeg_that_is_text, 'text.jpg: this is not a picture that can be read'),
        (half_a_png, 'half.png: the picture cannot be read'),
        (empty_folder, 'empty: no pictures in this folder'),
        (nothing, 'nothing.png: there is no such file'),
    ],
)
def test_bad_pictures(run: Callable, tmp_path: Path, make: Callable, message: str) -> None:
    code, said = run('image', make(tmp_path))
    assert code == 2
    errors = [line for line in said.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert message in errors[0]
    assert left_behind(tmp_path / 'out') == []


def test_one_bad_picture_does_not_stop_the_others(run: Callable, tmp_path: Path) -> None:
    code, said = run('image', jpeg_that_is_text(tmp_path), DEMO / 'basketball1.png')
    assert code == 2
    assert '1 of 2 pictures done' in said
    assert len(left_behind(tmp_path / 'out')) == 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--camera-matrix', 0, 0, 0, 0], 'focal lengths above 0'),
        (['--fov', 180], 'between 0° and 180°'),
        (['--camera-matrix', 1e15, 1e15, 320, 240], 'none of a lens'),
        (['--weights', 'nothing.bin'], 'nothing.bin: there is no such file'),
        (['--body', 'nothing.npz'], 'nothing.npz'),
        (['--device', 'gpu7'], "device 'gpu7' cannot be used here"),
    ],
)
def test_bad_options(run: Callable, tmp_path: Path, options: list, message: str) -> None:
    code, said = run('image', DEMO / 'basketball1.png', *options)
    assert code == 2
    assert message in said
    assert left_behind(tmp_path / 'out') == []


def test_a_checkpoint_of_another_network(run: Callable, tmp_path: Path) -> None:
    import torch

    torch.save({'layer1.weight': torch.zeros(3)}, tmp_path / 'resnet.pth')
    code, said = run('image', DEMO / 'basketball1.png', '--weights', tmp_path / 'resnet.pth')
    assert code == 2
    assert 'resnet.pth: this is a checkpoint of another network' in said


def test_an_input_is_never_overwritten(run: Callable, tmp_path: Path) -> None:
    (tmp_path / 'out').mkdir()
    picture, video = tmp_path / 'out' / 'mine.png', tmp_path / 'out' / 'mine.mp4'
    shutil.copy(DEMO / 'basketball1.png', picture)
    shutil.copy(DEMO / 'street.mp4', video)
    before = picture.read_bytes(), video.read_bytes()
    for command, path in (('image', picture), ('image', tmp_path / 'out'), ('video', video)):
        code, said = run(command, path)
        assert code == 2
        assert 'would overwrite' in said
    assert (picture.read_bytes(), video.read_bytes()) == before
    assert left_behind(tmp_path / 'out') == ['mine.mp4', 'mine.png']


def test_a_folder_that_cannot_be_written_is_told(run: Callable, tmp_path: Path) -> None:
    (tmp_path / 'out').write_text('a file where a folder should be')
    code, said = run('image', DEMO / 'basketball1.png')
    assert code == 2
    assert 'cannot be written' in said
    assert 'Traceback' not in said


def test_a_full_disk_leaves_no_part_of_a_result(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mahmr_model.results.write_picture', full)
    code, said = run('image', DEMO / 'basketball1.png')
    assert code == 2
    assert 'No space left on device' in said
    assert left_behind(tmp_path / 'out') == []


def test_same_names_in_two_folders_are_refused(run: Callable, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        shutil.copy(DEMO / 'basketball1.png', tmp_path / name)
    code, said = run('image', tmp_path / 'a', tmp_path / 'b')
    assert code == 2
    assert 'would have the same name' in said


@pytest.mark.parametrize('size', [(1, 1), (20, 12_000)])
def test_odd_sizes_give_a_result(run: Callable, tmp_path: Path, size: tuple[int, int]) -> None:
    cv2.imwrite(str(tmp_path / 'odd.png'), np.full((*size, 3), 90, np.uint8))
    code, said = run('image', tmp_path / 'odd.png')
    assert code == 0, said
    assert len(left_behind(tmp_path / 'out')) == 3


def test_a_body_is_converted(run: Callable, random_body_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(random_body_folder, tmp_path / 'smpl')
    code, said = run('convert-body', tmp_path / 'smpl')
    assert code == 0
    assert 'SMPL_NEUTRAL.npz written' in said
    assert (tmp_path / 'smpl' / 'SMPL_NEUTRAL.npz').is_file()
