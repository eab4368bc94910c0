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

"""A pool of scenes that is filled beside the steps which draw from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import threading

from accelerate import Accelerator
from mahmr_model.errors import UserError
import torch
from training.config import RunConfig
from training.lesson import Lesson
from training.run_data import training_data
from training.sampling import EpochSampler, NumberedBatch, StepOrder, training_loader
from training.scene_pictures import SceneBatch, SceneStudio
from training.scene_pool import ScenePool

_AT_ONCE_ON_CUDA, _AT_ONCE = 128, 4
"""Scenes that are rendered together."""


class Filling:
    """Fills a pool: on CUDA in a thread beside the steps, on a CPU some scenes before each."""

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        lesson: Lesson,
        studio: SceneStudio,
        body_path: Path,
    ) -> None:
        """Make the pool and put the first pictures into it; each process has its own scenes."""
        device = accelerator.device
        self._lesson, self._studio, self._device = lesson, studio, device
        at_once = _AT_ONCE_ON_CUDA if device.type == 'cuda' else _AT_ONCE
        kept = config.data.kept_scenes
        both = self._both = 2 if config.data.mirrored else 1
        # While one batch is replaced, others have to be there.
        capacity = max(2, -(-kept // at_once)) * at_once
        self.pool = ScenePool(config.model, both * capacity, device)
        self.rendered = 0
        scenes = training_data(config, body_path)
        least = at_once * accelerator.num_processes
        if len(scenes) < least:
            raise UserError(
                f'The configuration {config.name!r} has {len(scenes)} scenes an epoch, but '
                f'{accelerator.num_processes} processes render {at_once} each at a time; raise '
                f'the count of scenes in data.training to {least} or more.'
            )
        order = StepOrder(
            len(scenes),
            at_once,
            processes=accelerator.num_processes,
            seed=config.training.seed,
        )
        sampler = EpochSampler(order, accelerator.process_index)
        loader = training_loader(
            scenes, sampler, config.data.workers, pin_memory=device.type == 'cuda'
        )

        def batches() -> Iterator[NumberedBatch]:
            epoch = 0
            while True:
                sampler.set_start(epoch, 0)
                yield from loader
                epoch += 1

        self._batches = batches()
        self._kept = kept
        self.due = 0.0
        """How many scenes should have been rendered by now, if more than are kept."""
        self._share = config.training.batch_size / both / config.data.rounds
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._fill, name='scenes', daemon=True)
        first = min(kept, max(at_once, 2 * config.training.batch_size))
        while self.rendered < first:
            self.render()

    @property
    def pictures(self) -> int:
        """Return how many pictures were rendered so far, mirror images included."""
        return self._both * self.rendered

    def __enter__(self) -> None:
        if self._device.type == 'cuda':
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def beside_step(self) -> None:
        """Render what is due with a step; raises what went wrong in the thread."""
        if self._failed:
            raise self._failed[0]
        self.due += self._share
        while self._device.type != 'cuda' and self.due >= 1:
            self.due -= self.render()

    def _fill(self) -> None:
        try:
            if self._device.type == 'cuda':  # a thread's is the first one
                torch.cuda.set_device(self.pool.pictures.images.device)
            while not self._stop.is_set():
                if self.rendered < max(self._kept, self.due):
                    self.render()
                else:
                    self._stop.wait(0.01)
        except BaseException as error:
            self._failed.append(error)

    def render(self) -> int:
        """Put the next scenes into the pool; return how many."""
        batch = next(self._batches)
        assert isinstance(batch.samples, SceneBatch)
        rendered = self._studio(batch.samples, batch.indices)
        with self._studio.beside():
            self.pool.put(rendered, self._lesson.network.cells(rendered.images).yx)
        self.rendered += len(batch.indices)
        return len(batch.indices)
