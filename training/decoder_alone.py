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
The decoder on tokens of an encoder that stays as it is: cheap steps, for a CPU.

Processes beside the training render scenes and encode them once; what they give is kept and drawn
again and again. So a step costs the decoder alone, and there are many times as many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
import logging
from pathlib import Path
import threading
import time
from typing import Any

from accelerate import Accelerator
from mahmr_model.body.data import BodyData, load_body
from mahmr_model.body.layer import BodyLayer
from mahmr_model.checkpoint import BodyKind, load_state, read_state, save_weights
from mahmr_model.encoder.encoder import ImageEncoder
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
import numpy.typing as npt
import torch
from torch import nn, Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter
from training.config import RunConfig
from training.epoch_end import WEIGHTS
from training.half_weights import HalfWeights
from training.optimiser import make_optimiser
from training.pace import MEASURED_EVERY, Pace
from training.recipe import new_network, starting_weights
from training.run_data import training_data
from training.sampling import worker_options
from training.scene_pictures import collate_scenes, SceneStudio
from training.scene_pool import PoolPictures, ScenePool
from training.whole_lesson import PeopleLesson

logger = logging.getLogger(__name__)

_AT_ONCE = 4
_CPU = torch.device('cpu')


@dataclass(frozen=True)
class EncodedPicture:
    """A picture as its tokens, and the truth of its people."""

    features: Tensor
    """(T, C) float16."""
    centres_xy_norm: Tensor
    """(T, 2)."""
    levels: Tensor
    """(T,)."""
    fov_rad: Tensor
    """() as the encoder estimates it."""
    truth: PoolPictures
    """Without the picture: fields without a leading axis."""


Arrays = list[npt.NDArray[Any]]
"""An `EncodedPicture` on its way between processes, which tensors would keep files open for."""


class EncodedScenes(Dataset[list[Arrays]]):
    """Some scenes at a time, rendered with their mirror images and encoded."""

    def __init__(self, config: RunConfig, weights: Path, body_path: Path) -> None:
        self._config, self._weights, self._body_path = config, weights, body_path
        self._scenes = training_data(config, body_path)
        self._made: tuple[MAHMR, SceneStudio] | None = None

    def __len__(self) -> int:
        """Return how often some scenes can be asked for."""
        return len(self._scenes) // _AT_ONCE

    @torch.no_grad()
    def __getitem__(self, index: int) -> list[Arrays]:
        """Return the pictures of some scenes and of their mirror images."""
        sizes = self._config.model
        if self._made is None:  # in a process of its own
            torch.set_num_threads(1)
            body = load_body(self._body_path)
            studio = SceneStudio(body, sizes, _CPU, mirrored=True)
            self._made = trained_network(self._config, self._weights, body), studio
        network, studio = self._made
        numbers = range(index * _AT_ONCE, (index + 1) * _AT_ONCE)
        batch = studio(collate_scenes([self._scenes[i] for i in numbers]), numbers)
        pool = ScenePool(sizes, len(batch.images), _CPU)
        pool.put(batch, network.cells(batch.images).yx)
        _, tokens = network.encode(batch.images)
        fov_rad = network.camera_branch(tokens)
        assert fov_rad is not None
        parts = [
            value.split(tokens.lengths)
            for value in (tokens.features.half(), tokens.centres_xy_norm, tokens.levels)
        ]
        truth = replace(pool.pictures, images=pool.pictures.images[:, :1, :1, :1])
        parts += [fov_rad, *(getattr(truth, f.name) for f in fields(truth))]
        return [[part[i].numpy().copy() for part in parts] for i in range(len(batch.images))]


def encoded_picture(arrays: Arrays) -> EncodedPicture:
    """Return what arrays stand for."""
    tensors = [torch.from_numpy(array) for array in arrays]
    return EncodedPicture(*tensors[:4], PoolPictures(*tensors[4:]))


def trained_network(config: RunConfig, weights: Path, body: BodyData) -> MAHMR:
    """Return a run's network with trained weights."""
    network = new_network(config.model, body)
    load_state(network, read_state(weights), str(weights))
    return network.eval()


def _first(items: list[list[Arrays]]) -> list[Arrays]:
    return items[0]


class DecoderLesson(nn.Module):
    """The decoder's losses on encoded pictures."""

    def __init__(self, config: RunConfig, network: MAHMR, body: BodyData) -> None:
        """Take a network, whose encoder and camera branch stay as they are."""
        super().__init__()
        sizes = config.model
        with torch.device('meta'):
            names = {name for name, _ in ImageEncoder(sizes).named_parameters()}
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in names and not name.startswith('fov_head.'))
        self.network = network
        self._half_weights = HalfWeights(self)
        layer = BodyLayer(body, kid=sizes.shapes == 11)
        self._people = PeopleLesson(layer, config.matched_losses, sizes.input_size)
        self.names = ('confs', *config.matched_losses)
        self._weights = torch.tensor([config.losses[name] for name in self.names])

    def forward(self, pictures: list[EncodedPicture]) -> tuple[Tensor, Tensor]:
        """Return the weighted sum of the losses, and these one by one as `names` says."""
        lengths = [len(picture.features) for picture in pictures]
        features, centres, levels = (
            torch.cat([getattr(picture, name) for picture in pictures])
            for name in ('features', 'centres_xy_norm', 'levels')
        )
        tokens = Tokens(features.float(), centres, levels, lengths, features[:0])
        fov_rad = torch.stack([picture.fov_rad for picture in pictures])
        truth = PoolPictures(
            *(
                torch.stack([getattr(p.truth, f.name) for p in pictures])
                for f in fields(PoolPictures)
            )
        )
        memory, position = self.network.memory(tokens)
        content, box_logits = self.network.learnt_queries(len(pictures))
        decoded = self.network.decode(content, box_logits, memory, position, lengths)
        losses = self._people(self.network.heads(decoded, all_layers=True), fov_rad, truth)
        return (losses * self._weights).sum(), losses.detach()


class Kept:
    """Encoded pictures that processes of their own bring, the oldest given up for new ones."""

    def __init__(self, scenes: EncodedScenes, workers: int, capacity: int, seed: int) -> None:
        """Start the processes."""
        self._pictures: list[EncodedPicture] = []
        self._capacity, self.seen = capacity, 0
        self._generator = torch.Generator().manual_seed(seed)
        self._loader = DataLoader(
            scenes, batch_size=1, collate_fn=_first, **worker_options(max(workers, 1))
        )
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._fetch, name='encoded scenes', daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        try:
            for pictures in self._loader:
                for picture in map(encoded_picture, pictures):
                    if len(self._pictures) < self._capacity:
                        self._pictures.append(picture)
                    else:
                        self._pictures[self.seen % self._capacity] = picture
                    self.seen += 1
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again by the steps
            self._failed.append(error)

    def draw(self, count: int) -> list[EncodedPicture]:
        """Return some at random; waits until there are as many."""
        while len(self._pictures) < 4 * count:
            if self._failed:
                raise self._failed[0]
            time.sleep(0.1)
        if self._failed:
            raise self._failed[0]
        places = torch.randint(len(self._pictures), (count,), generator=self._generator)
        return [self._pictures[place] for place in places.tolist()]

    def stop(self) -> None:
        """End the processes."""
        self._stop.set()
        self._thread.join()


def train_decoder(
    config: RunConfig, accelerator: Accelerator, body: BodyData, body_path: Path, kind: BodyKind
) -> int:
    """Train the decoder alone, and write the weights that the next stage starts from."""
    training = config.training
    path = starting_weights(config)
    if path is None or accelerator.num_processes > 1:
        raise UserError(
            f'{config.name} trains the decoder alone, in one process and on an encoder that is '
            'trained: start training/main.py by itself, and name weights by starts_from.'
        )
    torch.manual_seed(training.seed)
    network = trained_network(config, path, body)
    lesson = DecoderLesson(config, network, body)
    kept = Kept(
        EncodedScenes(config, path, body_path),
        config.data.workers,
        2 * config.data.kept_scenes,
        training.seed,
    )
    optimiser = make_optimiser(lesson, training, _CPU)
    full = [group['lr'] for group in optimiser.param_groups]
    learning = [p for p in lesson.parameters() if p.requires_grad]
    writer = SummaryWriter(str(config.folder / 'tensorboard'))
    pace, number, sums = Pace(10**9, training.warmup_steps, training.minutes), 0, torch.zeros(())
    kept.draw(training.batch_size)
    start = time.monotonic()
    while pace.share(number) < 1:
        for group, rate in zip(optimiser.param_groups, full, strict=True):
            group['lr'] = rate * pace(number)
        total, losses = lesson(kept.draw(training.batch_size))
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(learning, training.clip_norm)
        optimiser.step()
        sums = sums + losses
        number += 1
        if number % MEASURED_EVERY == 0:
            pace.measured(number, (time.monotonic() - start) / 60)
        if number % training.log_every == 0:
            means = dict(zip(lesson.names, (sums / training.log_every).tolist(), strict=True))
            sums = torch.zeros(())
            parts = ', '.join(f'{name} {value:.4f}' for name, value in means.items())
            logger.info('step %d, %d pictures: %s', number, kept.seen, parts)
            for name, value in means.items():
                writer.add_scalar(f'loss/{name}', value, number)
        if training.checkpoint_every and number % training.checkpoint_every == 0:
            save_weights(network, config.folder / WEIGHTS, kind)
    save_weights(network, config.folder / WEIGHTS, kind)
    kept.stop()
    writer.close()
    logger.info('done after %d steps', number)
    return 0
