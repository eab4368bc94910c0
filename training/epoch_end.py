"""What happens after every epoch of training: weights, pictures, evaluation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch.utils.tensorboard import SummaryWriter

from mahmr_model.body.data import BodyData
from mahmr_model.checkpoint import BodyKind, save_weights
from mahmr_model.predictor import Predictor
from mahmr_model.weights import LoadedModel
from training.checkpoints import CHECKPOINTS, list_checkpoints
from training.comparison import draw_comparison
from training.config import RunConfig
from training.data.dataset import Item, JoinedDatasets
from training.evaluator import Evaluator, REPORT
from training.recipe import training_extras
from training.train_model import TrainingModel

logger = logging.getLogger(__name__)

WEIGHTS = 'weights.safetensors'
"""What the next stage starts from, in the folder of a run."""
_COMPARISONS = 4


class EpochEnd:
    """Called by every process after an epoch; may be called again for the same one."""

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        model: TrainingModel,
        body: BodyData,
        body_kind: BodyKind,
        data: JoinedDatasets,
        evaluator: Evaluator,
    ) -> None:
        self._config, self._accelerator, self._model = config, accelerator, model
        self._body, self._body_kind = body, body_kind
        self._data, self._evaluator = data, evaluator
        self.writer: SummaryWriter | None = None
        """TensorBoard's, in the main process."""

    def __call__(self, epoch: int, step: int) -> None:
        """Save weights, draw some training pictures and evaluate."""
        network = self._model.network
        loaded = LoadedModel(network, self._body, f'{self._config.name}, epoch {epoch + 1}', False)
        if self._accelerator.is_main_process:
            save_weights(
                network,
                self._config.folder / WEIGHTS,
                self._body_kind,
                training_extras(self._model),
            )
            self._draw(loaded, epoch, step)
        self._accelerator.wait_for_everyone()
        folder = self._config.folder / 'evaluation' / f'epoch_{epoch + 1:03d}'
        if self._is_due(epoch) and not self._is_done(folder):
            self._evaluator(loaded, folder, writer=self.writer, step=step)
            if self._accelerator.is_main_process:
                logger.info('epoch %d\n%s', epoch + 1, (folder / 'report.txt').read_text())

    def _is_due(self, epoch: int) -> bool:
        every = self._config.evaluation.every
        last = epoch + 1 == self._config.training.epochs
        some = bool(self._config.data.evaluation)
        return some and every > 0 and ((epoch + 1) % every == 0 or last)

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
        if self.writer is None:
            return
        predictor = Predictor(
            loaded,
            device=str(self._accelerator.device),
            confidence_threshold=min(self._config.evaluation.thresholds),
        )
        self._data.set_epoch(epoch)
        count = min(_COMPARISONS, len(self._data))
        for number in range(count):
            sample, _ = cast('Item', self._data[number * len(self._data) // count])
            assert sample is not None
            drawn = draw_comparison(predictor, self._body, sample)
            self.writer.add_image(f'people/{number}', drawn, step, dataformats='HWC')
