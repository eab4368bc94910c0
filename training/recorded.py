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
Training on scenes in steps of one shape, which a GPU records once and repeats.

New weights need very many steps, more of them rather than larger ones, and a host takes far
longer to start the operations of a step than a GPU to do them. So the host decides nothing in a
step (`lesson`): a CUDA graph of it is replayed, drawing pictures from a pool that is rendered
meanwhile (`filling`). Where queries have no losses the encoder learns alone: a start for one whose
weights are new, in place of DINOv2's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import logging
from pathlib import Path
import time

from accelerate import Accelerator
from mahmr_model.body.data import BodyData
from mahmr_model.checkpoint import save_weights
from mahmr_model.errors import UserError
import torch
from torch import nn, Tensor
import torch.distributed as distributed
from torch.utils.tensorboard import SummaryWriter
from training.compiling import compile_parts
from training.config import RunConfig
from training.epoch_end import WEIGHTS
from training.filling import Filling
from training.lesson import Lesson, new_lesson
from training.optimiser import make_optimiser
from training.pace import of_main_process, Pace
from training.recipe import training_extras
from training.scene_pictures import SceneStudio
from training.scene_pool import ScenePool

logger = logging.getLogger(__name__)

_AHEAD = 2
"""
Steps that the host may start before the device has done them: while many wait, nothing else is
started either, and scenes were rendered at two fifths of the pace that there is now.
"""
_WARM_UPS = 3
"""Steps before the recorded one, which take memory and find kernels."""


class RecordedStep:
    """
    A step of the optimiser, recorded on CUDA and repeated.

    Of several processes, which begin with the same weights, each goes through pictures of its own,
    and the optimiser's step is of the mean of their gradients.
    """

    def __init__(
        self,
        config: RunConfig,
        lesson: Lesson,
        pool: ScenePool,
        device: torch.device,
        processes: int = 1,
    ) -> None:
        """Take the pool, which holds some pictures already."""
        self._lesson, self._pool, self._device = lesson, pool, device
        self._processes = processes
        self._count = config.training.batch_size
        self._clip = config.training.clip_norm
        self._optimiser = make_optimiser(
            lesson, config.training, device, recorded=device.type == 'cuda'
        )
        self._rates = [group['lr'] for group in self._optimiser.param_groups]
        self._full = [float(rate) for rate in self._rates]
        self._learning = [p for p in lesson.parameters() if p.requires_grad]
        # All gradients side by side, as the processes exchange them.
        self._gradients = torch.zeros(sum(p.numel() for p in self._learning), device=device)
        self._places = pool.draw(self._count)
        self._sums = torch.zeros(len(lesson.names), device=device)
        self.backward: Callable[[], None] = self._gradients_of_a_batch
        """The first half of a step: losses and gradients of the places that were drawn."""
        self.update: Callable[[], None] = self._optimiser_step
        """The second half, with the gradients that there are."""
        self._steps = 0
        self._ends: deque[torch.cuda.Event] = deque()
        self.left_out = 0.0
        """The share of pictures that were left out, of the steps of the last `losses`."""

    def __call__(self, factor: float) -> None:
        """Make a step with so much of the learning rates."""
        for group, rate, full in zip(
            self._optimiser.param_groups, self._rates, self._full, strict=True
        ):
            if isinstance(rate, Tensor):
                rate.fill_(full * factor)
            else:
                group['lr'] = full * factor
        with self._pool.guard:
            self._places.copy_(self._pool.draw(self._count))
            self.backward()
        self._steps += 1
        if self._processes > 1:
            distributed.all_reduce(self._gradients)
        self.update()
        if self._device.type == 'cuda':
            self._wait_for_device()

    def _wait_for_device(self) -> None:
        if len(self._ends) == _AHEAD:
            self._ends.popleft().synchronize()
        self._ends.append(torch.cuda.Event(blocking=True))
        self._ends[-1].record()

    def record(self) -> None:
        """
        Record a step; some are made before.

        What is in float32, heads and bodies, has its products in TF32: they are small and many,
        and their rounding is far below what losses tell apart. Scenes are drawn outside of it.
        """
        beside = torch.cuda.Stream(self._device)
        beside.wait_stream(torch.cuda.current_stream(self._device))
        graphs = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision('high')
        try:
            with torch.cuda.stream(beside):  # compiles, too
                for _ in range(_WARM_UPS):
                    self(0.0)
            torch.cuda.current_stream(self._device).wait_stream(beside)
            torch.cuda.synchronize(self._device)
            for graph, work in zip(graphs, (self.backward, self.update), strict=True):
                with torch.cuda.graph(graph, capture_error_mode='thread_local'):
                    work()
        except torch.OutOfMemoryError:  # told by `command.train`, wherever it happens
            raise
        except RuntimeError as error:  # no kernel for packed attention, no compiler
            reason = str(error).splitlines()[0]
            raise UserError(
                f'{torch.cuda.get_device_name(self._device)} cannot record a step of this '
                f'training ({reason}); take another GPU or torch, or go without by '
                'training.compile=false, or by training.recorded=false data.rounds=1.'
            ) from error
        finally:
            torch.set_float32_matmul_precision(precision)
        self.backward, self.update = (graph.replay for graph in graphs)
        self.losses()

    def losses(self) -> dict[str, float]:
        """Return the means of all steps since this was last asked for; waits for the device."""
        means = (self._sums / max(self._steps, 1)).tolist()
        self.left_out = self._lesson.left_out.item() / max(self._steps * self._count, 1)
        self._sums.zero_()
        self._lesson.left_out.zero_()
        self._steps = 0
        return dict(zip(self._lesson.names, means, strict=True))

    def check_finite(self, name: str) -> None:
        """Raise UserError where the weights of a run of this name are no numbers any more."""
        if not all(torch.stack([p.isfinite().all() for p in self._learning]).tolist()):
            raise UserError(
                f'{name}: weights are not finite after {self._steps} more steps; lower '
                'training.learning_rate.'
            )

    def _gradients_of_a_batch(self) -> None:
        total, losses = self._lesson(self._pool.pictures.at(self._places))
        gradients = torch.autograd.grad(
            total, self._learning, allow_unused=True, materialize_grads=True
        )
        torch.cat([gradient.flatten() for gradient in gradients], out=self._gradients)
        self._sums += losses

    def _optimiser_step(self) -> None:
        parts = (self._gradients / self._processes).split([p.numel() for p in self._learning])
        for parameter, part in zip(self._learning, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        nn.utils.clip_grad_norm_(self._learning, self._clip, foreach=True)
        self._optimiser.step()


def recorded_parts(
    config: RunConfig, accelerator: Accelerator, body: BodyData, body_path: Path
) -> tuple[Lesson, Filling, RecordedStep]:
    """Return what a run learns, its pool with the first scenes in it, and a step of it."""
    device = accelerator.device
    lesson = new_lesson(config, body).to(device)
    if config.training.compile and device.type == 'cuda':
        compile_parts(lesson)
    studio = SceneStudio(body, config.model, device, mirrored=config.data.mirrored)
    filling = Filling(config, accelerator, lesson, studio, body_path)
    step = RecordedStep(config, lesson, filling.pool, device, accelerator.num_processes)
    if device.type == 'cuda':
        step.record()
    return lesson, filling, step


def train_recorded(
    config: RunConfig, accelerator: Accelerator, body: BodyData, body_path: Path
) -> int:
    """Train as configured, and write the weights that the next stage starts from."""
    training, main = config.training, accelerator.is_main_process
    lesson, filling, step = recorded_parts(config, accelerator, body, body_path)
    writer = SummaryWriter(str(config.folder / 'tensorboard')) if main else None
    pace = Pace(10**9, training.warmup_steps, training.minutes)
    start = time.monotonic()

    def save() -> None:
        step.check_finite(config.name)
        if main:
            weights = config.folder / WEIGHTS
            save_weights(lesson.network, weights, body.kind, training_extras(lesson))

    number = 0
    with filling:
        while pace.share(number) < 1:
            filling.beside_step()
            step(pace(number))
            number += 1
            if pace.looks_at_clock(number):
                pace.measured(number, of_main_process((time.monotonic() - start) / 60))
            if number % training.log_every == 0:
                _log(step, number, filling, config, writer)
            if training.checkpoint_every and number % training.checkpoint_every == 0:
                save()
    save()
    if writer is not None:
        writer.close()
    logger.info('done after %d steps', number)
    return 0


def _log(
    recorded: RecordedStep,
    step: int,
    filling: Filling,
    config: RunConfig,
    writer: SummaryWriter | None,
) -> None:
    losses = recorded.losses()
    total = sum(config.losses[name] * value for name, value in losses.items())
    if not total < float('inf'):
        raise UserError(
            f'{config.name}: the loss is not finite at step {step} '
            f'({", ".join(f"{name} {value}" for name, value in losses.items())}); lower '
            'training.learning_rate.'
        )
    parts = ', '.join(f'{name} {value:.4f}' for name, value in losses.items())
    times = step * config.training.batch_size / filling.pictures
    logger.info(
        'step %d, %d pictures, each %.1f times, %.1f %% with too many tokens: loss %.4f (%s)',
        step,
        filling.pictures,
        times,
        100 * recorded.left_out,
        total,
        parts,
    )
    if writer is not None:
        for name, value in losses.items():
            writer.add_scalar(f'loss/{name}', value, step)
        writer.add_scalar('loss/total', total, step)
