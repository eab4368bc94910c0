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

RUN is the folder of a run, or a file of weights. The header says network and body, so that the
file is all that `mahmr_model.weights` needs. Every command shows people from a confidence of 0.3
on, as published; with `--threshold T` all confidences are shifted so that 0.3 is where T was, and
with `--overlap IOU` two people who overlap by more are taken for one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
import sys

from mahmr_model.checkpoint import load_state, read_checkpoint, save_weights
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
from mahmr_model.predictor import DEFAULT_THRESHOLD
import torch
from training.epoch_end import WEIGHTS

MOST_MB = 60.0


def export(
    run: Path,
    out: Path,
    most_mb: float = MOST_MB,
    threshold: float = DEFAULT_THRESHOLD,
    overlap: float = 1.0,
) -> float:
    """
    Write the newest weights of a run (a folder, or a file) to `out`; returns its size in MB.

    What had the confidence `threshold` will have that of the default one; `overlap` is the
    network's `overlap_threshold`.

    Raises UserError where there are none, where float16 cannot hold them, or where the file would
    be larger than `most_mb`: then nothing is written.
    """
    source = run / WEIGHTS if run.is_dir() else run
    if source.resolve() == out.resolve():
        raise UserError(f'{out}: this is the file that is read; name another one to write.')
    if out.suffix != '.safetensors':
        raise UserError(f'{out}: the file to write should end in .safetensors.')
    if not 0 < threshold < 1:
        raise UserError(f'A threshold is between 0 and 1, not {threshold}.')
    checkpoint = read_checkpoint(source)
    network = MAHMR(replace(checkpoint.config, overlap_threshold=overlap))
    load_state(network, checkpoint.state, str(source))
    default, own = torch.tensor([DEFAULT_THRESHOLD, threshold]).logit()
    with torch.no_grad():
        network.conf_head.bias.add_(default - own)
    network.half()
    for name, value in network.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(
                f'{source}: {name} has numbers that float16 cannot hold; training went wrong '
                'there, take an earlier checkpoint.'
            )
    size_mb = sum(2 * p.numel() for p in network.parameters()) / 1e6
    if size_mb >= most_mb:
        raise UserError(
            f'{source}: the network has {size_mb:.1f} MB as float16, but at most {most_mb:g} MB '
            'may be shipped; train a smaller one.'
        )
    save_weights(network, out, checkpoint.body)
    return out.stat().st_size / 1e6


def main(arguments: list[str] | None = None) -> int:
    """Write, and say what was written; return 0, or 2 after a UserError."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('run', type=Path, metavar='RUN')
    parser.add_argument('out', type=Path, metavar='OUT.safetensors')
    parser.add_argument(
        '--threshold', type=float, default=DEFAULT_THRESHOLD, help='the confidence to become 0.3'
    )
    parser.add_argument('--overlap', type=float, default=1.0, metavar='IOU')
    parser.add_argument('--most-mb', type=float, default=MOST_MB, help='refuse a larger file')
    options = parser.parse_args(arguments)
    try:
        size_mb = export(
            options.run, options.out, options.most_mb, options.threshold, options.overlap
        )
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return 2
    sys.stdout.write(f'{options.out}: {size_mb:.1f} MB\n')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
