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
Writes scenes as a data set: python -m training.synthetic.scenes data/synthetic --count 20000.

The trainer reads it as `synthetic` (`{name: synthetic, split: train}` in data.training), where
data.root is the folder above. A run that was stopped goes on when it is started again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import re
import sys

from mahmr_model.errors import UserError
import torch
from training.synthetic.scenes.dataset import held_out_plan, Plan, write_dataset


def main(arguments: list[str] | None = None) -> int:
    """Write what is asked for; return 0, or 2 after a UserError."""
    options = _parser().parse_args(arguments)
    try:
        path = write_dataset(options.out, _plan(options), options.device, options.workers)
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    except KeyboardInterrupt:
        sys.stderr.write('Stopped; the same command goes on from here.\n')
        return 130
    sys.stdout.write(f'{path}\n')
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    for name, least in (('count', 1), ('size', 56), ('workers', 0), ('seed', 0)):
        if getattr(options, name) < least:
            raise UserError(f'--{name} should be at least {least}, not {getattr(options, name)}.')
    if not re.fullmatch(r'cpu|cuda(:\d+)?', options.device):
        raise UserError(f'--device should be cpu, cuda or cuda:1, not {options.device}.')
    number = int(options.device.partition(':')[2] or 0)
    if options.device != 'cpu' and number >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise UserError(f'--device {options.device} is not there: {there} CUDA devices are.')
    if not options.held_out:
        return Plan('train', options.count, options.seed, options.size)
    for name in ('count', 'seed'):
        if getattr(options, name) != _parser().get_default(name):
            raise UserError(f'--held-out has its own {name}; leave --{name} out.')
    return held_out_plan(options.size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training.synthetic.scenes',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', type=Path, help='folder to write to, DATA_ROOT/synthetic')
    parser.add_argument('--count', type=int, default=10_000, help='number of scenes')
    parser.add_argument('--seed', type=int, default=0, help='other seeds are other scenes')
    parser.add_argument('--size', type=int, default=560, help="pictures' longer side in pixels")
    parser.add_argument('--held-out', action='store_true', help='the fixed 500 held-out scenes')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1')
    workers = os.cpu_count() or 1
    parser.add_argument(
        '--workers', type=int, default=workers, help='processes; 0: none of its own'
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
