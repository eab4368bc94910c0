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

"""The layout of the sample pipeline: one annotated picture through several augmentations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
import tempfile
from typing import Any

from golden_tools import Arrays, error_in_tolerances, EXACT, OUTPUT, PIXELS
import numpy as np
from random_body import random_body
from training.data.annotation import Annotation, Bodies
from training.data.augmentation import Draw
from training.data.posing import WorkerBodies
from training.data.sample import SampleConfig, SampleMaker
from training.data.scale_map import grid_size
from training.target import Target

IN_PIXELS = ('j2ds', 'cam_intrinsics', 'focals')
VERTEX_STRIDE = 97
GREY_LEVELS = 1
ALLOWED_SHARE = 1e-3
"""Of pixels, that may differ by more than a grey level."""


def check_augmentation(arrays: Arrays, meta: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Make every sample of the file; yield each array and its error in tolerances."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = WorkerBodies(Path(random_body(folder, seed=0)))
    shapes = arrays['raw/betas'].shape[1]
    maker = SampleMaker(bodies, SampleConfig(input_size=meta['input_size'], shapes=shapes))
    for case, parameters in meta['cases'].items():
        # The published code draws the crop's Beta number from NumPy's old generator.
        beta = np.random.RandomState(meta.get('crop_seed', 7)).beta(2, 5)
        draw = Draw(
            parameters['rot'],
            parameters['scale'],
            parameters['flip'],
            beta if parameters['crop'] else None,
        )
        tall = case.startswith('tall')
        picture = np.ascontiguousarray(
            arrays['tall_image_bgr' if tall else 'image_bgr'][..., ::-1]
        )
        annotation = raw_annotation(arrays, meta['genders'], tall)
        image, target, placed = maker.plain_sample(picture, annotation, draw)
        meshes = maker.meshes_camera_m(placed).transpose(1, 2).numpy()
        ours = target_arrays(target) | {'verts': meshes[:, ::VERTEX_STRIDE]}
        for name, value in ours.items():
            golden = arrays[f'{case}/{name}']
            exact = golden.dtype.kind in 'bi'
            tolerance = EXACT if exact else PIXELS if name in IN_PIXELS else OUTPUT
            yield f'{case}/{name}', error_in_tolerances(value, golden, tolerance)
        yield (
            f'{case}/image_bgr',
            picture_error(image.numpy()[..., ::-1], arrays[f'{case}/image_bgr']),
        )


def raw_annotation(arrays: Arrays, genders: list[Any], tall: bool) -> Annotation:
    """Return the file's annotation; the tall picture has cameras of its own."""
    bodies = Bodies(
        arrays['raw/poses'],
        arrays['raw/betas'],
        arrays['raw/transl'],
        arrays['raw/cam_rot'],
        arrays['raw/cam_trans'],
        tuple(genders),
    )
    intrinsics = arrays['tall_raw/cam_intrinsics' if tall else 'raw/cam_intrinsics']
    return Annotation(Path('golden'), intrinsics, bodies)


def target_arrays(target: Target) -> dict[str, np.ndarray]:
    """Return a target under the file's names."""
    return {
        'img_size': np.array(target.size_hw),
        'cam_intrinsics': target.intrinsics.numpy(),
        'poses': target.pose_axis_angle.numpy(),
        'betas': target.betas.numpy(),
        'transl': target.translation_m.numpy(),
        'j3ds': target.joints_camera_m.numpy(),
        'j2ds': target.joints_px.numpy(),
        'j2ds_mask': target.joints_mask.numpy(),
        'depths': target.depths.numpy(),
        'focals': target.focal_px.numpy()[:, None],
        'boxes': target.boxes_cxcywh_norm.numpy(),
        'heights': target.heights_m.numpy(),
        'scale_map': target.scale_map.numpy(),
        'scale_map_hw': np.array([side + side % 2 for side in grid_size(target.size_hw)]),
    }


def picture_error(ours: np.ndarray, golden: np.ndarray) -> float:
    """Return the share of pixels that differ by more than a grey level, in tolerances."""
    if ours.shape != golden.shape:
        return float('inf')
    difference = np.abs(ours.astype(np.int64) - golden).max(2)
    return float((difference > GREY_LEVELS).mean() / ALLOWED_SHARE)
