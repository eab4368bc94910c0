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

"""The command line: `mahmr image`, `video`, `bag`, `convert-body`, `benchmark`."""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
import logging
import math
from pathlib import Path
import signal
import sys

from mahmr_model import __version__
from mahmr_model.bag.process import BagJob, process_bag
from mahmr_model.benchmark.command import add_command as add_benchmark
from mahmr_model.body.convert import convert_body
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from mahmr_model.pictures import list_pictures, read_picture, Video, video_writer
from mahmr_model.predictor import DEFAULT_THRESHOLD, Predictor
from mahmr_model.render import draw_panel
from mahmr_model.results import (
    frame_stem,
    refuse_overwriting,
    remove_results_from,
    result_stems,
    save_people,
)
from mahmr_model.tracking import Smoother, Tracker
from mahmr_model.types import Camera, ImageArray
import numpy as np
from tqdm import tqdm

RESULTS = Path('mahmr_results')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 2 where something was wrong with the input."""
    logging.basicConfig(format='%(levelname)s: %(message)s', level=logging.WARNING)
    options = _parser().parse_args(arguments)
    # As Ctrl-C: what is half-written is taken away.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.run(options))
    except UserError as error:
        _say(f'error: {error}')
        return 2
    except KeyboardInterrupt:
        _say('stopped')
        return 130


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='mahmr', description='People in metres, from pictures.')
    parser.add_argument('--version', action='version', version=f'mahmr {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    image = commands.add_parser('image', help='find the people in pictures')
    image.add_argument('inputs', nargs='+', type=Path, metavar='FILE|FOLDER')
    image.set_defaults(run=_run_image)
    video = commands.add_parser('video', help='find and follow the people in a video')
    video.add_argument('input', type=Path, metavar='FILE')
    video.add_argument(
        '--smooth', action='store_true', help='calm the people over time (docs/tracking.md)'
    )
    video.set_defaults(run=_run_video)
    for command in (image, video):
        command.add_argument(
            '--out', type=Path, default=RESULTS, help='folder for results (%(default)s)'
        )
    bag = commands.add_parser('bag', help='find and follow the people in a ROS 2 bag')
    _add_bag_arguments(bag)
    bag.set_defaults(run=_run_bag)
    for command in (image, video, bag):
        _add_options(command)

    convert = commands.add_parser('convert-body', help="convert SMPL's pickles to plain .npz")
    convert.add_argument('folder', type=Path, help='the folder with SMPL_NEUTRAL.pkl')
    convert.set_defaults(run=_run_convert_body)
    add_benchmark(commands)
    return parser


def _add_bag_arguments(bag: argparse.ArgumentParser) -> None:
    bag.add_argument('input', type=Path, metavar='IN', help='a bag: folder, .mcap or .db3 file')
    bag.add_argument(
        'out',
        type=Path,
        nargs='?',
        metavar='OUT',
        help=f'new folder for results (default: {RESULTS}/ and the name of IN)',
    )
    bag.add_argument(
        '--topic',
        action='append',
        default=[],
        help='a topic of pictures; may be given several times (default: all in colour or grey)',
    )
    bag.add_argument(
        '--rectification',
        default='auto',
        choices=('auto', 'raw', 'rectified'),
        help='whether K and D of camera_info are the lens (raw) or P; auto: by the topic',
    )
    bag.add_argument('--only-bag', action='store_true', help='write no pictures, only the bag')
    bag.add_argument(
        '--smooth', action='store_true', help='calm the people over time (docs/tracking.md)'
    )


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument('--weights', type=Path, help='checkpoint (default: what lies in weights)')
    command.add_argument('--body', type=Path, help='body: folder of SMPL files, or one .npz')
    command.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:1, … (auto)')
    command.add_argument(
        '--precision',
        default='auto',
        choices=('auto', 'float32', 'bfloat16', 'float16'),
        help='auto: float16 on CUDA, float32 elsewhere',
    )
    command.add_argument(
        '--backend',
        default='auto',
        choices=('auto', 'fast', 'eager'),
        help='eager: the network as it is written; auto: the fast way where it runs',
    )
    command.add_argument(
        '--threshold',
        type=_fraction,
        default=DEFAULT_THRESHOLD,
        help='confidence above which a person counts (%(default)s)',
    )
    lens = command.add_mutually_exclusive_group()
    lens.add_argument(
        '--camera-matrix',
        type=float,
        nargs=4,
        metavar=('FX', 'FY', 'CX', 'CY'),
        help="the true lens, in pixels of the pictures (default: a bag's own, else estimated)",
    )
    lens.add_argument(
        '--fov', type=float, metavar='DEGREES', help="the true lens' horizontal field of view"
    )


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 up to 1, got {text}')
    return value


def _run_image(options: argparse.Namespace) -> int:
    pictures = list_pictures(options.inputs)
    stems = result_stems(pictures, options.out)
    predictor = _load_predictor(options)
    failed = 0
    for path in tqdm(pictures, unit='picture', disable=None):
        try:
            image = read_picture(path)
            people = predictor(image, _camera(options, image.shape[1], image.shape[0]))
            save_people(stems[path], people, str(path), draw_panel(image, people))
            _say(f'{path}: {_people_found(len(people))}')
        except UserError as error:
            _say(f'error: {error}')
            failed += 1
    _say(f'{len(pictures) - failed} of {len(pictures)} pictures done; results in {options.out}')
    return 2 if failed else 0


def _run_video(options: argparse.Namespace) -> int:
    video = Video(options.input)
    camera = _camera(options, video.width, video.height)
    refuse_overwriting([options.input], [options.out / f'{options.input.stem}.mp4'])
    predictor = _load_predictor(options)
    tracker = Tracker()
    smoother = Smoother(predictor.repose) if options.smooth else None
    out: Path = options.out
    name = options.input.stem
    count = 0
    frames: deque[ImageArray] = deque()

    def taken() -> Iterator[tuple[ImageArray, Camera | None]]:
        for frame in video:
            frames.append(frame)
            yield frame, camera

    with (
        written_beside(out / f'{name}.mp4') as temporary,
        video_writer(temporary, video.frames_per_s) as writer,
    ):
        found = predictor.stream(taken())
        total = video.announced_frames or None
        for people in tqdm(found, total=total, unit='frame', disable=None):
            frame = frames.popleft()
            now_s = count / video.frames_per_s
            people = tracker.update(people, now_s)
            if smoother is not None:
                people = smoother.update(people, now_s)
            panel = draw_panel(frame, people)
            stem = frame_stem(out / name, count)
            save_people(stem, people, f'{options.input}#{count}', panel)
            writer.write(panel)
            count += 1
        if count == 0:
            raise UserError(f'{options.input}: no frame of this video can be read; convert it.')
    remove_results_from(out / name, count)  # of a longer video of the same name
    video.close()
    _say(f'{count} frames done; results in {out / name} and {out / name}.mp4')
    if video.is_truncated(count):
        _say(
            f'error: {options.input}: the file says it has {video.announced_frames} frames, but '
            f'ends after {count}; it is truncated, so get it again.'
        )
        return 2
    return 0


def _run_bag(options: argparse.Namespace) -> int:
    job = BagJob(
        source=options.input,
        out=options.out or RESULTS / (options.input.stem or 'bag'),
        topics=tuple(options.topic),
        rectification=options.rectification,
        lens=lambda width, height: _camera(options, width, height),
        smooth=options.smooth,
        pictures=not options.only_bag,
    )
    return 0 if process_bag(job, lambda: _load_predictor(options), _say) else 2


def _run_convert_body(options: argparse.Namespace) -> int:
    for path in convert_body(options.folder):
        _say(f'{path} written')
    return 0


def _load_predictor(options: argparse.Namespace) -> Predictor:
    predictor = Predictor.load(
        options.weights,
        options.body,
        device=options.device,
        precision=options.precision,
        confidence_threshold=options.threshold,
        backend=options.backend,
    )
    if predictor.untrained:
        _say(
            'UNTRAINED: without weights a small network with random ones stands in; '
            'its people mean nothing. README.md says how to get weights.'
        )
    return predictor


def _camera(options: argparse.Namespace, width: int, height: int) -> Camera | None:
    """Return the lens that was named on the command line, of a picture of this size."""
    if options.camera_matrix is not None:
        fx, fy, cx, cy = options.camera_matrix
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return Camera.from_matrix(matrix, width, height)
    if options.fov is not None:
        return Camera.from_horizontal_fov(math.radians(options.fov), width, height)
    return None


def _people_found(count: int) -> str:
    return f'{count} person' if count == 1 else f'{count} people'


if __name__ == '__main__':
    raise SystemExit(main())
