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

"""Inference on a folder of pictures, spread over processes."""

from __future__ import annotations

import logging
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object
from mahmr_model.errors import UserError
from mahmr_model.pictures import list_pictures, read_picture
from mahmr_model.predictor import Predictor
from mahmr_model.render import draw_panel
from mahmr_model.results import result_stems, save_people
from mahmr_model.weights import LoadedModel
from tqdm import tqdm
from training.config import RunConfig

logger = logging.getLogger(__name__)


def infer(config: RunConfig, accelerator: Accelerator, model: LoadedModel) -> int:
    """
    Write people of every picture of the folder `pictures` below the run's folder.

    Each process takes every P-th. Returns how many pictures could not be read, over all of them;
    each is named in the log.
    """
    pictures = list_pictures([Path(config.pictures)])
    stems = result_stems(pictures, config.folder)
    predictor = Predictor(
        model,
        device=str(accelerator.device),
        precision=config.evaluation.precision,
        confidence_threshold=min(config.evaluation.thresholds),
    )
    if predictor.untrained:
        logger.warning('UNTRAINED: no weights were found; what is written means nothing')
    mine = pictures[slice(accelerator.process_index, None, accelerator.num_processes)]
    failed: list[Path] = []
    for path in tqdm(mine, unit='picture', disable=None if accelerator.is_main_process else True):
        try:
            image = read_picture(path)
            people = predictor(image)
        except UserError as error:
            logger.error('%s', error)
            failed.append(path)
            continue
        save_people(stems[path], people, str(path), draw_panel(image, people))
    failures = len(gather_object(failed))
    done = len(pictures) - failures
    logger.info('%d of %d pictures done; results in %s', done, len(pictures), config.folder)
    return failures
