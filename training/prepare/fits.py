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

"""CameraHMR's fits, and DTO-Humans' refinement of them, from one row a person to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mahmr_model.errors import UserError
import numpy as np
from training.data.catalogue import find_split
from training.data.published import read_columns
from training.prepare.writing import save_annotations

FITTED = ('coco', 'mpii', 'aic', 'insta')
COLUMNS: dict[str, tuple[int, ...]] = {
    'pose_cam': (72,),
    'shape': (-1,),
    'trans_cam': (3,),
    'cam_int': (3, 3),
}
"""Each array, and the shape of a person's row in it."""


def prepare_fits(files: Sequence[Path], root: Path, dataset: str, split: str) -> str:
    """
    Write the annotation file of a split from released files, and say what it holds.

    Pictures are named as below the folder of the dataset's pictures: what a released name has in
    front of that folder's own name is dropped. Raises UserError.
    """
    _, target = find_split(dataset, split)
    folder = PurePosixPath(target.pictures).name
    annotations: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        for name, person in _people(file):
            annotations.setdefault(_key(name, folder), []).append(person)
    save_annotations(root / target.annotations, annotations)
    people = sum(len(person) for person in annotations.values())
    return f'{root / target.annotations}: {people} people in {len(annotations)} pictures'


def _key(name: str, folder: str) -> str:
    parts = PurePosixPath(name).parts
    first = max((i + 1 for i, part in enumerate(parts[:-1]) if part == folder), default=0)
    return '/'.join(parts[first:])


def _people(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return each row of a released file: the picture's name and the person."""
    raw = read_columns(file, ('imgname', *COLUMNS))
    names = [str(name) for name in raw['imgname']]
    rows = {}
    for column, shape in COLUMNS.items():
        try:
            rows[column] = np.asarray(raw[column], np.float32).reshape(len(names), *shape)
        except (ValueError, TypeError) as error:
            raise UserError(
                f'{file} should hold {column} of the shape {shape} for each of {len(names)} '
                f'people, but {error}; use the file as released.'
            ) from error
    return [
        (
            name,
            {
                'smpl_param': {
                    'shape': rows['shape'][i],
                    'pose': rows['pose_cam'][i],
                    'trans': rows['trans_cam'][i],
                },
                'cam_param': {
                    'focal': rows['cam_int'][i][[0, 1], [0, 1]],
                    'princpt': rows['cam_int'][i][:2, 2],
                },
            },
        )
        for i, name in enumerate(names)
    ]
