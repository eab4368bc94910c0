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

"""Scenes as a data set on disk: pictures, and annotations that the trainer reads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import as_completed, ProcessPoolExecutor
from dataclasses import dataclass
import hashlib
import json
import multiprocessing
import os
from pathlib import Path
import threading

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from mahmr_model.types import ImageArray
import numpy as np
import torch
from tqdm import tqdm
from training.data.annotation import Bools
from training.data.plain_annotations import Entry, read_plain, write_plain
from training.synthetic.scenes.draw import (
    draw_scene,
    held_out_scene,
    HELD_OUT_SCENES,
    SceneConfig,
)
from training.synthetic.scenes.renderer import Rendered, SceneRenderer
from training.synthetic.scenes.scene import Scene
from training.synthetic.scenes.truth import FEWEST_PIXELS

_CHUNK = 16
_FOLDER = 1000
_QUALITY = 95


@dataclass(frozen=True)
class Plan:
    """What a data set holds."""

    split: str
    """`train` or `held_out`."""
    count: int
    seed: int
    input_size: int

    def scene(self, index: int) -> Scene:
        """Return one of its scenes."""
        config = SceneConfig(self.input_size)
        if self.split == 'held_out':
            return held_out_scene(config, index)
        return draw_scene(config, self.seed, index)


def held_out_plan(input_size: int) -> Plan:
    """Return the plan of the held-out set, whose seed and count are fixed."""
    return Plan('held_out', HELD_OUT_SCENES, 0, input_size)


def picture_name(index: int) -> str:
    """Return where a picture lies below its split's folder."""
    return f'{index // _FOLDER:04d}/{index:07d}.jpg'


def write_dataset(out: Path, plan: Plan, device: str, workers: int) -> Path:
    """
    Write what of a plan is not there yet; return the file of annotations.

    Pictures go to OUT/SPLIT, annotations to OUT/SPLIT.npz once all are there. A run that was
    stopped goes on where it was; more of the same scenes may be asked for later.
    """
    _claim(out, plan)
    chunks = range(0, plan.count, _CHUNK)
    waiting = [first for first in chunks if not _part(out, plan, first).exists()]
    there = plan.count - sum(len(_numbers(plan, first)) for first in waiting)
    with tqdm(total=plan.count, initial=there, unit=' scenes', disable=None) as progress:
        for first in _written(out, plan, waiting, device, workers):
            progress.update(len(_numbers(plan, first)))
    entries: dict[str, Entry] = {}
    for first in chunks:
        entries |= dict(read_plain(_part(out, plan, first)))
    path = out / f'{plan.split}.npz'
    write_plain(path, entries)
    return path


def _written(out: Path, plan: Plan, chunks: list[int], device: str, workers: int) -> Iterator[int]:
    """Write chunks, here or in so many processes, and yield each that is done."""
    if workers == 0:
        renderer = _renderer(device)
        for first in chunks:
            yield _write_chunk(renderer, out, plan, first)
        return
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, context, _start, (device,)) as pool:
        futures = [pool.submit(_work, out, plan, first) for first in chunks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_workers_renderer: list[SceneRenderer] = []


def _start(device: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _workers_renderer.append(_renderer(device))


def _end_with_parent() -> None:
    """End this process where the one that feeds it was killed: nobody else would end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(out: Path, plan: Plan, first: int) -> int:
    return _write_chunk(_workers_renderer[0], out, plan, first)


def _renderer(device: str) -> SceneRenderer:
    return SceneRenderer(BodyLayer(load_body(OPEN_BODY), kid=True), device)


def _write_chunk(renderer: SceneRenderer, out: Path, plan: Plan, first: int) -> int:
    """Write the pictures of a chunk, then its annotations, which tell that it is complete."""
    numbers = _numbers(plan, first)
    scenes = [plan.scene(number) for number in numbers]
    rendered = renderer(scenes)
    images = rendered.images.cpu().numpy()
    entries = {}
    for place, (number, scene) in enumerate(zip(numbers, scenes, strict=True)):
        height, width = scene.size_hw
        _write_picture(out / plan.split / picture_name(number), images[place, :height, :width])
        entries[picture_name(number)] = annotation_entry(scene, seen(rendered, place))
    write_plain(_part(out, plan, first), entries)
    return first


def annotation_entry(scene: Scene, kept: Bools) -> Entry:
    """Return what the trainer is told of a scene: who of its people (P,) is kept."""
    return {
        'intrinsics': scene.intrinsics,
        'pose_axis_angle': scene.pose_axis_angle[kept],
        'betas': scene.betas[kept],
        'translation_m': scene.translation_m[kept],
    }


def seen(rendered: Rendered, place: int) -> Bools:
    """Say who (P,) of one rendered scene is seen at all; others are drawn, but not asked for."""
    person = rendered.person[place]
    count = rendered.person_counts[place]
    pixels = torch.bincount(person[person >= 0].long(), minlength=count)
    enough: Bools = (pixels >= FEWEST_PIXELS).cpu().numpy()
    return enough


def _write_picture(path: Path, image_rgb: ImageArray) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    encoded = cv2.imencode('.jpg', np.ascontiguousarray(image_rgb[..., ::-1]), options)[1]
    with written_beside(path) as part:
        part.write_bytes(encoded.tobytes())


def _part(out: Path, plan: Plan, first: int) -> Path:
    """Return the annotations of one chunk; its length is in its name, as the last may grow."""
    last = _numbers(plan, first)[-1]
    return out / f'{plan.split}.parts' / f'{first:07d}-{last:07d}.npz'


def _numbers(plan: Plan, first: int) -> range:
    return range(first, min(first + _CHUNK, plan.count))


def _claim(out: Path, plan: Plan) -> None:
    """Note whose scenes a folder holds, or refuse to mix them with others."""
    first = plan.scene(0)
    digest = hashlib.sha256(first.pose_axis_angle.tobytes() + first.translation_m.tobytes())
    note = {
        'seed': plan.seed,
        'input_size': plan.input_size,
        'first_scene': digest.hexdigest()[:16],
    }
    path = out / f'{plan.split}.json'
    if path.exists():
        try:
            there = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(
                f'{path} should say which scenes {out} holds, but cannot be read ({error}); '
                'name another folder.'
            ) from error
        if there != note:
            raise UserError(
                f'{out} holds scenes of {there}, not of {note}, which would not mix; name another '
                'folder, or remove that one.'
            )
        return
    if (annotations := out / f'{plan.split}.npz').exists():
        raise UserError(
            f'{annotations} is there already, but not {path.name}, which says whose scenes they '
            'are; name another folder.'
        )
    with written_beside(path) as part:
        part.write_text(json.dumps(note) + '\n')
