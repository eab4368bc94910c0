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
The project's own annotation files: an npz of plain numbers and texts, nothing pickled.

A picture's people are rows `people[i]` to `people[i + 1]` of the arrays that have a row a person;
everything is in the picture's own camera frame (x right, y down, z forward, metres).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
import numpy as np
from training.data.annotation import Floats

PERSON_COLUMNS: Mapping[str, tuple[int, ...]] = {
    'pose_axis_angle': (72,),
    'betas': (11,),
    'translation_m': (3,),
}
"""What has a row a person, and the shape of a row."""

Entry = dict[str, Floats]
"""`intrinsics` (3, 3) of a picture, and its people's columns."""


def read_plain(path: Path) -> Iterator[tuple[str, Entry]]:
    """Yield each picture's name and entry; raises UserError where the file is no such file."""
    arrays = _read(path)
    names, people = arrays['names'], arrays['people']
    pictures = len(names)
    wrong = None
    if names.dtype.kind != 'U' or names.ndim != 1:
        wrong = 'names should be texts'
    elif people.shape != (pictures + 1,) or people.dtype.kind not in 'iu':
        wrong = f'people should be {pictures + 1} whole numbers'
    elif people[0] != 0 or (np.diff(people.astype(np.int64)) < 0).any():
        wrong = 'people should rise from 0'
    elif arrays['intrinsics'].shape != (pictures, 3, 3):
        wrong = f'intrinsics should have the shape {(pictures, 3, 3)}'
    else:
        for column, shape in PERSON_COLUMNS.items():
            if wrong is None and arrays[column].shape != (int(people[-1]), *shape):
                wrong = f'{column} should have the shape {(int(people[-1]), *shape)}'
    if wrong:
        raise UserError(f'{path} should hold annotations of scenes, but {wrong}; write it again.')
    for i, name in enumerate(names):
        rows = slice(int(people[i]), int(people[i + 1]))
        columns = {column: arrays[column][rows] for column in PERSON_COLUMNS}
        yield str(name), {'intrinsics': arrays['intrinsics'][i], **columns}


def write_plain(path: Path, entries: Mapping[str, Mapping[str, Floats]]) -> None:
    """Write pictures' entries by their names, complete or not at all."""
    counts = [len(entry['betas']) for entry in entries.values()]
    columns: dict[str, Any] = {
        column: np.concatenate(
            [np.zeros((0, *shape)), *(entry[column] for entry in entries.values())]
        ).astype(np.float32)
        for column, shape in PERSON_COLUMNS.items()
    }
    cameras = [entry['intrinsics'] for entry in entries.values()]
    with written_beside(path) as part:
        np.savez_compressed(
            part,
            names=np.array(list(entries), np.str_),
            people=np.cumsum([0, *counts], dtype=np.int64),
            intrinsics=np.array(cameras, np.float32).reshape(-1, 3, 3),
            **columns,
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    wanted = ('names', 'people', 'intrinsics', *PERSON_COLUMNS)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in wanted}
    except Exception as error:  # a damaged archive can raise nearly anything
        raise UserError(
            f'{path} should hold annotations of scenes, but cannot be read '
            f'({type(error).__name__}: {error}); remove it and write it again.'
        ) from error
