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
The way from a dataset's name to batches.

    bodies = WorkerBodies(find_body(...))
    data = join([build_dataset('agora', 'train', root, bodies, config, keep_every=2), ...])
    loader = DataLoader(data, batch_size, shuffle=True, collate_fn=collate, **worker_options(8))
    skips = SkipCounter(limit=100)
    for epoch in range(epochs):
        data.set_epoch(epoch)
        for batch in loader:
            skips.add(batch.skipped)

A sample follows from (seed, epoch, dataset, its number) alone, whatever the workers. Workers that
outlive an epoch have to be told the next one by `set_epoch` in their own process. A picture on
which nobody is seen is replaced by the next one; so is, in training, one that is missing,
truncated or badly annotated, which a batch reports by path in `skipped`. In evaluation such a
picture is left out of its batch (which may be empty) and reported alike.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
import logging
from pathlib import Path
from typing import cast, NamedTuple
import zlib

import cv2
from mahmr_model.errors import UserError
from mahmr_model.pictures import read_picture
from mahmr_model.types import ImageArray
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset
from training.data.annotation import Annotation, BrokenSampleError
from training.data.catalogue import find_split, open_annotations
from training.data.posing import WorkerBodies
from training.data.sample import SampleConfig, SampleMaker
from training.data.truth import Truth, truth_of
from training.target import Target

logger = logging.getLogger(__name__)

MOST_REPLACED = 50
"""Pictures in a row that may be without a sample before something must be wrong."""


@dataclass(frozen=True)
class Source:
    """Where a sample came from."""

    dataset: str
    picture: Path
    original_hw: tuple[int, int]
    """Size of the picture as the dataset has it."""
    truth: Truth | None
    """What its protocol compares with; None in training."""


class Sample(NamedTuple):
    """One picture, ready but for padding and normalising."""

    image: Tensor
    """uint8 (H', W', 3) RGB, the longer side S."""
    target: Target
    source: Source


class Item(NamedTuple):
    """What a dataset gives for a number: a sample, and which pictures it had to skip."""

    sample: Sample | None
    """None in evaluation where the picture had to be skipped."""
    skipped: tuple[str, ...]


class Batch(NamedTuple):
    """Samples of a batch, one list entry each."""

    images: list[Tensor]
    targets: list[Target]
    sources: list[Source]
    skipped: list[str]
    """Why pictures were skipped, each reason beginning with the path."""

    @property
    def names(self) -> list[str]:
        """Return what to call the samples in messages."""
        return [str(source.picture) for source in self.sources]

    def pin_memory(self) -> Batch:
        """Return the batch with its pictures where a device can fetch them by itself."""
        return self._replace(images=[image.pin_memory() for image in self.images])


class PictureDataset(Dataset[Item]):
    """The pictures of one split, every `keep_every`-th."""

    def __init__(
        self,
        name: str,
        split: str,
        root: Path,
        maker: SampleMaker,
        *,
        keep_every: int = 1,
        seed: int = 42,
    ) -> None:
        """Open a split below `root`; raises UserError where it is not there or damaged."""
        self.name, self.split = name, split
        self._published, files = find_split(name, split)
        self._annotations = open_annotations(name, split, root)
        self._pictures = root / files.pictures
        self._valid_3d = files.valid_3d
        self._maker = maker
        self._keep_every = keep_every
        self._seed = (seed, zlib.crc32(f'{name} {split}'.encode()))
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return -(-len(self._annotations) // self._keep_every)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next samples of this process belong to."""
        self._epoch = epoch

    def describe(self, index: int) -> str:
        """Return where a picture is, for messages."""
        try:
            return str(self.annotation(index).picture)
        except BrokenSampleError as error:
            return str(error)

    def __getitem__(self, index: int) -> Item:
        """Return a sample by its number; raises UserError where far too many are unusable."""
        if not 0 <= index < len(self):
            raise IndexError(f'{index} of {len(self)} pictures')
        if self._maker.config.augmentation is None:
            return self._evaluated(index)
        rng = np.random.default_rng((*self._seed, self._epoch, index))
        skipped: list[str] = []
        for number in range(index, index + min(MOST_REPLACED, len(self))):
            try:
                annotation = self.annotation(number % len(self))
                picture = load_picture(annotation)
            except BrokenSampleError as error:
                skipped.append(str(error))
                continue
            made = self._maker.training_sample(picture, annotation, rng)
            if made is not None:
                source = Source(self.name, annotation.picture, picture.shape[:2], None)
                return Item(Sample(*made, source), tuple(skipped))
        reason = skipped[0] if skipped else 'on none of them is anybody seen'
        raise UserError(
            f'The dataset {self.name} ({self.split}) should have usable pictures, but there is '
            f'none among {min(MOST_REPLACED, len(self))} in a row from number {index} on '
            f'({reason}); check its files.'
        )

    def annotation(self, index: int) -> Annotation:
        """Return the annotation of a picture, with its full path; raises BrokenSampleError."""
        try:
            annotation = self._annotations[index * self._keep_every]
        except BrokenSampleError as error:  # it names the picture as published
            raise BrokenSampleError(f'{self._pictures}/{error}') from error
        name = annotation.picture.as_posix()
        annotation = replace(
            annotation,
            picture=self._pictures / annotation.picture,
            valid_3d=self._valid_3d,
            detect_all_people=self._published.detect_all_people,
            quarter_turn=self._published.turned(name),
        )
        annotation.check()
        return annotation

    def _evaluated(self, index: int) -> Item:
        try:
            annotation = self.annotation(index)
            picture = load_picture(annotation)
            image, target, placed = self._maker.plain_sample(picture, annotation)
            truth = truth_of(self.name, annotation, placed, self._maker)
        except BrokenSampleError as error:
            return Item(None, (str(error),))
        source = Source(self.name, annotation.picture, picture.shape[:2], truth)
        return Item(Sample(image, target, source), ())


class JoinedDatasets(ConcatDataset[Item]):
    """Several datasets one after the other."""

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next samples of this process belong to."""
        for dataset in self.datasets:
            cast('PictureDataset', dataset).set_epoch(epoch)

    def describe(self, index: int) -> str:
        """Return where a picture is, for messages."""
        part = bisect.bisect_right(self.cumulative_sizes, index)
        first = self.cumulative_sizes[part - 1] if part else 0
        return cast('PictureDataset', self.datasets[part]).describe(index - first)


def build_dataset(
    name: str,
    split: str,
    root: Path,
    bodies: WorkerBodies,
    config: SampleConfig,
    *,
    keep_every: int = 1,
    seed: int = 42,
) -> PictureDataset:
    """
    Return a split of one of the datasets (`catalogue.DATASETS`) below the folder `root`.

    With `config.augmentation` it gives training samples, otherwise evaluation's. Raises UserError.
    """
    if keep_every < 1:
        raise UserError(f'Every n-th picture can be kept, n at least 1, but n is {keep_every}.')
    maker = SampleMaker(bodies, config)
    return PictureDataset(name, split, root, maker, keep_every=keep_every, seed=seed)


def join(datasets: Sequence[PictureDataset]) -> JoinedDatasets:
    """Return datasets one after the other."""
    return JoinedDatasets(datasets)


def collate(items: Sequence[Item]) -> Batch:
    """Put items together; those without a sample only add their reasons."""
    samples = [item.sample for item in items if item.sample is not None]
    return Batch(
        [sample.image for sample in samples],
        [sample.target for sample in samples],
        [sample.source for sample in samples],
        [reason for item in items for reason in item.skipped],
    )


def quiet_worker(worker: int) -> None:
    """Keep OpenCV and torch of a loader's worker to one thread: there are workers enough."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


class SkipCounter:
    """Counts the pictures that had to be skipped, warns of each once, and has a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reasons: list[str] = []

    def add(self, skipped: Sequence[str]) -> None:
        """Take a batch's skips; raises UserError when there are more than the limit."""
        for reason in dict.fromkeys(skipped):
            if reason in self.reasons:
                continue
            self.reasons.append(reason)
            logger.warning('skipped %s', reason)
        if len(self.reasons) > self._limit:
            raise UserError(
                f'At most {self._limit} pictures may be skipped, but {len(self.reasons)} had to '
                f'be, the last one {self.reasons[-1]}; mend the data or raise the limit.'
            )


def load_picture(annotation: Annotation) -> ImageArray:
    """Return an annotation's picture, RGB as it is annotated; raises BrokenSampleError."""
    try:
        picture = read_picture(annotation.picture)
    except UserError as error:
        raise BrokenSampleError(str(error)) from error
    return np.ascontiguousarray(np.rot90(picture, -1)) if annotation.quarter_turn else picture
