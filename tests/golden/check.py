"""
Compare this implementation with golden numbers of the published code.

    python tests/golden/check.py FILE.npz …

Everything about a case comes from the file: configuration and seed from its `meta_json`, pictures,
replaced weights. Prints the largest error of each group in units of its tolerance and ends with 1
where one is over. Tolerances are those of README.md beside this script.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import sys
import tempfile
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from random_body import random_body  # noqa: E402
from random_weights import random_weights  # noqa: E402

from mahmr_model.bodies import pose_queries  # noqa: E402
from mahmr_model.body.data import load_body  # noqa: E402
from mahmr_model.body.layer import BodyLayer  # noqa: E402
from mahmr_model.config import ModelConfig  # noqa: E402
from mahmr_model.encoder.cells import Cells  # noqa: E402
from mahmr_model.geometry.placement import Lens  # noqa: E402
from mahmr_model.network import MAHMR  # noqa: E402
from mahmr_model.preprocess import pad_and_normalise  # noqa: E402

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Tolerance:
    """|Δ| ≤ absolute + relative·|golden|; both 0 means equal."""

    absolute: float
    relative: float


OUTPUT = Tolerance(1e-4, 1e-4)
PIXELS = Tolerance(1e-2, 1e-3)
EXACT = Tolerance(0.0, 0.0)
IN_PIXELS = ('out/pred_j2ds', 'out/pred_intrinsics')


def error_in_tolerances(ours: np.ndarray, golden: np.ndarray, tolerance: Tolerance) -> float:
    """Return the largest error as a multiple of what is allowed; infinity if shapes differ."""
    if ours.shape != golden.shape or not np.isfinite(ours).all():
        return float('inf')
    if not ours.size:
        return 0.0
    difference = np.abs(ours.astype(np.float64) - golden)
    allowed = tolerance.absolute + tolerance.relative * np.abs(golden.astype(np.float64))
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(np.where(difference == 0, 0.0, difference / allowed).max())


def model_config(golden: Mapping[str, Any]) -> ModelConfig:
    """Translate a golden file's configuration into ours."""
    adaptive = golden.get('sat_cfg', {})
    thresholds = {}
    if adaptive.get('use_sat', True):
        levels = adaptive.get('num_lvls', golden.get('lvls', 3))
        thresholds = {
            ours: adaptive[theirs]
            for ours, theirs in (
                ('presence_threshold', 'conf_thresh'),
                ('fine_threshold', 'scale_thresh'),
            )
            if theirs in adaptive
        }
    else:
        levels = 0
    return ModelConfig(
        input_size=golden['size'],
        levels=levels,
        encoder_dim=golden['vit']['embed_dim'],
        encoder_depth=golden['vit']['depth'],
        encoder_heads=golden['vit']['num_heads'],
        hidden_dim=golden['hidden_dim'],
        decoder_layers=golden['dec_layers'],
        decoder_heads=golden['nheads'],
        feedforward_dim=golden['dim_feedforward'],
        queries=golden['num_queries'],
        shapes=11 if golden['kid'] else 10,
        camera_branch=golden['fov'],
        **thresholds,
    )


def build_network(
    config: ModelConfig, seed: int, arrays: Arrays, mean_pose: np.ndarray, mean_shape: np.ndarray
) -> MAHMR:
    """Build a network with the weights of the rule, but for what the file replaces."""
    network = MAHMR(config, torch.from_numpy(mean_pose), torch.from_numpy(mean_shape))
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    weights = random_weights(shapes, seed)
    weights |= {
        name.removeprefix('weight/'): arrays[name] for name in arrays if name.startswith('weight/')
    }
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(torch.from_numpy(weights[name]))
    return network.eval()


def check_network(arrays: Arrays, meta: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Run inference on the file's pictures; yield each output and its error in tolerances."""
    config = model_config(meta['config'])
    with tempfile.TemporaryDirectory() as folder:
        body = load_body(Path(random_body(folder, seed=0)))
    assert body.mean_pose is not None
    assert body.mean_shape is not None
    network = build_network(config, meta['seed'], arrays, body.mean_pose, body.mean_shape)
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


def check_file(path: Path) -> list[tuple[str, float]]:
    """Check one golden file: every group's largest error in units of its tolerance."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays.pop('meta_json')))
    if 'image_0' not in arrays or 'out/pred_poses' not in arrays:
        raise SystemExit(f'{path}: not a layout that this script knows.')
    return list(check_network(arrays, meta))


def main() -> int:
    """Check the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('files', nargs='+', type=Path, metavar='FILE.npz')
    failed = False
    for path in parser.parse_args().files:
        print(path)
        for name, error in check_file(path):
            failed |= not error <= 1
            verdict = 'ok' if error <= 1 else 'OVER'
            print(f'  {name:<24} {error:12.4g} of its tolerance  {verdict}')
    return int(failed)


if __name__ == '__main__':
    raise SystemExit(main())
