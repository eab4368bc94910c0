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
from training.scene_pictures import (
    collate_scenes,
    DrawnScene,
    KeptScenes,
    SceneBatch,
    ScenePictures,
)


class Place(NamedTuple):
    """Where a picture is: its number in the data set, and the epoch it is drawn for."""

    epoch: int
    number: int
    again: bool = False
    """Whether it came before in this epoch, and was kept."""
    last: bool = True
    """Whether it does not come again, and need not be kept."""


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

    samples: Batch | SceneBatch | KeptScenes
    indices: Sequence[int]
    last: bool = True
    """Whether it does not come again, and need not be kept."""

    def pin_memory(self) -> NumberedBatch:
        """Return the batch where a device can fetch it by itself; for PyTorch's loader."""
        return NumberedBatch(self.samples.pin_memory(), self.indices, self.last)


@dataclass(frozen=True)
class StepOrder:
    """
    The pictures of every step of every epoch, whatever the number of processes.

    A step takes P·A·B pictures, one after the other, of the epoch's permutation: A batches of B
    for each of P processes. So P processes, or A accumulated batches, see in a step what one
    process with a larger batch sees. What does not fill a step is left for another epoch.

    With several `rounds` every step comes so many times in an epoch, at random places among the
    others but before `kept` new steps have followed it: that many have to be kept.
    """

    pictures: int
    batch_size: int
    accumulation: int = 1
    processes: int = 1
    seed: int = 42
    rounds: int = 1
    kept: int = 1

    def __post_init__(self) -> None:
        """Refuse an epoch without a single step."""
        if self.steps_a_round == 0:
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
    def steps_a_round(self) -> int:
        """Return how many steps go once through the pictures."""
        return self.pictures // self._per_step

    @property
    def steps(self) -> int:
        """Return how many steps an epoch has."""
        return self.steps_a_round * self.rounds

    def batches(self, epoch: int, process: int, first_step: int = 0) -> Iterator[list[Place]]:
        """Yield the batches of a process from a step on: A of them a step."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.pictures, generator=generator).tolist()
        steps = self._steps(generator)
        last = {step: place for place, step in enumerate(steps)}
        seen: set[int] = set()
        for place, step in enumerate(steps[first_step:], first_step):
            again = step in seen
            seen.add(step)
            for turn in range(self.accumulation):
                first = ((step * self.accumulation + turn) * self.processes + process) * (
                    self.batch_size
                )
                indices = order[slice(first, first + self.batch_size)]
                yield [Place(epoch, index, again, last[step] == place) for index in indices]

    def _steps(self, generator: torch.Generator) -> list[int]:
        """Return the steps of an epoch, by the times at which they come again."""
        first = torch.arange(self.steps_a_round, dtype=torch.float64)
        again = torch.rand(self.rounds - 1, len(first), generator=generator, dtype=torch.float64)
        delays = (again + torch.arange(self.rounds - 1)[:, None]) / max(self.rounds - 1, 1)
        times = torch.cat([first[None], first + delays * self.kept])
        order: list[int] = (times.flatten().sort(stable=True).indices % len(first)).tolist()
        return order


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


Loaded = Item | DrawnScene | str
"""A sample, a scene, or the name of a scene that was kept."""


class _Numbered(Dataset[tuple[Loaded, Place]]):
    """A data set that is told the epoch with every index, since workers outlive epochs."""

    def __init__(self, pictures: TrainingPictures) -> None:
        self._pictures = pictures

    def __getitem__(self, place: Place) -> tuple[Loaded, Place]:
        self._pictures.set_epoch(place.epoch)
        if place.again and isinstance(self._pictures, ScenePictures):
            return self._pictures.name(place.number), place
        return self._pictures[place.number], place


def _collate(placed: Sequence[tuple[Loaded, Place]]) -> NumberedBatch:
    indices, last = [place.number for _, place in placed], placed[0][1].last
    names = [one for one, _ in placed if isinstance(one, str)]
    scenes = [one for one, _ in placed if isinstance(one, DrawnScene)]
    if names:
        samples: Batch | SceneBatch | KeptScenes = KeptScenes(names)
    elif scenes:
        samples = collate_scenes(scenes)
    else:
        samples = collate([one for one, _ in placed if isinstance(one, Item)])
    return NumberedBatch(samples, indices, last)


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
