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

"""A sheet of scenes to look at: `python -m training.synthetic.scenes.preview sheet.png`."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
from mahmr_model.files import check_writable, written_beside
from mahmr_model.pictures import SUFFIXES, write_picture
from mahmr_model.types import ImageArray
import numpy as np
from training.synthetic.scenes.draw import draw_scene, SceneConfig
from training.synthetic.scenes.renderer import Rendered, SceneRenderer

_COLOURS = np.array(
    [[230, 60, 60], [60, 200, 60], [70, 110, 255], [240, 200, 40], [200, 70, 220], [40, 210, 210]]
)


def tiles(rendered: Rendered, side: int, *, truth: bool) -> list[ImageArray]:
    """Return each picture within a square of `side` pixels; with `truth`, people tinted by id."""
    squares = []
    for index, (height, width) in enumerate(rendered.sizes_hw):
        picture = rendered.images[index, :height, :width].cpu().numpy()
        if truth:
            person = rendered.person[index, :height, :width].cpu().numpy()
            tint = _COLOURS[person % len(_COLOURS)]
            picture = np.where(person[..., None] >= 0, picture // 2 + tint // 2, picture)
        scale = side / max(height, width)
        small = cv2.resize(
            picture.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        square = np.zeros((side, side, 3), np.uint8)
        square[: small.shape[0], : small.shape[1]] = small[:side, :side]
        squares.append(square)
    return squares


def sheet(squares: list[ImageArray], columns: int) -> ImageArray:
    """Lay squares out in rows."""
    empty = np.zeros_like(squares[0])
    squares = squares + [empty] * (-len(squares) % columns)
    rows = [np.hstack(squares[slice(i, i + columns)]) for i in range(0, len(squares), columns)]
    return np.vstack(rows)


def main(arguments: list[str] | None = None) -> int:
    """Draw some scenes of a training run's seed and write their sheet; 2 after a UserError."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help=f'a picture: {", ".join(SUFFIXES)}')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--first', type=int, default=0, help='number of the first scene')
    parser.add_argument('--count', type=int, default=24)
    parser.add_argument('--columns', type=int, default=6)
    parser.add_argument('--side', type=int, default=280, help="a picture's longer side in pixels")
    parser.add_argument('--truth', action='store_true', help='tint people by their number')
    options = parser.parse_args(arguments)
    try:
        _check_picture(options.out)
        renderer = SceneRenderer(BodyLayer(load_body(OPEN_BODY), kid=True), options.device)
        numbers = range(options.first, options.first + options.count)
        rendered = renderer([draw_scene(SceneConfig(), options.seed, n) for n in numbers])
        squares = tiles(rendered, options.side, truth=options.truth)
        with written_beside(options.out) as temporary:
            write_picture(temporary, sheet(squares, options.columns))
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    return 0


def _check_picture(path: Path) -> None:
    """Raise UserError where no picture can be written to `path`."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f'{path}: its name should end as a picture does, in one of {", ".join(SUFFIXES)}.'
        )
    check_writable(path)


if __name__ == '__main__':
    raise SystemExit(main())
