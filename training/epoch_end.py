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

"""What happens after every epoch of training: weights, pictures, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import logging
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from mahmr_model.body.data import BodyData
from mahmr_model.checkpoint import save_weights
from mahmr_model.predictor import Predictor
from mahmr_model.weights import LoadedModel
import torch
from torch.utils.tensorboard import SummaryWriter
from training.checkpoints import CHECKPOINTS, list_checkpoints
from training.comparison import draw_comparison
from training.config import RunConfig
from training.data.dataset import Sample
from training.evaluator import Evaluator, REPORT
from training.recipe import training_extras
from training.train_model import TrainingModel

logger = logging.getLogger(__name__)

WEIGHTS = 'weights.safetensors'
"""What the next stage starts from, in the folder of a run."""


class EpochEnd:
    """Called by every process after an epoch; may be called again for the same one."""

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        model: TrainingModel,
        body: BodyData,
        examples: Callable[[int], Sequence[Sample]],
        evaluator: Evaluator,
    ) -> None:
        """Take a run and its parts; `examples` gives training samples of an epoch."""
        self._config, self._accelerator, self._model = config, accelerator, model
        self._body = body
        self._examples, self._evaluator = examples, evaluator
        self.writer: SummaryWriter | None = None
        """TensorBoard's, in the main process."""

    def __call__(self, epoch: int, step: int, *, over: bool) -> None:
        """Save weights, draw some training pictures and evaluate; `over`: no epoch follows."""
        with torch.compiler.set_stance('force_eager'):  # of other sizes: not worth compiling
            self._end(epoch, step, over)

    def _end(self, epoch: int, step: int, over: bool) -> None:
        network = self._model.network
        loaded = LoadedModel(network, self._body, f'{self._config.name}, epoch {epoch + 1}', False)
        if self._accelerator.is_main_process:
            weights = self._config.folder / WEIGHTS
            save_weights(network, weights, self._body.kind, training_extras(self._model))
            self._draw(loaded, epoch, step)
        self._accelerator.wait_for_everyone()
        folder = self._config.folder / 'evaluation' / f'epoch_{epoch + 1:03d}'
        if self._is_due(epoch, over) and not self._is_done(folder):
            self._evaluator(loaded, folder, writer=self.writer, step=step)
            if self._accelerator.is_main_process:
                logger.info('epoch %d\n%s', epoch + 1, (folder / 'report.txt').read_text())

    def _is_due(self, epoch: int, over: bool) -> bool:
        every = self._config.evaluation.every
        some = bool(self._config.data.evaluation)
        return some and every > 0 and ((epoch + 1) % every == 0 or over)

    def _is_done(self, folder: Path) -> bool:
        """Return whether a run that goes on has evaluated this epoch already."""
        done = [False]
        if self._accelerator.is_main_process and (folder / REPORT).is_file():
            newest = list_checkpoints(self._config.folder / CHECKPOINTS)[-1]
            done = [(folder / REPORT).stat().st_mtime >= newest.stat().st_mtime]
        broadcast_object_list(done)
        return done[0]

    def _draw(self, loaded: LoadedModel, epoch: int, step: int) -> None:
        """Draw pictures from all over the training data, the same ones every epoch."""
        if self.writer is None or not self._config.evaluation.examples:
            return
        predictor = Predictor(
            loaded,
            device=str(self._accelerator.device),
            confidence_threshold=min(self._config.evaluation.thresholds),
        )
        for number, sample in enumerate(self._examples(epoch)):
            drawn = draw_comparison(predictor, self._body, sample)
            self.writer.add_image(f'people/{number}', drawn, step, dataformats='HWC')
