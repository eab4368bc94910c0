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
A start for an encoder whose weights are new, in place of DINOv2's: rendered scenes, no decoder.

Every token learns of the person it shows, the coarse pass where people are and how large, the
camera token the lens. New weights need very many small steps, more of them rather than larger
ones. So all steps are of one shape (`even_tokens`), and a GPU repeats a recording of the first
one, drawing pictures from a pool (`scene_pool`) that is rendered meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
import logging
from pathlib import Path
import threading
import time

from accelerate import Accelerator
from mahmr_model.body.data import BodyData
from mahmr_model.checkpoint import BodyKind, save_weights
from mahmr_model.encoder.cells import Cells
from mahmr_model.errors import UserError
from mahmr_model.preprocess import StackedImages
import torch
from torch import nn, Tensor
from torch.utils.tensorboard import SummaryWriter
from training.config import MAP_LOSSES, RunConfig, TOKEN_LOSSES
from training.epoch_end import WEIGHTS
from training.even_tokens import EvenSelection
from training.half_weights import HalfWeights
from training.losses.losses import cell_losses, fov_errors
from training.optimiser import make_optimiser
from training.pace import MEASURED_EVERY, Pace
from training.recipe import encoder_names, new_network, training_extras
from training.run_data import training_data
from training.sampling import EpochSampler, NumberedBatch, StepOrder, training_loader
from training.scene_pictures import SceneBatch, SceneStudio
from training.scene_pool import PoolPictures, ScenePool
from training.token_people import STRIDE_PX, token_errors, TokenHead, TokenPeople

logger = logging.getLogger(__name__)

LOSSES = (*MAP_LOSSES, *TOKEN_LOSSES, 'fov')
_SCENES_AT_ONCE = {'cuda': 128, 'cpu': 4}
_WARM_UPS = 3
"""Steps before the recorded one, which take memory and find kernels."""


class EncoderLesson(nn.Module):
    """The encoder, the head of its tokens, and their losses on pictures of one shape."""

    weights: Tensor
    picture: Tensor

    def __init__(self, config: RunConfig, body: BodyData, pictures: int) -> None:
        """Take a run and how many pictures a step has."""
        super().__init__()
        sizes = config.model
        self.network = new_network(sizes, body)
        self.token_head = TokenHead(sizes.encoder_dim, sizes.input_size)
        encoder = encoder_names(self.network)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in encoder)
        self._half_weights = HalfWeights(self)
        self._precision = torch.bfloat16 if config.mixed_precision == 'bf16' else torch.float32
        self._selection = EvenSelection(pictures, sizes.grid(1) ** 2)
        weights = [config.losses[name] for name in LOSSES]
        self.register_buffer('weights', torch.tensor(weights), persistent=False)
        tokens = torch.arange(pictures).repeat_interleave(self._selection.tokens)
        self.register_buffer('picture', tokens, persistent=False)
        self._cells: Cells | None = None

    def forward(self, pictures: PoolPictures) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses, and these one by one as `LOSSES` names them."""
        device = self.picture.device.type
        half = self._precision != torch.float32
        with torch.autocast(device, self._precision, enabled=half, cache_enabled=False):
            if not half:
                losses = self._losses(pictures)
            else:
                with self._half_weights(self._precision):
                    losses = self._losses(pictures)
        return (losses * self.weights).sum(), losses.detach()

    def _losses(self, pictures: PoolPictures) -> Tensor:
        network = self.network
        images = pictures.images.float()
        size = (network.config.input_size,) * 2
        stacked = StackedImages(images, [size] * len(images))
        coarse = network.coarse_pass(stacked, self.cells(stacked))
        selection = self._selection(coarse.scale_map, network.config.presence_threshold)
        fine, fine_yx = network.fine_pass(stacked, coarse.cells, selection)
        tokens = network.merge(coarse, selection, fine, fine_yx)
        fov_rad = network.camera_branch(tokens)
        assert fov_rad is not None
        scale_map = pictures.scale_map.flatten(0, 1).float()
        with torch.autocast(self.picture.device.type, enabled=False):
            tokens = replace(tokens, features=tokens.features.float())
            losses = cell_losses(
                coarse.scale_logits, scale_map, torch.ones_like(scale_map[:, 0], dtype=torch.bool)
            )
            losses |= self._token_losses(self.token_head(tokens, self.picture), pictures)
            # The mean of pictures, in place of their sum.
            losses['fov'] = fov_errors(fov_rad, pictures.fov_rad).mean()
        return torch.stack([losses[name] for name in LOSSES])

    def cells(self, images: StackedImages) -> Cells:
        """Return the cells of all pictures, which are the same in every step."""
        if self._cells is None:
            self._cells = self.network.cells(images)
        return self._cells

    def _token_losses(self, said: TokenPeople, pictures: PoolPictures) -> dict[str, Tensor]:
        """Return the mean errors of tokens that show somebody."""
        column, row = (said.centres_px / STRIDE_PX).round().long().unbind(1)
        person = pictures.person_map[self.picture, row, column].long()
        shown, place = person >= 0, (self.picture, person.clamp(min=0))
        joints_px, joints_m = pictures.joints_px[place], pictures.joints_m[place]
        count = shown.sum().clamp(min=1)
        size = self.network.config.input_size
        return token_errors(said, joints_px, joints_m, shown, count, size)


class RecordedStep:
    """A step of the optimiser, recorded on CUDA and repeated."""

    def __init__(
        self, config: RunConfig, lesson: EncoderLesson, pool: ScenePool, device: torch.device
    ) -> None:
        """Take the pool, which holds some pictures already."""
        self._lesson, self._pool, self._device = lesson, pool, device
        self._count = config.training.batch_size
        self._clip = config.training.clip_norm
        self._optimiser = make_optimiser(
            lesson, config.training, device, recorded=device.type == 'cuda'
        )
        self._rates = [group['lr'] for group in self._optimiser.param_groups]
        self._full = [float(rate) for rate in self._rates]
        self._learning = [p for p in lesson.parameters() if p.requires_grad]
        self._places = pool.draw(self._count)
        self._sums = torch.zeros(len(LOSSES), device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0

    def __call__(self, factor: float) -> None:
        """Make a step with so much of the learning rates."""
        for group, rate, full in zip(
            self._optimiser.param_groups, self._rates, self._full, strict=True
        ):
            if isinstance(rate, Tensor):
                rate.fill_(full * factor)
            else:
                group['lr'] = full * factor
        self._places.copy_(self._pool.draw(self._count))
        self._steps += 1
        if self._graph is not None:
            self._graph.replay()
        else:
            self._step()

    def record(self) -> None:
        """Record a step; some are made before."""
        beside = torch.cuda.Stream(self._device)
        beside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                self(0.0)
        torch.cuda.current_stream(self._device).wait_stream(beside)
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            self._step()
        self._graph = graph
        self.losses()

    def losses(self) -> dict[str, float]:
        """Return the means of all steps since this was last asked for; waits for the device."""
        means = (self._sums / max(self._steps, 1)).tolist()
        self._sums.zero_()
        self._steps = 0
        return dict(zip(LOSSES, means, strict=True))

    def _step(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        total, losses = self._lesson(self._pool.pictures.at(self._places))
        total.backward()
        nn.utils.clip_grad_norm_(self._learning, self._clip, foreach=True)
        self._optimiser.step()
        self._sums += losses


def train_encoder(
    config: RunConfig, accelerator: Accelerator, body: BodyData, body_path: Path, kind: BodyKind
) -> int:
    """Train the encoder alone, and write the weights that the next stage starts from."""
    if accelerator.num_processes > 1:
        raise UserError(
            f'{config.name} trains the encoder alone, which one process does; start '
            'training/main.py by itself, without accelerate launch or torchrun.'
        )
    device, training = accelerator.device, config.training
    torch.manual_seed(training.seed)
    studio = SceneStudio(body, config.model, device, mirrored=config.data.mirrored)
    lesson = EncoderLesson(config, body, training.batch_size).to(device)
    filling = Filling(config, lesson, studio, body_path, device)
    step = RecordedStep(config, lesson, filling.pool, device)
    if device.type == 'cuda':
        step.record()
    writer = SummaryWriter(str(config.folder / 'tensorboard'))
    pace = Pace(10**9, training.warmup_steps, training.minutes)
    start = time.monotonic()

    def save() -> None:
        save_weights(lesson.network, config.folder / WEIGHTS, kind, training_extras(lesson))

    number = 0
    with filling:
        while pace.share(number) < 1:
            filling.beside_step()
            step(pace(number))
            number += 1
            if number % MEASURED_EVERY == 0:
                if device.type == 'cuda':
                    torch.cuda.synchronize(device)  # so that the clock tells of what is done
                pace.measured(number, (time.monotonic() - start) / 60)
            if number % training.log_every == 0:
                _log(step.losses(), number, filling.rendered, config, writer)
            if training.checkpoint_every and number % training.checkpoint_every == 0:
                save()
    save()
    writer.close()
    logger.info('done after %d steps', number)
    return 0


def _log(
    losses: dict[str, float], step: int, rendered: int, config: RunConfig, writer: SummaryWriter
) -> None:
    total = sum(config.losses[name] * value for name, value in losses.items())
    if not total < float('inf'):
        raise UserError(
            f'{config.name}: the loss is not finite at step {step} '
            f'({", ".join(f"{name} {value}" for name, value in losses.items())}); lower '
            'training.learning_rate.'
        )
    parts = ', '.join(f'{name} {value:.4f}' for name, value in losses.items())
    logger.info('step %d, %d scenes: loss %.4f (%s)', step, rendered, total, parts)
    for name, value in losses.items():
        writer.add_scalar(f'loss/{name}', value, step)
    writer.add_scalar('loss/total', total, step)


class Filling:
    """Fills a pool: on CUDA in a thread beside the steps, on a CPU some scenes before each."""

    def __init__(
        self,
        config: RunConfig,
        lesson: EncoderLesson,
        studio: SceneStudio,
        body_path: Path,
        device: torch.device,
    ) -> None:
        """Make the pool and put the first pictures into it."""
        self._lesson, self._studio, self._device = lesson, studio, device
        at_once = _SCENES_AT_ONCE[device.type]
        kept = config.data.kept_scenes
        both = 2 if config.data.mirrored else 1
        self.pool = ScenePool(config.model, both * -(-kept // at_once) * at_once, device)
        self.rendered = 0
        scenes = training_data(config, body_path)
        sampler = EpochSampler(StepOrder(len(scenes), at_once, seed=config.training.seed), 0)
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
        self._kept, self._due = kept, 0.0
        self._share = config.training.batch_size / both / config.data.rounds
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._fill, name='scenes', daemon=True)
        first = min(kept, max(at_once, 2 * config.training.batch_size))
        while self.rendered < first:
            self._render()

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
        self._due += self._share
        while self._device.type == 'cpu' and self._due >= 1:
            self._due -= self._render()

    def _fill(self) -> None:
        try:
            if self._device.type == 'cuda':  # a thread's is the first one
                torch.cuda.set_device(self._lesson.picture.device)
            while not self._stop.is_set():
                if self.rendered < max(self._kept, self._due):
                    self._render()
                else:
                    self._stop.wait(0.01)
        except BaseException as error:
            self._failed.append(error)

    def _render(self) -> int:
        batch = next(self._batches)
        assert isinstance(batch.samples, SceneBatch)
        rendered = self._studio(batch.samples, batch.indices)
        with self._studio.beside():
            self.pool.put(rendered, self._lesson.network.cells(rendered.images).yx)
        self.rendered += len(batch.indices)
        return len(batch.indices)
