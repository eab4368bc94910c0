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

"""The loop of a training run: epochs of steps, losses to the log, checkpoints, evaluations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
import itertools
import logging
from pathlib import Path
from typing import Any, Protocol

from accelerate import Accelerator
from mahmr_model.errors import UserError
import torch
from torch import nn, Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from training.ahead import one_ahead
from training.checkpoints import CHECKPOINTS, load_checkpoint, Progress, save_checkpoint
from training.config import TrainingConfig
from training.data.dataset import SkipCounter
from training.finite import FiniteCheck
from training.optimiser import make_optimiser
from training.pace import Pace, PacedSchedule
from training.sampling import (
    EpochSampler,
    NumberedBatch,
    StepOrder,
    training_loader,
    TrainingPictures,
)

logger = logging.getLogger(__name__)


class Recipe(Protocol):
    """What is learnt: how a step's batches become losses."""

    def start(self) -> None:
        """Make ready what takes time, while the first batches are being loaded."""

    def prepare(self, batch: NumberedBatch) -> Any:
        """Bring a batch to where it is learnt from; the others below get what this returns."""

    def plan(self, batches: Sequence[Any], epoch: int) -> Sequence[Any]:
        """Return what each batch needs to know of the whole step; all processes call it."""

    def losses(self, model: nn.Module, batch: Any, plan: Any) -> dict[str, Tensor]:
        """Return the losses of a batch by name; their average over batches is the step's."""

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return what is minimised."""


Batches = list[NumberedBatch]


class AfterEpoch(Protocol):
    """What happens after an epoch, or when the time is over; every process calls it."""

    def __call__(self, epoch: int, step: int, *, over: bool) -> None:
        """
        Take the epoch that ended, the steps done since the beginning, and whether that is all.

        It is called once more for the last epoch where a run goes on from its end, or when its
        time is over already.
        """


def _nothing(epoch: int, step: int, *, over: bool) -> None:
    """Do nothing after an epoch."""


class Trainer:
    """
    Trains a model by a recipe; everything that several processes or devices need is Accelerate's.

    A step is `accumulation` batches in every process. Nothing in it depends on what is random
    outside of it: the order of pictures follows from seed and epoch, augmentation and noise from
    these and the picture. So a run that goes on from a checkpoint is the uninterrupted run.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        config: TrainingConfig,
        model: nn.Module,
        recipe: Recipe,
        pictures: TrainingPictures,
        folder: Path,
        *,
        workers: int = 0,
        skip_limit: int = 100,
        after_epoch: AfterEpoch = _nothing,
    ) -> None:
        self._accelerator, self._config, self._recipe = accelerator, config, recipe
        self._folder, self._after_epoch = folder, after_epoch
        self._skips = SkipCounter(skip_limit)
        self._order = StepOrder(
            len(pictures),
            config.batch_size,
            config.accumulation,
            accelerator.num_processes,
            config.seed,
        )
        self._sampler = EpochSampler(self._order, accelerator.process_index)
        on_cuda = accelerator.device.type == 'cuda'
        self._loader = training_loader(pictures, self._sampler, workers, pin_memory=on_cuda)
        model.to(accelerator.device)
        optimiser = make_optimiser(model, config, accelerator.device)
        pace = Pace(config.epochs * self._order.steps, config.warmup_steps, config.minutes)
        self._schedule = PacedSchedule(optimiser, pace, accelerator)
        self._finite = FiniteCheck()
        self._model, self._optimiser = accelerator.prepare(model, optimiser)
        # Not prepared: Accelerate would move it on once for each process.
        accelerator.register_for_checkpointing(self._schedule)
        self.progress = Progress()
        self._writer: SummaryWriter | None = None

    @property
    def checkpoints(self) -> Path:
        """Return the folder of this run's checkpoints."""
        return self._folder / CHECKPOINTS

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint."""
        self.progress = load_checkpoint(self._accelerator, checkpoint)
        if self.progress.total_steps != (
            self.progress.epoch * self._order.steps + self.progress.step
        ):
            raise UserError(
                f'{checkpoint}: it is of a run with other steps an epoch (now '
                f'{self._order.steps}); resume with the same data, batch size, accumulation and '
                'number of processes, or start anew from its weights (starts_from).'
            )

    def run(self, writer: SummaryWriter | None = None) -> None:
        """
        Train to the last epoch, or until the time is over.

        `writer` is TensorBoard's, in the main process alone.

        Raises UserError where a loss is not finite.
        """
        self._writer = writer
        done = self.progress.total_steps
        if done > 0 and (self.progress.step == 0 or self._schedule.is_over):
            # Whatever stopped the run may have done so between checkpoint and evaluation.
            self._end_epoch((done - 1) // self._order.steps)
        for epoch in range(self.progress.epoch, self._config.epochs):
            if self._schedule.is_over:
                return
            self._run_epoch(epoch)
            if self.progress.step == self._order.steps:
                self.progress = Progress(epoch + 1, 0, self.progress.total_steps)
            self._save()
            self._end_epoch(epoch)

    def _end_epoch(self, epoch: int) -> None:
        self._after_epoch(epoch, self.progress.total_steps, over=self._schedule.is_over)

    def _run_epoch(self, epoch: int) -> None:
        first = self.progress.step
        self._sampler.set_start(epoch, first)
        progress_bar = tqdm(
            range(first, self._order.steps),
            desc=f'epoch {epoch + 1}/{self._config.epochs}',
            unit='step',
            initial=first,
            total=self._order.steps,
            disable=None if self._accelerator.is_main_process else True,
        )
        loaded = iter(self._loader)
        self._recipe.start()
        self._model.train()
        self._schedule.start_clock()
        steps = one_ahead(self._prepared(loaded), self._accelerator.device)
        for step, (batches, prepared) in zip(progress_bar, steps, strict=False):
            losses = self._step(batches, prepared, epoch)
            self.progress = Progress(epoch, step + 1, self.progress.total_steps + 1)
            if self.progress.total_steps % self._config.log_every == 0:
                self._log(losses, progress_bar)
            if self._schedule.is_over:
                break
            if self._checkpoint_is_due():
                self._save()

        steps.close()

    def _prepared(self, loaded: Iterator[NumberedBatch]) -> Iterator[tuple[Batches, list[Any]]]:
        """Yield the batches of each step, as they are loaded and as the recipe prepares them."""
        while batches := list(itertools.islice(loaded, self._config.accumulation)):
            yield batches, [self._recipe.prepare(batch) for batch in batches]

    def _save(self) -> None:
        self._finite.look()  # a checkpoint is only written of sound weights
        save_checkpoint(self._accelerator, self.checkpoints, self.progress)

    def _step(
        self, batches: Sequence[NumberedBatch], prepared: Sequence[Any], epoch: int
    ) -> dict[str, Tensor]:
        """Make one step of the optimiser; returns this process's average losses."""
        for batch in batches:
            self._skips.add(batch.samples.skipped)
        plans = self._recipe.plan(prepared, epoch)
        self._finite.look()
        sums: dict[str, Tensor] = {}
        for turn, (batch, plan) in enumerate(zip(prepared, plans, strict=True)):
            last = turn == len(batches) - 1
            alone = nullcontext() if last else self._accelerator.no_sync(self._model)
            with alone:
                losses = self._recipe.losses(self._model, batch, plan)
                total = self._recipe.total(losses) / len(batches)
                names = batches[turn].samples.names
                self._finite.watch(self.progress.total_steps + 1, total, losses, names)
                self._accelerator.backward(total)
            for name, value in losses.items():
                part = value.detach()
                sums[name] = sums[name] + part if name in sums else part
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad()
        if not self._accelerator.optimizer_step_was_skipped:
            self._schedule.step()
        if len(batches) > 1:
            return {name: value / len(batches) for name, value in sums.items()}
        return sums

    def _checkpoint_is_due(self) -> bool:
        every, step = self._config.checkpoint_every, self.progress.step
        return every > 0 and step % every == 0 and step < self._order.steps

    def _log(self, losses: Mapping[str, Tensor], progress_bar: Any) -> None:
        """Write the losses of the whole step, averaged over processes, and the learning rate."""
        names = sorted(losses)
        stacked = torch.stack([losses[name].float() for name in names])
        values = dict(zip(names, self._mean(stacked).tolist(), strict=True))
        total = float(self._recipe.total({k: torch.tensor(v) for k, v in values.items()}))
        if self._writer is None:
            return
        step = self.progress.total_steps
        progress_bar.set_postfix(loss=f'{total:.4g}', refresh=False)
        logger.info('step %d: loss %.6g', step, total)
        self._writer.add_scalar('loss/total', total, step)
        for name, value in values.items():
            self._writer.add_scalar(f'loss/{name}', value, step)
        for group, rate in enumerate(self._schedule.rates()):
            self._writer.add_scalar(f'learning_rate/{group}', rate, step)

    def _mean(self, values: Tensor) -> Tensor:
        reduced: Tensor = self._accelerator.reduce(values, 'mean')
        return reduced
