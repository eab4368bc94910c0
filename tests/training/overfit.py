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
It learns: a small network learns a few made pictures by heart, stage after stage, on a CPU.

    python tests/training/overfit.py [FOLDER] [--pictures 16] [--steps 350]

Each stage is a run of the trainer from the weights of the one before, without augmentation.
Ends with 1 unless, after stage 3, the people of these pictures are found within the limits below:
then sampling, network, losses, matching, optimiser, weights and evaluation all work together.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import sys
import tempfile
import time

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from fixtures import make_dataset  # noqa: E402
from scenes import SceneMaker  # noqa: E402
from training.command import main as train  # noqa: E402

LIMITS = {'MPJPE_mm': 60.0, 'root_depth_error_m': 0.15, 'fov_error_deg': 3.0}
FEWEST_FOUND = 0.9
"""Recall: errors are of those who were found."""
NETWORK = (
    'input_size=224',
    'encoder_dim=96',
    'encoder_depth=5',
    'encoder_heads=3',
    'hidden_dim=128',
    'decoder_layers=3',
    'feedforward_dim=256',
    'queries=10',
)
STEPS_PER_EPOCH = 50
STAGES = ('1', '2', '3')


def overfit(folder: Path, pictures: int, steps: int, batch_size: int) -> dict[str, float]:
    """Run all stages below `folder`; returns what the evaluation after the last one says."""
    maker = SceneMaker(seed=3, kids=0.3)
    make_dataset('agora', 'train', folder / 'data', [maker.scene() for _ in range(pictures)])
    source = '{name: agora, split: train}'
    repeats = STEPS_PER_EPOCH * batch_size // pictures
    epochs = max(1, steps // STEPS_PER_EPOCH)
    starts_from = 'null'
    for stage in STAGES:
        run = folder / f'stage_{stage}'
        code = train(
            [
                '--stage',
                stage,
                f'out={run}',
                'body=open',
                f'starts_from={starts_from}',
                *(f'model.{size}' for size in NETWORK),
                f'data.root={folder / "data"}',
                f'data.training=[{", ".join([source] * repeats)}]',
                f'data.evaluation=[{source}]',
                'data.workers=0',
                'data.augmentation={rotation_deg: [0, 0], scale: [1, 1], flip: 0, crop: 0, '
                'occlusion: 0, jitter: 0}',
                f'training.batch_size={batch_size}',
                f'training.epochs={epochs}',
                'training.learning_rate=1e-3',
                'training.encoder_learning_rate=5e-4',
                f'evaluation.every={epochs}',
            ]
        )
        if code:
            raise SystemExit(code)
        starts_from = str(run / 'weights.safetensors')
    report = run / 'evaluation' / f'epoch_{epochs:03d}' / 'report.json'
    return json.loads(report.read_text())['agora_train']


def failures(measures: dict[str, float], limits: dict[str, float]) -> list[str]:
    """Return what is not within the limits, as text."""
    wrong = [
        f'{name} is {measures.get(name, float("nan")):.3g}, over {limit}'
        for name, limit in limits.items()
        if not measures.get(name, float('inf')) < limit
    ]
    if measures['recall'] < FEWEST_FOUND:
        wrong.append(f'recall is {measures["recall"]}, under {FEWEST_FOUND}')
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('folder', nargs='?', type=Path)
    parser.add_argument('--pictures', type=int, default=16)
    parser.add_argument('--steps', type=int, default=350, help='of each stage')
    parser.add_argument('--batch-size', type=int, default=8)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    folder = options.folder or Path(tempfile.mkdtemp(prefix='mahmr_overfit_'))
    measures = overfit(folder, options.pictures, options.steps, options.batch_size)
    wrong = failures(measures, LIMITS)
    minutes = (time.perf_counter() - start) / 60
    sys.stdout.write(
        ''.join(f'{name:<24}{value:>10.3f}\n' for name, value in measures.items())
        + f'{minutes:.1f} minutes; runs in {folder}\n'
        + ('learnt\n' if not wrong else f'NOT learnt: {"; ".join(wrong)}\n')
    )
    return int(bool(wrong))


if __name__ == '__main__':
    raise SystemExit(main())
