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

"""The inference layout of golden files: outputs of the network on their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from golden_tools import (
    Arrays,
    build_network,
    error_in_tolerances,
    EXACT,
    golden_body,
    IN_PIXELS,
    model_config,
    OUTPUT,
    PIXELS,
)
from mahmr_model.bodies import pose_queries
from mahmr_model.body.layer import BodyLayer
from mahmr_model.encoder.cells import Cells
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import MAHMR
from mahmr_model.preprocess import pad_and_normalise
import numpy as np
import torch


def check_network(arrays: Arrays, meta: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Run inference on the file's pictures; yield each output and its error in tolerances."""
    config = model_config(meta['config'])
    body = golden_body()
    network = build_network(config, meta['seed'], arrays, body)
    layer = BodyLayer(body, kid=config.shapes == 11)
    sizes = meta['image_sizes']
    images = [
        pad_and_normalise(torch.from_numpy(arrays[f'image_{i}']), config.pad_multiple)
        for i in range(len(sizes))
    ]
    with torch.inference_mode():
        ours = network_outputs(network, layer, images, sizes, meta['vertex_stride'])
    for name in arrays:
        if name.startswith('out/'):
            golden = arrays[name]
            exact = np.issubdtype(golden.dtype, np.integer)
            tolerance = EXACT if exact else PIXELS if name in IN_PIXELS else OUTPUT
            yield name, error_in_tolerances(ours[name], golden, tolerance)


def network_outputs(
    network: MAHMR,
    layer: BodyLayer,
    images: list[torch.Tensor],
    sizes: list[tuple[int, int]],
    vertex_stride: int,
) -> dict[str, np.ndarray]:
    """Return everything a golden file may hold of inference, under its names."""
    output = network(images)
    last = output.layers[-1]
    lens = Lens.assumed(sizes, network.config.input_size, output.fov_rad)
    batch, queries = last.camera_abc.shape[:2]
    picture, query = torch.ones(batch, queries).nonzero(as_tuple=True)
    people = pose_queries(last, layer, lens, network.config.input_size, picture, query)
    depth = people.translation_m[:, 2]
    focal = lens.focal_xy_px[:, 0].repeat_interleave(queries)
    matrix = torch.zeros(batch, 1, 3, 3)
    matrix[:, 0, 0, 0], matrix[:, 0, 1, 1] = lens.focal_xy_px.unbind(1)
    matrix[:, 0, :2, 2] = lens.centre_xy_px
    matrix[:, 0, 2, 2] = 1
    flat = {
        'poses': people.pose_axis_angle.flatten(1),
        'betas': people.betas,
        'boxes': people.boxes_cxcywh_norm,
        'confs': people.confidence[:, None],
        'j3ds': people.joints_camera_m,
        'j2ds': people.joints_px,
        'verts': people.vertices_camera_m[:, ::vertex_stride],
        'depths': torch.stack([depth, depth / focal], dim=1),
        'transl': people.translation_m,
    }
    ours = {f'out/pred_{name}': x.unflatten(0, (batch, queries)) for name, x in flat.items()}
    ours['out/pred_intrinsics'] = matrix
    if output.coarse is not None:
        cells: Cells = output.coarse.cells
        ours['out/enc/scale_map'] = output.coarse.scale_map
        ours['out/enc/pos_y'], ours['out/enc/pos_x'] = cells.yx.unbind(1)
    tokens = output.tokens
    for i, (xy, level) in enumerate(
        zip(
            tokens.centres_xy_norm.split(tokens.lengths),
            tokens.levels.split(tokens.lengths),
            strict=True,
        )
    ):
        ours[f'out/tokens_{i}/pos_x'], ours[f'out/tokens_{i}/pos_y'] = xy.unbind(1)
        ours[f'out/tokens_{i}/lvl'] = level
    return {name: value.numpy() for name, value in ours.items()}
