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
Annotations as plain arrays in files that are mapped, not read.

A published file is converted once. From then on every process and worker maps the same pages, so
that memory does not grow with the number of workers, and an annotation costs a few slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import hashlib
import json
import os
from pathlib import Path
import shutil
from typing import Any

from mahmr_model.errors import UserError
from mahmr_model.files import folder_written_beside
import numpy as np
from training.data.annotation import Annotation, Bodies, BrokenSampleError, Keypoints
from training.data.posing import GENDERS

VERSION = 1
MOST_BROKEN = 0.5
"""Share of unreadable annotations from which on a file is taken for one of another format."""

_OPTIONAL = ('boxes_xyxy_px', 'depth_layers', 'ages', 'kids')
_BODY = (
    'pose_axis_angle',
    'betas',
    'translation_m',
    'camera_rotation',
    'camera_translation_m',
)
Entry = tuple[str, Annotation | str]
"""A picture's name, and its annotation or why there is none."""


class StoredAnnotations:
    """The annotations of one published file, by number; cheap to copy into workers."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that `write_store` wrote."""
        self._folder = folder
        self._columns: dict[str, np.ndarray] = {}
        self._names = frozenset(path.stem for path in folder.glob('*.npy'))
        self._length = len(self._column('people')) - 1

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_columns': {}}

    def __getitem__(self, index: int) -> Annotation:
        """Return an annotation, its picture's path as published; raises BrokenSampleError."""
        first, last = self._column('names')[slice(index, index + 2)]
        name = bytes(self._column('text')[first:last]).decode()
        if self._column('broken')[index]:
            reasons = json.loads((self._folder / 'broken.json').read_text())
            raise BrokenSampleError(f'{name}: {reasons[str(index)]}')
        people = slice(*(int(n) for n in self._column('people')[slice(index, index + 2)]))

        def rows(column: str) -> Any:
            return np.array(self._column(column)[people]) if self._has(column) else None

        intrinsics = rows('intrinsics')
        if intrinsics is not None and self._column('one_camera')[index]:
            intrinsics = intrinsics[:1]
        bodies = keypoints = None
        if self._has('pose_axis_angle'):
            genders = tuple(GENDERS[g] for g in rows('genders'))
            bodies = Bodies(**{column: rows(column) for column in _BODY}, genders=genders)
        if self._has('joints_px'):
            keypoints = Keypoints(rows('joints_px'), rows('visible'), rows('joints_camera'))
        optional = {column: rows(column) for column in _OPTIONAL}
        return Annotation(Path(name), intrinsics, bodies, keypoints, **optional)

    def _has(self, column: str) -> bool:
        return column in self._names

    def _column(self, column: str) -> np.ndarray:
        if column not in self._columns:
            self._columns[column] = np.load(self._folder / f'{column}.npy', mmap_mode='r')
        return self._columns[column]


def stored(path: Path, kind: str, entries: Iterable[Entry]) -> StoredAnnotations:
    """
    Return a file's annotations, converting them first where that has not been done yet.

    `entries` is read only then; `kind` names how they are made. The arrays lie beside the file, or
    where its folder may not be written in the user's cache folder. A changed file is converted
    again. Raises UserError.
    """
    status = path.stat()
    key = f'{VERSION} {kind} {status.st_size} {status.st_mtime_ns}'
    name = f'.{path.stem}.{hashlib.sha256(key.encode()).hexdigest()[:12]}.mapped'
    cache = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mahmr'
    elsewhere = cache / hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    for folder in (path.parent, elsewhere):
        if (folder / name).is_dir():
            return StoredAnnotations(folder / name)
    folder = path.parent if os.access(path.parent, os.W_OK) else elsewhere
    write_store(folder / name, path, entries)
    for old in folder.glob(f'.{path.stem}.*.mapped'):
        if old.name != name and len(old.name) == len(name):
            shutil.rmtree(old, ignore_errors=True)  # of an earlier state of the file
    return StoredAnnotations(folder / name)


def write_store(folder: Path, source: Path, entries: Iterable[Entry]) -> None:
    """Write annotations as arrays into a new folder, complete or not at all."""
    columns, broken = _columns(entries)
    pictures = len(columns['people']) - 1
    if pictures == 0 or len(broken) > MOST_BROKEN * pictures:
        reason = next(iter(broken.values()), 'it has no picture')
        raise UserError(
            f'{source} should hold annotations in the published format, but {len(broken)} of '
            f'{pictures} pictures cannot be read ({reason}); use the file as published.'
        )
    try:
        with folder_written_beside(folder, keep=False) as unfinished:
            for name, values in columns.items():
                np.save(unfinished / f'{name}.npy', values)
            (unfinished / 'broken.json').write_text(json.dumps(broken))
    except UserError as error:
        if not folder.is_dir():  # otherwise another process was faster, with the same
            raise UserError(
                f'{source}: its annotations are converted once, but {error}'
            ) from error


def _columns(entries: Iterable[Entry]) -> tuple[dict[str, np.ndarray], dict[int, str]]:
    """Return every column of a store, and why pictures are broken."""
    parts: dict[str, list[np.ndarray]] = {}
    text: list[bytes] = []
    counts, one_camera, broken = [0], [False], {}
    for index, (name, annotation) in enumerate(entries):
        text.append(name.encode())
        if isinstance(annotation, str):
            broken[index] = annotation
            counts.append(0)
            one_camera.append(False)
            continue
        counts.append(len(annotation))
        cameras = annotation.intrinsics
        one_camera.append(cameras is not None and len(cameras) == 1)
        for column, values in _person_columns(annotation).items():
            parts.setdefault(column, []).append(values)
    columns = {column: np.concatenate(values) for column, values in parts.items()}
    total = sum(counts)
    for column, values in columns.items():
        if len(values) != total:
            raise UserError(f'Some pictures have {column} and others do not; that is no dataset.')
    columns['people'] = np.cumsum(counts)
    columns['names'] = np.cumsum([0, *(len(name) for name in text)])
    columns['text'] = np.frombuffer(b''.join(text), np.uint8)
    columns['one_camera'] = np.array(one_camera[1:])
    columns['broken'] = np.isin(np.arange(len(text)), list(broken))
    return columns, broken


def _person_columns(annotation: Annotation) -> Mapping[str, np.ndarray]:
    """Return what has a row a person."""
    columns: dict[str, np.ndarray] = {}
    people = len(annotation)
    if annotation.intrinsics is not None:
        columns['intrinsics'] = np.broadcast_to(annotation.intrinsics, (people, 3, 3))
    if annotation.bodies is not None:
        columns |= {name: getattr(annotation.bodies, name) for name in _BODY}
        columns['genders'] = _gender_numbers(annotation.bodies.genders)
    if annotation.keypoints is not None:
        columns |= {k: v for k, v in vars(annotation.keypoints).items() if v is not None}
    for name in _OPTIONAL:
        if getattr(annotation, name) is not None:
            columns[name] = getattr(annotation, name)
    return {
        name: values.astype(np.float32) if values.dtype.kind == 'f' else values
        for name, values in columns.items()
    }


def _gender_numbers(genders: Sequence[str]) -> np.ndarray:
    return np.array([GENDERS.index(g) for g in genders], np.uint8)
