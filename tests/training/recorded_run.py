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
Three recorded steps, as a script for several processes: what each of them has at the end.

    python -m torch.distributed.run --nproc_per_node=2 recorded_run.py OUT.json
"""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import sys

from accelerate import Accelerator
from mahmr_model.body.data import load_body, OPEN_BODY
from tiny import MODEL
from torch import nn
from training.config import DataSource, load_config
from training.filling import Filling
from training.lesson import new_lesson
from training.recorded import RecordedStep
from training.scene_pictures import SceneStudio


def main() -> None:
    config = load_config('open_1', ['starts_from=null', 'mixed_precision=no'])
    scenes = DataSource('scenes', 'train', count=1000)
    config = replace(
        config,
        model=replace(MODEL, input_size=112, shapes=11),
        data=replace(config.data, training=(scenes,), workers=0, kept_scenes=4),
        training=replace(config.training, batch_size=2),
    )
    accelerator, body = Accelerator(cpu=True), load_body(OPEN_BODY)
    lesson = new_lesson(config, body)
    studio = SceneStudio(body, config.model, accelerator.device, mirrored=True)
    filling = Filling(config, accelerator, lesson, studio, OPEN_BODY)
    step = RecordedStep(config, lesson, filling.pool, accelerator.device, 2)
    for _ in range(3):
        step(1.0)
    learnt = nn.utils.parameters_to_vector(lesson.parameters())
    images = filling.pool.pictures.images[: filling.pictures]
    pictures = images.flatten(1).float().mean(1)
    weights, seen = (accelerator.gather(value[None]).cpu() for value in (learnt, pictures))
    if accelerator.is_main_process:
        result = {
            'processes': len(weights),
            'weights_differ_by': float((weights[0] - weights[1]).abs().max()),
            'same_pictures': bool((seen[0] == seen[1]).any()),
        }
        Path(sys.argv[1]).write_text(json.dumps(result))
    accelerator.end_training()


if __name__ == '__main__':
    main()
