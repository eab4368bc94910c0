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
Measure several weights on the held-out scenes, each picture rendered once for all of them.

    python -m training.compare OUT weights/mahmr_open.safetensors more.safetensors ...

OUT gets NAME.json for each file of weights and table.md, the columns in the order given.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import sys

from mahmr_model.body.data import OPEN_BODY
from mahmr_model.errors import UserError
from mahmr_model.files import all_written_beside, check_writable
from mahmr_model.predictor import choose_device, Predictor
from mahmr_model.weights import load_model
import torch
from tqdm import tqdm
from training.evaluator import in_original_pixels
from training.metrics.scenes import Scenes
from training.metrics.types import PredictedPeople
from training.run_data import EvaluationPicture, RenderedScenes
from training.scene_samples import SceneSamples
from training.synthetic.scenes.draw import HELD_OUT_SCENES


@dataclass(frozen=True)
class Measured:
    """Weights, and what was measured of them."""

    name: str
    predictor: Predictor
    protocol: Scenes


def compare(
    weights: Sequence[Path], count: int, device: torch.device, batch_size: int, threshold: float
) -> dict[str, dict[str, float]]:
    """
    Return the measures of each file of weights by its name, over the first `count` scenes.

    Raises UserError where two are of one name, or of different input sizes.
    """
    by_name: dict[str, Path] = {}
    for path in weights:
        if path.stem in by_name:
            raise UserError(
                f'{by_name[path.stem]} and {path} have one name, {path.stem}, which would be one '
                'column; rename one of them, or measure them in separate calls.'
            )
        by_name[path.stem] = path
    measured = [_start(path, device, threshold) for path in weights]
    sizes = [one.predictor.network.config.input_size for one in measured]
    size = sizes[0]
    if set(sizes) != {size}:
        each = ', '.join(f'{path} {one}' for path, one in zip(weights, sizes, strict=True))
        raise UserError(
            'Scenes are rendered once for all weights, which want pictures of one size, but these '
            f'take different ones, in pixels: {each}; measure them in separate calls.'
        )
    scenes = RenderedScenes(lambda: SceneSamples(OPEN_BODY, size, 11, device), range(count))
    progress = tqdm(total=count, unit='scene', disable=None)
    for batch in scenes.batches(0, 1, batch_size):
        for one in measured:
            for picture, people in predictions(one.predictor, batch):
                one.protocol.update(picture.index, people, picture.truth)
        progress.update(len(batch))
    progress.close()
    return {one.name: one.protocol.result() for one in measured}


def predictions(
    predictor: Predictor, batch: Sequence[EvaluationPicture | str]
) -> Iterator[tuple[EvaluationPicture, PredictedPeople]]:
    """Yield pictures, and the people found in them with an estimated lens."""
    pictures = [picture for picture in batch if not isinstance(picture, str)]
    found = predictor.predict_batch([p.image_rgb for p in pictures], [None] * len(pictures))
    for picture, people in zip(pictures, found, strict=True):
        yield (
            picture,
            PredictedPeople.from_people(in_original_pixels(people, picture.original_hw)),
        )


def table(measures: Mapping[str, Mapping[str, float]]) -> str:
    """Return a Markdown table, a line for each measure."""
    names = list(dict.fromkeys(name for column in measures.values() for name in column))
    lines = ['| | ' + ' | '.join(measures) + ' |', '|---' * (len(measures) + 1) + '|']
    for name in names:
        values = [column.get(name) for column in measures.values()]
        cells = ['–' if value is None else f'{value:.4g}' for value in values]
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def _start(path: Path, device: torch.device, threshold: float) -> Measured:
    model = load_model(path, OPEN_BODY)
    # Everything else in these numbers is exact, so is the network.
    predictor = Predictor(
        model, device=str(device), precision='float32', confidence_threshold=threshold
    )
    return Measured(path.stem, predictor, Scenes([threshold]))


def check_amounts(count: int, batch: int) -> None:
    """Raise UserError where there are to be no scenes, or none at a time."""
    if min(count, batch) < 1:
        raise UserError(f'--count and --batch are at least 1, not {count} and {batch}.')


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('out', type=Path, metavar='OUT')
    parser.add_argument('weights', type=Path, nargs='+', metavar='WEIGHTS')
    parser.add_argument('--count', type=int, default=HELD_OUT_SCENES)
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--threshold', type=float, default=0.3)
    parser.add_argument('--device', help='else CUDA where there is one')
    options = parser.parse_args(arguments)
    outs = [options.out / f'{path.stem}.json' for path in options.weights]
    outs.append(options.out / 'table.md')
    try:
        check_amounts(options.count, options.batch)
        if options.count > HELD_OUT_SCENES:
            raise UserError(
                f'--count is at most {HELD_OUT_SCENES}, all that are held out, not '
                f'{options.count}.'
            )
        for path in outs:
            check_writable(path)
        device = choose_device(options.device or 'auto')
        measures = compare(
            options.weights, options.count, device, options.batch, options.threshold
        )
        texts = []
        for path in options.weights:
            # Which file it is that the numbers are of, and how they were come by.
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            about = {'weights_sha256': digest, 'threshold': options.threshold}
            texts.append(json.dumps(about | measures[path.stem], indent=1) + '\n')
        texts.append(table(measures))
        with all_written_beside(*outs) as temporaries:
            for temporary, text in zip(temporaries, texts, strict=True):
                temporary.write_text(text)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(table(measures))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
