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

"""The datasets: where annotations and pictures lie, and what labels are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import difflib
from pathlib import Path
from typing import Any

from mahmr_model.errors import UserError
from training.data import formats
from training.data.annotation import Annotation
from training.data.plain_annotations import read_plain
from training.data.published import read_annotations
from training.data.store import Entry, stored, StoredAnnotations


@dataclass(frozen=True)
class Split:
    """One annotation file and the folder of its pictures, both below the data's root."""

    annotations: str
    pictures: str
    valid_3d: bool = True


@dataclass(frozen=True)
class Published:
    """A dataset as it is published."""

    splits: Mapping[str, Split]
    read: Callable[[str, Any], Annotation]
    source: str
    """Where to get it."""
    detect_all_people: bool = True
    turned_mark: str | None = None
    """What the names of pictures have that are to be turned by 90° clockwise."""
    entries: Callable[[Path], Iterator[tuple[str, Any]]] = read_annotations
    """Yields each picture's name and what `read` takes."""

    def turned(self, picture: str) -> bool:
        """Return whether a picture of that name is to be turned."""
        return self.turned_mark is not None and self.turned_mark in picture


def _fitted(folder: str, name: str, pictures: str, source: str) -> Published:
    """Return a dataset of pictures from the web; only the refined fits are good in 3-D."""
    file = f'{folder}/{name}_CHMR_SMPL'
    splits = {
        'train': Split(f'{file}.npz', pictures, valid_3d=False),
        'train_opt': Split(f'{file}_OPT.npz', pictures),
    }
    return Published(splits, formats.fitted, f'{source} and https://camerahmr.is.tue.mpg.de')


DATASETS: Mapping[str, Published] = {
    'agora': Published(
        {
            'train': Split('agora/smpl_neutral_annots/annots_smpl_train_fit.npz', 'agora/train'),
            'validation': Split(
                'agora/smpl_neutral_annots/annots_smpl_validation.npz', 'agora/validation'
            ),
        },
        formats.agora,
        'https://agora.is.tue.mpg.de',
    ),
    'bedlam': Published(
        {
            'train_1fps': Split('bedlam/bedlam_smpl_train_1fps.npz', 'bedlam/train'),
            'train_6fps': Split('bedlam/bedlam_smpl_train_6fps.npz', 'bedlam/train'),
            'validation_6fps': Split(
                'bedlam/bedlam_smpl_validation_6fps.npz', 'bedlam/validation'
            ),
        },
        formats.bedlam,
        'https://bedlam.is.tue.mpg.de',
        turned_mark='closeup',
    ),
    '3dpw': Published(
        {
            split: Split(f'3dpw/annots_smpl_{split}_genders.npz', '3dpw')
            for split in ('train', 'test')
        },
        formats.threedpw,
        'https://virtualhumans.mpi-inf.mpg.de/3DPW',
        detect_all_people=False,
    ),
    'hi4d': Published(
        {
            split: Split(f'hi4d/hi4d_smpl_{split}.npz', 'hi4d')
            for split in ('train', 'val', 'test')
        },
        formats.hi4d,
        'https://yifeiyin04.github.io/Hi4D, and `python -m training.prepare hi4d`',
    ),
    'coco': _fitted('coco2014', 'COCO', 'coco2014/images/train2014', 'https://cocodataset.org'),
    'mpii': _fitted('mpii', 'MPII', 'mpii/images', 'http://human-pose.mpi-inf.mpg.de'),
    'aic': _fitted(
        'aic', 'AIC', 'aic/images', 'https://github.com/AIChallenger/AI_Challenger_2017'
    ),
    'insta': _fitted(
        'insta', 'INSTA', 'insta/images', 'https://github.com/akanazawa/human_dynamics'
    ),
    'panoptic': Published(
        {'test': Split('cmu_panoptic/annots_test.npz', 'cmu_panoptic/images', valid_3d=False)},
        formats.panoptic,
        'http://domedb.perception.cs.cmu.edu',
    ),
    'mupots': Published(
        {'test': Split('mupots/mupots_annots.npz', 'mupots/MultiPersonTestSet', valid_3d=False)},
        formats.mupots,
        'https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson, and '
        '`python -m training.prepare mupots`',
    ),
    'rh': Published(
        {
            split: Split(
                f'RelativeHuman/{split}_annots.npz', 'RelativeHuman/images', valid_3d=False
            )
            for split in ('train', 'val', 'test')
        },
        formats.relative_human,
        'https://github.com/Arthur151/Relative_Human',
    ),
    'synthetic': Published(
        {
            split: Split(f'synthetic/{split}.npz', f'synthetic/{split}')
            for split in ('train', 'held_out')
        },
        formats.synthetic,
        '`python -m training.synthetic.scenes`, and train with the open body',
        entries=read_plain,
    ),
}


def find_split(name: str, split: str) -> tuple[Published, Split]:
    """Return a dataset and its split; raises UserError naming the nearest known one."""
    if name not in DATASETS:
        raise UserError(f'There is no dataset {name!r}; {_nearest(name, list(DATASETS))}.')
    published = DATASETS[name]
    if split not in published.splits:
        known = _nearest(split, list(published.splits))
        raise UserError(f'The dataset {name} has no split {split!r}; {known}.')
    return published, published.splits[split]


def open_annotations(name: str, split: str, root: Path) -> StoredAnnotations:
    """Return the annotations of a split below `root`; raises UserError where there are none."""
    published, files = find_split(name, split)
    path, pictures = root / files.annotations, root / files.pictures
    for needed in (path, pictures):
        if not needed.exists():
            raise UserError(
                f'The dataset {name} ({split}) needs {path} and its pictures in {pictures}, but '
                f'there is no {needed}; get it from {published.source}, or name another folder '
                'of data.'
            )
    return stored(path, name, _entries(path, published))


def _entries(path: Path, published: Published) -> Iterator[Entry]:
    for name, entry in published.entries(path):
        try:
            empty = isinstance(entry, list) and not entry
            yield name, Annotation(Path(name)) if empty else published.read(name, entry)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            yield name, f'the annotation is not as published ({type(error).__name__}: {error})'


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f'did you mean {close[0]!r}? ' if close else ''
    return f'{hint}known are {", ".join(known)}'
