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

"""MuPoTS-3D: annot.mat and occlusion.mat of every sequence to one annotation file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mahmr_model.errors import UserError
import numpy as np
import scipy.io
from training.data.catalogue import find_split
from training.prepare.writing import save_annotations

H36M_FROM_MPI = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
"""Human3.6M's 17 joints among those of the release, which has them in MPI-INF-3DHP's order."""


def prepare_mupots(root: Path) -> str:
    """Write the annotation file from ROOT/mupots/MultiPersonTestSet/TS*; raises UserError."""
    _, target = find_split('mupots', 'test')
    folder = root / target.pictures
    sequences = sorted(folder.glob('TS*'), key=lambda path: (len(path.name), path.name))
    if not sequences:
        raise UserError(
            f'{folder} should hold the sequences TS1, TS2, …, but has none; get MuPoTS-3D from '
            'https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson.'
        )
    annotations: dict[str, list[dict[str, Any]]] = {}
    for sequence in sequences:
        annotations |= _sequence(sequence)
    save_annotations(root / target.annotations, annotations)
    people = sum(len(person) for person in annotations.values())
    return f'{root / target.annotations}: {people} people in {len(annotations)} pictures'


def _sequence(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the valid people of every frame that has some."""
    labels = _cells(folder / 'annot.mat', 'annotations')
    occlusion = _cells(folder / 'occlusion.mat', 'occlusion_labels')
    if labels.shape != occlusion.shape:
        raise UserError(
            f'{folder}: annot.mat and occlusion.mat should agree on frames and people, but have '
            f'{labels.shape} and {occlusion.shape}; get the sequence again.'
        )
    frames = {}
    for frame, row in enumerate(labels):
        people = [
            _person(cell, occlusion[frame, number])
            for number, cell in enumerate(row)
            if bool(np.asarray(_field(cell, 'isValidFrame')).any())
        ]
        if people:
            frames[f'{folder.name}/img_{frame:06d}.jpg'] = people
    return frames


def _person(cell: Any, occluded: Any) -> dict[str, Any]:
    order = list(H36M_FROM_MPI)
    hidden = np.asarray(_content(occluded), bool).reshape(17)
    return {
        'annot_2d': np.asarray(_field(cell, 'annot2'), np.float64).reshape(2, 17).T[order],
        'annot_3d': np.asarray(_field(cell, 'annot3'), np.float64).reshape(3, 17).T[order],
        'vis': ~hidden[order],
    }


def _cells(path: Path, name: str) -> np.ndarray:
    """Return a cell array (frames, people) of a .mat file."""
    try:
        cells = scipy.io.loadmat(path)[name]
    except FileNotFoundError as error:
        raise UserError(f'{path}: there is no such file; get the sequence again.') from error
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(
            f"{path} should hold MATLAB's cell array {name}, but it cannot be read "
            f'({type(error).__name__}: {error}); get it again.'
        ) from error
    return np.asarray(cells)


def _content(cell: Any) -> Any:
    """Return what is in a cell, however often it is wrapped."""
    while isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.flat[0]
    return cell


def _field(cell: Any, name: str) -> Any:
    """Return a field of the structure in a cell."""
    return _content(np.asarray(_content(cell)).flat[0][name])
