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

"""Hi4D: cameras, bodies and meta data of every action to one annotation file a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mahmr_model.errors import UserError
import numpy as np
from training.data.catalogue import find_split
from training.data.published import read_columns
from training.prepare.writing import save_annotations

_BODY = ('betas', 'global_orient', 'body_pose', 'transl')


def prepare_hi4d(root: Path, split: str, pairs: Sequence[str], *, every_camera: bool) -> str:
    """
    Write the annotation file of a split from folders of pairs below ROOT/hi4d.

    PAIR/ACTION holds cameras/rgb_cameras.npz, smpl/FRAME.npz, meta.npz, images/CAMERA/FRAME.jpg.
    Of the cameras only the one that meta.npz names is taken unless `every_camera`. Raises
    UserError.
    """
    _, target = find_split('hi4d', split)
    folder = root / target.pictures
    annotations: dict[str, list[dict[str, Any]]] = {}
    for pair in pairs:
        actions = sorted(path.parent for path in (folder / pair).glob('*/meta.npz'))
        if not actions:
            raise UserError(
                f'{folder / pair} should hold actions, each with a meta.npz, but has none; get '
                'Hi4D from https://yifeiyin04.github.io/Hi4D and unpack it there.'
            )
        for action in actions:
            annotations |= dict(_action(action, folder, every_camera))
    save_annotations(root / target.annotations, annotations)
    return f'{root / target.annotations}: {len(annotations)} pictures of {len(pairs)} pairs'


def _action(
    action: Path, folder: Path, every_camera: bool
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each picture of an action, by its path below `folder`, and its people."""
    meta = read_columns(action / 'meta.npz', ('genders', 'mono_cam'))
    genders = [str(gender) for gender in np.asarray(meta['genders']).reshape(-1)]
    cameras = read_columns(
        action / 'cameras' / 'rgb_cameras.npz', ('ids', 'intrinsics', 'extrinsics')
    )
    chosen = {int(number) for number in np.asarray(cameras['ids']).reshape(-1)}
    if not every_camera:
        chosen &= {int(np.asarray(meta['mono_cam']).reshape(-1)[0])}
    for file in sorted((action / 'smpl').glob('*.npz')):
        body = read_columns(file, _BODY)
        for index, number in enumerate(np.asarray(cameras['ids']).reshape(-1)):
            picture = action / 'images' / str(int(number)) / f'{file.stem}.jpg'
            if int(number) in chosen and picture.is_file():
                camera = cameras['intrinsics'][index], cameras['extrinsics'][index]
                yield picture.relative_to(folder).as_posix(), _people(body, genders, *camera)


def _people(
    body: dict[str, Any], genders: Sequence[str], intrinsics: Any, extrinsics: Any
) -> list[dict[str, Any]]:
    matrix, view = np.asarray(intrinsics), np.asarray(extrinsics)
    return [
        {
            'genders': gender,
            **{name: np.asarray(body[name])[i].reshape(-1) for name in _BODY},
            'cam_rot': view[:3, :3],
            'cam_trans': view[:3, 3],
            'focal': matrix[[0, 1], [0, 1]],
            'princpt': matrix[:2, 2],
        }
        for i, gender in enumerate(genders)
    ]
