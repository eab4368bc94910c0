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
Write the weights of a run as a file to ship: float16, without what training alone needs.

    python -m training.export runs/open_3 weights/mahmr_open.safetensors

RUN is the folder of a run, or a file of weights. Of several of one training their mean is
written: often better than each of them (model soups, arXiv 2203.05482). The header says
network and body, so that the file is all that `mahmr_model.weights` needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
import math
from pathlib import Path
import sys

from mahmr_model.body.data import BodyKind
from mahmr_model.checkpoint import load_state, read_checkpoint, save_weights
from mahmr_model.errors import UserError
from mahmr_model.files import check_writable
from mahmr_model.network import MAHMR
from mahmr_model.predictor import DEFAULT_THRESHOLD
import torch
from training.epoch_end import WEIGHTS

MOST_MB = 60.0


@dataclass(frozen=True)
class Adjustment:
    """What is set in weights after they are trained (`training.calibrate`)."""

    threshold: float = DEFAULT_THRESHOLD
    """The confidence that becomes the default one, from which every command shows people."""
    overlap: float = 1.0
    """The network's `overlap_threshold`."""
    wider_deg: float = 0.0
    """Added to every estimated field of view."""
    nearer: float = 1.0
    """What the depths of people are divided by."""


def export(
    runs: Sequence[Path],
    out: Path,
    most_mb: float = MOST_MB,
    adjustment: Adjustment | None = None,
) -> float:
    """
    Write the mean of the weights of runs (folders, or files) to `out`; returns its size in MB.

    Raises UserError where there are none, where they are of different networks, where float16
    cannot hold them, or where the file would be larger than `most_mb`: then nothing is written.
    """
    sources = [check_export(run, out) for run in runs]
    network, body = _read(sources[0])
    for count, source in enumerate(sources[1:], 2):
        other, its_body = _read(source)
        if (other.config, its_body) != (network.config, body):
            raise UserError(
                f'{source}: holds another network than {sources[0]}, or other settings '
                '(overlap_threshold, body), so that they have no mean; name files of one '
                'training, before training.calibrate.'
            )
        with torch.no_grad():
            for mean, value in zip(network.parameters(), other.parameters(), strict=True):
                mean.lerp_(value, 1 / count)
    if adjustment is not None:
        adjust(network, adjustment)
    network.half()
    size_mb = sum(2 * p.numel() for p in network.parameters()) / 1e6
    if size_mb >= most_mb:
        raise UserError(
            f'{sources[0]}: the network has {size_mb:.1f} MB as float16, but at most '
            f'{most_mb:g} MB may be shipped; train a smaller one.'
        )
    save_weights(network, out, body)
    return out.stat().st_size / 1e6


def _read(source: Path) -> tuple[MAHMR, BodyKind]:
    checkpoint = read_checkpoint(source)
    network = MAHMR(checkpoint.config)
    load_state(network, checkpoint.state, str(source))
    for name, value in network.state_dict().items():
        if not bool(torch.isfinite(value.half()).all()):
            raise UserError(
                f'{source}: {name} has numbers that float16 cannot hold; training went wrong '
                'there, take an earlier checkpoint.'
            )
    return network, checkpoint.body


def check_export(run: Path, out: Path) -> Path:
    """
    Return the file of weights of a run.

    Raises UserError where there is no such run, or where `out` cannot be written.
    """
    if not run.exists():
        raise UserError(
            f'{run}: there is no such run or file; name the folder of a run, or a file of weights.'
        )
    source = run / WEIGHTS if run.is_dir() else run
    if source.resolve() == out.resolve():
        raise UserError(f'{out}: this is the file that is read; name another one to write.')
    if out.suffix != '.safetensors':
        raise UserError(f'{out}: the file to write should end in .safetensors.')
    check_writable(out)
    return source


def adjust(network: MAHMR, adjustment: Adjustment) -> None:
    """Set a network's overlap, and shift its confidences, its field of view and its scale."""
    network.config = replace(network.config, overlap_threshold=adjustment.overlap)
    default, own = torch.tensor([DEFAULT_THRESHOLD, adjustment.threshold]).logit()
    with torch.no_grad():
        network.conf_head.bias.add_(default - own)
        # The depth goes with 1/sigmoid(c) (`geometry.placement`), of people far enough 1/exp(c).
        network.cam_head.last.bias[2] += math.log(adjustment.nearer)
        if network.config.camera_branch:
            network.fov_head.last.bias.add_(math.radians(adjustment.wider_deg))


def main(arguments: list[str] | None = None) -> int:
    """Write, and say what was written; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    parser.add_argument('out', type=Path, metavar='OUT.safetensors')
    parser.add_argument('--most-mb', type=float, default=MOST_MB, help='refuse a larger file')
    options = parser.parse_args(arguments)
    try:
        size_mb = export(options.runs, options.out, options.most_mb)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(f'{options.out}: {size_mb:.1f} MB\n')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
