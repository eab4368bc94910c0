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

"""Which pictures a process sees in which order, and how they come together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import multiprocessing
from typing import Any, NamedTuple, Protocol

from mahmr_model.errors import UserError
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from training.data.dataset import Batch, collate, Item, quiet_worker
from training.scene_pictures import collate_scenes, DrawnScene, SceneBatch


class Place(NamedTuple):
    """Where a picture is: its number in the data set, and the epoch it is drawn for."""

    epoch: int
    number: int


class TrainingPictures(Protocol):
    """What the loop needs of data: `data.dataset` has it, and `scene_pictures`."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, index: int, /) -> Item | DrawnScene:
        """Return a sample, with the pictures that had to be skipped for it, or a scene."""

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next samples' augmentation is drawn from."""


@dataclass(frozen=True)
class NumberedBatch:
    """A batch, and the places (B,) of its samples in the data set."""

    samples: Batch | SceneBatch
    indices: Sequence[int]

    def pin_memory(self) -> NumberedBatch:
        """Return the batch where a device can fetch it by itself; for PyTorch's loader."""
        return NumberedBatch(self.samples.pin_memory(), self.indices)


@dataclass(frozen=True)
class StepOrder:
    """
    The pictures of every step of every epoch, whatever the number of processes.

    A step takes P·A·B pictures, one after the other, of the epoch's permutation: A batches of B
    for each of P processes. So P processes, or A accumulated batches, see in a step what one
    process with a larger batch sees. What does not fill a step is left for another epoch.
    """

    pictures: int
    batch_size: int
    accumulation: int = 1
    processes: int = 1
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse an epoch without a single step."""
        if self.steps == 0:
            raise UserError(
                f'The training data has {self.pictures} pictures, fewer than the '
                f'{self._per_step} of a single step ({self.batch_size} pictures × '
                f'{self.accumulation} accumulated × {self.processes} processes); lower '
                'training.batch_size.'
            )

    @property
    def _per_step(self) -> int:
        return self.batch_size * self.accumulation * self.processes

    @property
    def steps(self) -> int:
        """Return how many steps an epoch has."""
        return self.pictures // self._per_step

    def batches(self, epoch: int, process: int, first_step: int = 0) -> Iterator[list[Place]]:
        """Yield the batches of a process from a step on: A of them a step."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.pictures, generator=generator).tolist()
        for step in range(first_step, self.steps):
            for turn in range(self.accumulation):
                first = ((step * self.accumulation + turn) * self.processes + process) * (
                    self.batch_size
                )
                indices = order[slice(first, first + self.batch_size)]
                yield [Place(epoch, index) for index in indices]


class EpochSampler(Sampler[list[Place]]):
    """The batches of one process in the epoch that was last set."""

    def __init__(self, order: StepOrder, process: int) -> None:
        self._order = order
        self._process = process
        self._epoch, self._first_step = 0, 0

    def set_start(self, epoch: int, first_step: int) -> None:
        """Begin there at the next iteration."""
        self._epoch, self._first_step = epoch, first_step

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield batches."""
        return self._order.batches(self._epoch, self._process, self._first_step)


class _Numbered(Dataset[tuple[Item | DrawnScene, Place]]):
    """A data set that is told the epoch with every index, since workers outlive epochs."""

    def __init__(self, pictures: TrainingPictures) -> None:
        self._pictures = pictures

    def __getitem__(self, place: Place) -> tuple[Item | DrawnScene, Place]:
        self._pictures.set_epoch(place.epoch)
        return self._pictures[place.number], place


def _collate(placed: Sequence[tuple[Item | DrawnScene, Place]]) -> NumberedBatch:
    indices = [place.number for _, place in placed]
    scenes = [one for one, _ in placed if isinstance(one, DrawnScene)]
    if scenes:
        return NumberedBatch(collate_scenes(scenes), indices)
    return NumberedBatch(collate([one for one, _ in placed if isinstance(one, Item)]), indices)


def training_loader(
    pictures: TrainingPictures, sampler: EpochSampler, workers: int, *, pin_memory: bool = False
) -> DataLoader[Any]:
    """Return a loader of batches in the sampler's order."""
    return DataLoader(
        _Numbered(pictures),
        batch_sampler=sampler,
        collate_fn=_collate,
        **worker_options(workers),
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def worker_options(workers: int) -> dict[str, Any]:
    """
    Return how a loader starts its workers.

    By a server of their own that has imported what they need once: a fork of a process that uses
    CUDA or threads may hang, and starting each afresh takes seconds.
    """
    if workers == 0:
        return {'num_workers': 0}
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['training.sampling'])
    return {
        'num_workers': workers,
        'multiprocessing_context': context,
        'worker_init_fn': quiet_worker,
    }
