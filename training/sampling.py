"""Which pictures a process sees in which order, and how they come together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mahmr_model.errors import UserError
from training.target import Target

Place = tuple[int, int]
"""An epoch and the index of a picture."""


class TrainingPictures(Protocol):
    """What the loop needs of a data set; `training.data` makes them."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        """Return a picture, uint8 (H', W', 3), and its truth."""

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next samples' augmentation is drawn from."""

    def describe(self, index: int) -> str:
        """Return the picture's path, for messages."""


@dataclass(frozen=True)
class Batch:
    """B pictures, resized and augmented, with their truth."""

    images: Sequence[Any]
    """uint8 (H', W', 3) each."""
    targets: Sequence[Any]
    indices: Sequence[int]
    """Their places in the data set."""


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
        """Steps of an epoch."""
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
                yield [(epoch, index) for index in order[first : first + self.batch_size]]


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


class _Numbered(Dataset[tuple[Tensor, Target, int]]):
    """A data set that is told the epoch with every index, since workers outlive epochs."""

    def __init__(self, pictures: TrainingPictures) -> None:
        self._pictures = pictures

    def __getitem__(self, place: Place) -> tuple[Tensor, Target, int]:
        epoch, index = place
        self._pictures.set_epoch(epoch)
        image, target = self._pictures[index]
        return image, target, index


def _collate(samples: Sequence[tuple[Tensor, Target, int]]) -> Batch:
    images, targets, indices = zip(*samples, strict=True)
    return Batch(images, targets, indices)


def training_loader(
    pictures: TrainingPictures, sampler: EpochSampler, workers: int
) -> DataLoader[Any]:
    """Return a loader of `Batch`es in the sampler's order."""
    return DataLoader(
        _Numbered(pictures),
        batch_sampler=sampler,
        collate_fn=_collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context='spawn' if workers > 0 else None,
        prefetch_factor=4 if workers > 0 else None,
    )
