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
How fast samples are made: whole ones, each step, and the costly steps written plainly.

    python -m training.data.benchmark                                  a made picture of 1080p
    python -m training.data.benchmark --root data --dataset agora --split train

Everything runs in one thread, as in a worker; numbers are medians. Prints a table and a JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import platform
import statistics
import sys
import tempfile
import time
from typing import Any

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
from mahmr_model.files import check_writable, written_beside
from mahmr_model.pictures import write_picture
from mahmr_model.preprocess import resize
import numpy as np
import torch
from training.data.annotation import Annotation, Bodies, BrokenSampleError
from training.data.appearance import jitter_colours, occlude
from training.data.augmentation import AugmentationConfig, Draw
from training.data.dataset import build_dataset, load_picture, quiet_worker
from training.data.pixels import moved_picture
from training.data.placing import place, Placed
from training.data.posing import GENDERS, WorkerBodies
from training.data.sample import SampleConfig, SampleMaker
from training.data.scale_map import covered_cells, edges, grid_size, scale_map
from training.data.straightforward import posed_one_by_one, scale_map_by_loops

DRAW = Draw(rotation_deg=8.0, scale=1.2, flip=True)
"""What single steps are timed with; whole samples draw."""


@dataclass(frozen=True)
class Result:
    """Milliseconds a picture."""

    whole_ms: float
    steps_ms: dict[str, float]
    plain_ms: dict[str, float]
    """The same steps written plainly."""
    people: int
    size_hw: tuple[int, int]

    @property
    def speedup(self) -> dict[str, float]:
        """By how much the plain way takes longer."""
        return {name: ms / self.steps_ms[name] for name, ms in self.plain_ms.items()}

    def as_json(self) -> dict[str, Any]:
        """Return everything, with the machine it was measured on."""
        return {
            **vars(self),
            'pictures_per_second_and_worker': 1000 / self.whole_ms,
            'speedup': self.speedup,
            'machine': f'{platform.machine()}, {platform.processor() or "unknown processor"}',
            'torch': torch.__version__,
            'opencv': cv2.__version__,
        }

    def table(self) -> str:
        """Return lines to read."""
        lines = [
            f'{self.people} people, {self.size_hw[1]}×{self.size_hw[0]} pixels, one thread',
            f'{"whole sample":<34}{self.whole_ms:9.2f} ms{1000 / self.whole_ms:9.1f} pictures/s',
        ]
        for name, ms in self.steps_ms.items():
            plain = self.plain_ms.get(name)
            beside = f'   plainly {plain:8.2f} ms, {plain / ms:.1f} ×' if plain else ''
            lines.append(f'  {name:<32}{ms:9.2f} ms{beside}')
        return '\n'.join(lines)


def measure(
    annotation: Annotation, bodies: WorkerBodies, layer: BodyLayer, input_size: int, runs: int
) -> Result:
    """Time the samples of one picture; `layer` poses it the plain way."""
    maker = SampleMaker(bodies, SampleConfig(input_size, 11, AugmentationConfig()))
    numbers = iter(range(1_000_000))

    def whole() -> None:
        rng = np.random.default_rng(next(numbers))
        maker.training_sample(load_picture(annotation), annotation, rng)

    picture = load_picture(annotation)
    resized = resize(picture, input_size)
    original_hw, resized_hw = picture.shape[:2], resized.shape[:2]
    placed = place(annotation, original_hw, resized_hw, DRAW, bodies)
    target = maker.target(annotation, placed, np.ones(len(placed), bool), counts_every_joint=True)
    boxes = target.boxes_cxcywh_norm.double().numpy()
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
    fast, plain = _costly(maker, bodies, layer, placed, boxes)
    augmentation, rng = AugmentationConfig(), np.random.default_rng(0)
    steps: dict[str, Callable[[], Any]] = {
        'read the picture': lambda: load_picture(annotation),
        'resize': lambda: resize(picture, input_size),
        'place people (one draw)': lambda: place(
            annotation, original_hw, resized_hw, DRAW, bodies
        ),
        'mirror and warp': lambda: moved_picture(resized, placed.pixel_map),
        **fast,
        'occlude': lambda: occlude(resized, corners * input_size, augmentation.occlusion, rng),
        'jitter colours': lambda: jitter_colours(resized, augmentation.jitter, rng),
    }
    return Result(
        _median_ms(whole, runs),
        {name: _median_ms(step, runs) for name, step in steps.items()},
        {name: _median_ms(step, max(3, runs // 10)) for name, step in plain.items()},
        len(placed),
        resized_hw,
    )


def _costly(
    maker: SampleMaker,
    bodies: WorkerBodies,
    layer: BodyLayer,
    placed: Placed,
    boxes: np.ndarray,
) -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]:
    """Return the body and the scale map as steps, as they are and written plainly."""
    assert placed.rotations is not None
    rotations, betas = placed.rotations, torch.from_numpy(placed.betas)
    size_hw = placed.pixel_map.size_hw
    meshes = maker.meshes_camera_m(placed)
    intrinsics = torch.from_numpy(placed.intrinsics).float()
    ends, grid = edges(bodies.faces), grid_size(size_hw)
    diagonals, depths = np.hypot(boxes[:, 2], boxes[:, 3]), placed.joints_camera_m[:, 0, 2]
    vertices, faces = meshes.transpose(1, 2).numpy(), bodies.faces.numpy()

    def body() -> None:
        bodies.joints(rotations, betas, placed.genders)
        bodies.heights(betas, placed.genders)
        bodies.meshes(rotations, betas, placed.genders)

    def painted() -> None:
        scale_map(covered_cells(meshes, ends, intrinsics, grid), diagonals, depths, grid)

    fast: dict[str, Callable[[], Any]] = {'body': body, 'scale map': painted}
    plain: dict[str, Callable[[], Any]] = {
        'body': lambda: posed_one_by_one(layer, rotations, betas),
        'scale map': lambda: scale_map_by_loops(
            vertices, faces, placed.intrinsics[0], size_hw, diagonals, depths
        ),
    }
    return fast, plain


def _median_ms(step: Callable[[], Any], runs: int) -> float:
    times = []
    for run in range(runs + 2):
        start = time.perf_counter()
        step()
        if run >= 2:  # the first ones warm up
            times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def made_annotation(folder: Path, people: int, size_hw: tuple[int, int]) -> Annotation:
    """Write a picture of soft colours and place people in it who stand side by side."""
    rng = np.random.default_rng(0)
    height, width = size_hw
    soft = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), (width, height))
    noise = rng.integers(-12, 13, soft.shape, np.int16)
    write_picture(folder / 'made.jpg', np.clip(soft + noise, 0, 255).astype(np.uint8))
    pose = rng.normal(0, 0.2, (people, 72))
    pose[:, :3] = (np.pi, 0, 0)  # the body's y is up, the camera's down
    depth = rng.uniform(3, 6, people)
    across = (np.arange(people) + 0.5) / people - 0.5
    place_m = np.stack([across * depth, 0 * depth, depth], axis=1)
    bodies = Bodies(
        pose,
        rng.normal(0, 0.5, (people, 11)),
        place_m,
        np.tile(np.eye(3), (people, 1, 1)),
        np.zeros((people, 3)),
        tuple(GENDERS[0] for _ in range(people)),
    )
    focal = 1.1 * width
    intrinsics = np.array([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]])
    return Annotation(folder / 'made.jpg', intrinsics, bodies)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[1])
    parser.add_argument('--root', type=Path, help='folder of data; without one a picture is made')
    parser.add_argument('--dataset', default='agora')
    parser.add_argument('--split', default='train')
    parser.add_argument('--body', type=Path, default=OPEN_BODY, help="SMPL's folder or a file")
    parser.add_argument('--input-size', type=int, default=1288)
    parser.add_argument('--people', type=int, default=4, help='of the made picture')
    parser.add_argument('--runs', type=int, default=30)
    parser.add_argument('--json', type=Path, help='also write the numbers here')
    options = parser.parse_args(arguments)
    quiet_worker(0)
    try:
        if options.json:
            check_writable(options.json)
        with tempfile.TemporaryDirectory() as folder:
            bodies = WorkerBodies(options.body)
            data = load_body(options.body)
            layer = BodyLayer(data, kid=data.kid_template is not None)
            annotation = _annotation(options, bodies, Path(folder))
            result = measure(annotation, bodies, layer, options.input_size, options.runs)
        sys.stdout.write(f'{result.table()}\n{json.dumps(result.as_json())}\n')
        if options.json:
            with written_beside(options.json) as temporary:
                temporary.write_text(json.dumps(result.as_json(), indent=1))
    except (UserError, BrokenSampleError) as error:
        sys.stderr.write(f'{error}\n')
        return 2
    return 0


def _annotation(options: argparse.Namespace, bodies: WorkerBodies, folder: Path) -> Annotation:
    if options.root is None:
        return made_annotation(folder, options.people, (1080, 1920))
    config = SampleConfig(options.input_size)
    data = build_dataset(options.dataset, options.split, options.root, bodies, config)
    annotation = data.annotation(len(data) // 2)
    if annotation.bodies is None:
        raise UserError(f'The dataset {options.dataset} has no bodies to pose; take another.')
    return annotation


if __name__ == '__main__':
    raise SystemExit(main())
