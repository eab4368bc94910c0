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
Set what follows from weights once they are trained, and write them as a file to ship.

    python -m training.calibrate runs/open_3 weights/mahmr_open.safetensors

On scenes of a seed of their own (neither trained on nor held out) this finds the confidence and
the overlap at which F1 is best, and two biases that losses leave behind: fields of view are
estimated too narrow, as the published loss weighs angles that are too large three times; and
people are placed too far, as joints whose pose is uncertain are nearest to the truth in the
picture when they are drawn together. Confidences are shifted so that the default of 0.3 is the
best place to cut, angles and depths so that the median of the errors is 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from mahmr_model.body.data import OPEN_BODY
from mahmr_model.errors import UserError
from mahmr_model.found import without_overlap
from mahmr_model.predictor import choose_device, Predictor
from mahmr_model.weights import load_model
import numpy as np
import torch
from tqdm import tqdm
from training.compare import check_amounts, predictions
from training.export import adjust, Adjustment, check_export, export, MOST_MB
from training.metrics.joints import SMPL_JOINTS
from training.metrics.scenes import Scenes
from training.metrics.types import PredictedPeople
from training.run_data import RenderedScenes
from training.scene_samples import SceneSamples

SEED = 777
SCENES = 200
THRESHOLDS = tuple(round(0.1 + 0.025 * step, 3) for step in range(25))
OVERLAPS = (0.3, 0.45, 0.6, 0.75, 1.0)


def calibrated(weights: Path, count: int, device: torch.device, batch_size: int) -> Adjustment:
    """Return what is best for a file of weights on `count` scenes."""
    model = load_model(weights, OPEN_BODY)
    adjust(model.network, Adjustment())  # nothing is left out by its overlap
    predictor = Predictor(
        model, device=str(device), precision='float32', confidence_threshold=min(THRESHOLDS)
    )
    size = model.network.config.input_size
    scenes = RenderedScenes(lambda: SceneSamples(OPEN_BODY, size, 11, device), range(count), SEED)
    protocols = {overlap: Scenes(THRESHOLDS) for overlap in OVERLAPS}
    progress = tqdm(total=count, unit='scene', disable=None)
    for batch in scenes.batches(0, 1, batch_size):
        for picture, people in predictions(predictor, batch):
            for overlap, protocol in protocols.items():
                protocol.update(picture.index, _unique(people, overlap), picture.truth)
        progress.update(len(batch))
    progress.close()
    scores = {
        (threshold, overlap): protocol.result()[f'F1@{threshold:g}']
        for overlap, protocol in protocols.items()
        for threshold in THRESHOLDS
    }
    best = max(scores.values())
    # Of what is as good, the mildest overlap and the middle of its confidences.
    overlap = max(one for (_, one), score in scores.items() if score == best)
    as_good = [one for one in THRESHOLDS if scores[one, overlap] == best]
    threshold = as_good[len(as_good) // 2]
    place = THRESHOLDS.index(threshold)
    records = [of_picture[place] for of_picture in protocols[overlap].records.values()]
    too_wide_deg = np.median([record.fov_error_deg for record in records])
    too_far = np.concatenate([record.depth_errors[:, 1] for record in records])
    if not len(too_far):
        raise UserError(
            f'{weights}: finds none of the people of {count} scenes, so that there is nothing to '
            'set; train it longer, or take more scenes (--count).'
        )
    return Adjustment(threshold, overlap, -float(too_wide_deg), 1 + float(np.median(too_far)))


def _unique(people: PredictedPeople, overlap: float) -> PredictedPeople:
    if overlap >= 1 or len(people) < 2:
        return people
    rows = without_overlap(people.joints_px[:, :SMPL_JOINTS], people.confidence, overlap)
    arrays = {name: values[rows] for name, values in people.arrays().items()}
    return PredictedPeople(camera=people.camera, **arrays)


def main(arguments: list[str] | None = None) -> int:
    """Calibrate, write, and say what was found; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('run', type=Path, metavar='RUN')
    parser.add_argument('out', type=Path, metavar='OUT.safetensors')
    parser.add_argument('--count', type=int, default=SCENES, help='scenes')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--device', help='else CUDA where there is one')
    options = parser.parse_args(arguments)
    try:
        check_amounts(options.count, options.batch)
        weights = check_export(options.run, options.out)
        device = choose_device(options.device or 'auto')
        best = calibrated(weights, options.count, device, options.batch)
        size_mb = export([weights], options.out, MOST_MB, best)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(
        f'{options.out}: {size_mb:.1f} MB; confidences of {best.threshold:g} are 0.3 now, people '
        f'who overlap by more than {best.overlap:g} are one, fields of view (where they are '
        f'estimated) are {best.wider_deg:.2f} degrees wider, people are {best.nearer:.3f} times '
        'nearer\n'
    )
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
