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
The parts of a step that have no attention, compiled: fewer and larger kernels.

Attention is a kernel of its own, and in ordinary steps needs lengths that the host knows and are
other ones in every batch, so it stays outside. All blocks share the code that is compiled for the
first.
"""

from __future__ import annotations

import logging
from typing import Any

from mahmr_model.decoder.layer import DecoderLayer
from mahmr_model.decoder.query_decoder import QueryDecoder
from mahmr_model.encoder.vit import Block
from mahmr_model.network import MAHMR
import torch
from torch import nn
import torch._dynamo.config as dynamo_config
from training.lesson import Lesson
from training.people_lesson import PeopleLesson
from training.train_model import TrainingModel

logger = logging.getLogger(__name__)

PARTS: dict[type[nn.Module], tuple[str, ...]] = {
    Block: ('before', 'after'),
    DecoderLayer: ('before', 'between', 'after'),
    QueryDecoder: ('query_codes', 'refine'),
    MAHMR: ('heads',),
    Lesson: ('token_losses',),
    PeopleLesson: ('forward',),
}
"""Methods without attention, in which the host decides nothing."""


def compile_parts(model: TrainingModel | Lesson, backend: str = 'inductor') -> None:
    """
    Have the parts compiled when they are first used; the first steps take a minute or so.

    Those of a training model take any number of tokens and queries, a lesson's always as many.
    """
    # A part is compiled for the first layer and for others, with gradients and without.
    dynamo_config.recompile_limit = max(dynamo_config.recompile_limit, 32)
    dynamo_config.optimize_ddp = False  # parts are smaller than what it would cut them into
    options: dict[str, Any] = {'dynamic': isinstance(model, TrainingModel), 'backend': backend}
    compiled = 0
    for module in model.modules():
        for name in PARTS.get(type(module), ()):
            setattr(module, name, torch.compile(getattr(module, name), **options))
            compiled += 1
    if isinstance(model, TrainingModel):
        model.pose = torch.compile(model.pose, **options)
        model.project = torch.compile(model.project, **options)
        compiled += 2
    logger.info('%d parts of the model are compiled at their first use', compiled)
