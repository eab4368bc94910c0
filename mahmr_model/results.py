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

"""Results as files: arrays for programs (.npz), numbers for people and scripts (.json)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any

from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.errors import UserError
from mahmr_model.files import all_written_beside
from mahmr_model.pictures import write_picture
from mahmr_model.types import ImageArray, People
import numpy as np

ARRAYS = (
    'confidence',
    'boxes_xyxy_px',
    'pose_axis_angle',
    'betas',
    'translation_m',
    'joints_camera_m',
    'joints_px',
    'vertices_camera_m',
    'height_m',
)
"""The arrays of `People` that describe each person, first axis the person."""


SUFFIXES = ('.npz', '.json', '.png')


def save_people(stem: Path, people: People, source: str, panel_rgb: ImageArray) -> list[Path]:
    """
    Write `stem`.npz, `stem`.json and `stem`.png, all of them or none.

    The npz has the arrays of `People`, `faces` and `camera_matrix`; the JSON the same but for the
    mesh, person by person, with joints by name. `source` says which picture it was.
    """
    arrays = {name: getattr(people, name) for name in ARRAYS}
    if people.ids is not None:
        arrays['ids'] = people.ids
    paths = result_paths(stem)
    with all_written_beside(*paths) as (npz, text, picture):
        np.savez_compressed(
            npz,
            faces=people.faces,
            camera_matrix=people.camera.matrix,
            camera_source=people.camera_source,
            untrained=people.untrained,
            **arrays,
        )
        text.write_text(json.dumps(as_json(people, source), indent=1) + '\n')
        write_picture(picture, panel_rgb)
    return paths


def result_paths(stem: Path) -> list[Path]:
    """Return the files that `save_people` writes."""
    return [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]


def result_stems(pictures: Sequence[Path], out: Path) -> dict[Path, Path]:
    """
    Name each picture's results in `out` after it, with its suffix where two would be one.

    Raises UserError where they would overwrite each other or one of the pictures.
    """
    count = Counter(path.stem for path in pictures)
    named = {path: out / (path.stem if count[path.stem] == 1 else path.name) for path in pictures}
    takers: dict[Path, Path] = {}
    for path, stem in named.items():
        other = takers.setdefault(stem, path)
        if other is not path:
            raise UserError(
                f'The results of {other} and {path} would have the same name ({stem}); run them '
                'into a different folder each.'
            )
    refuse_overwriting(pictures, [path for stem in named.values() for path in result_paths(stem)])
    return named


def refuse_overwriting(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Raise UserError where one of the outputs is an input."""
    ours = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in ours:
            raise UserError(
                f'The results would overwrite {path}, which is to be read; name another folder '
                'for them.'
            )


def frame_stem(folder: Path, number: int) -> Path:
    """Return the stem of the results of a picture of a video or bag."""
    return folder / f'{number:06d}'


def remove_results_from(folder: Path, first: int) -> None:
    """Remove the results of pictures (`frame_stem`) from number `first` on."""
    for path in folder.glob('[0-9]' * 6 + '.*'):
        if path.suffix in SUFFIXES and int(path.stem) >= first:
            path.unlink()


def as_json(people: People, source: str) -> dict[str, Any]:
    """Return everything but the meshes, in metres, radians and pixels, for `json.dumps`."""
    camera = people.camera
    return {
        'source': source,
        'width': camera.width,
        'height': camera.height,
        'untrained': people.untrained,
        'camera': {
            'source': people.camera_source,
            'matrix': camera.matrix.tolist(),
            'horizontal_fov_rad': camera.horizontal_fov_rad,
            'vertical_fov_rad': camera.vertical_fov_rad,
        },
        'inference_s': people.inference_s,
        'frame': 'camera: x right, y down, z forward, metres',
        'people': [_person(people, index) for index in range(len(people))],
    }


def _person(people: People, index: int) -> dict[str, Any]:
    person: dict[str, Any] = {
        name: _rounded(getattr(people, name)[index])
        for name in ARRAYS
        if not name.startswith(('vertices', 'joints'))
    }
    for name in ('joints_camera_m', 'joints_px'):
        values = _rounded(getattr(people, name)[index])
        person[name] = dict(zip(JOINT_NAMES_45, values, strict=True))
    if people.ids is not None:
        person['id'] = int(people.ids[index])
    return person


def _rounded(values: np.ndarray) -> Any:
    """Keep what float32 can tell apart at these sizes: a micrometre, a microradian."""
    return np.round(values.astype(np.float64), 6).tolist()
