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
A run of the trainer on a line of two parameters, as a script: quick to start, stop and kill.

    python line_run.py FOLDER [--resume newest] [--batch 2] [--epochs 3] [--kill-in-checkpoint 2] …

Every step's loss goes to FOLDER/losses.json, the parameters at the end to FOLDER/line.json.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import signal
import sys

from accelerate import Accelerator
from mahmr_model.errors import UserError
import torch
from torch import nn, Tensor
import training.checkpoints
from training.checkpoints import find_checkpoint
from training.command import end
from training.config import TrainingConfig
from training.data.dataset import Item, Sample, Source
from training.target import Target
from training.trainer import Trainer

PICTURES = 24


class Line(nn.Module):
    """y = encoder·x + offset."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Parameter(torch.tensor(0.5))
        self.offset = nn.Parameter(torch.tensor(-0.25))

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder * x + self.offset


class Points:
    """Points of a line instead of pictures, jittered by the epoch, of which NaN is one."""

    def __init__(self, bad: int = -1) -> None:
        self.epoch, self.bad = 0, bad

    def __len__(self) -> int:
        return PICTURES

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: int) -> Item:
        x = torch.tensor([index / 10, 2.0 * index / 10 - 1 + self.epoch / 100])
        if index == self.bad:
            x[1] = torch.nan
        source = Source('points', Path(f'point_{index}.png'), (1, 1), None)
        return Item(Sample(x, _no_target(), source), ())


def _no_target() -> Target:
    names = list(Target.__dataclass_fields__)
    return Target(**dict.fromkeys(names, torch.zeros(0)))


class Squares:
    """The mean squared distance, and a loss that is never minimised."""

    def __init__(self) -> None:
        self.curve: list[float] = []

    def start(self):
        pass

    def prepare(self, batch):
        return batch

    def plan(self, batches, epoch):
        return [None] * len(batches)

    def losses(self, model, batch, plan):
        points = torch.stack(list(batch.samples.images))
        loss = ((model(points[:, 0]) - points[:, 1]) ** 2).mean()
        self.curve.append(loss.item())
        return {'squares': loss, 'idle': loss.detach() * 0}

    def total(self, losses):
        return losses['squares'] + 0 * losses['idle']


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--resume')
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--accumulation', type=int, default=1)
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--checkpoint-every', type=int, default=0)
    parser.add_argument('--kill-in-checkpoint', type=int, default=0)
    parser.add_argument('--bad', type=int, default=-1)
    parser.add_argument('--workers', type=int, default=0)
    options = parser.parse_args(arguments)
    config = TrainingConfig(
        batch_size=options.batch,
        accumulation=options.accumulation,
        epochs=options.epochs,
        learning_rate=0.05,
        encoder_learning_rate=0.02,
        log_every=1,
        checkpoint_every=options.checkpoint_every,
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    _die_while_writing(options.kill_in_checkpoint)
    accelerator, line, recipe = Accelerator(cpu=True), Line(), Squares()

    def train() -> None:
        trainer = Trainer(
            accelerator,
            config,
            line,
            recipe,
            Points(options.bad),
            options.folder,
            workers=options.workers,
        )
        if options.resume:
            trainer.resume(find_checkpoint(trainer.checkpoints, options.resume))
        trainer.run()

    try:
        train()
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    finally:
        if accelerator.is_main_process:
            result = {'encoder': line.encoder.item(), 'offset': line.offset.item()}
            (options.folder / 'line.json').write_text(json.dumps(result))
            (options.folder / 'losses.json').write_text(json.dumps(recipe.curve))
        end(accelerator)
    return 0


def _die_while_writing(number: int) -> None:
    """Arrange for SIGKILL in the middle of the n-th checkpoint."""
    if number == 0:
        return
    real, count = training.checkpoints.Accelerator.save_state, 0

    def save_state(self, folder, *arguments, **named):
        nonlocal count
        count += 1
        if count < number:
            return real(self, folder, *arguments, **named)
        real(self, folder, *arguments, **named)
        for file in Path(folder).iterdir():  # half of what was to be written
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    training.checkpoints.Accelerator.save_state = save_state


if __name__ == '__main__':
    raise SystemExit(main())
