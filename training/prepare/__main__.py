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
Turn raw releases into the annotation files that the datasets read.

    python -m training.prepare chmr coco raw/coco-release.npz
    python -m training.prepare dto coco raw/coco-opt.npz
    python -m training.prepare mupots
    python -m training.prepare hi4d train pair00 pair01 pair02
    python -m training.prepare map agora train
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from mahmr_model.errors import UserError
from training.data.catalogue import open_annotations
from training.prepare.fits import FITTED, prepare_fits
from training.prepare.hi4d import prepare_hi4d
from training.prepare.mupots import prepare_mupots


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return 0, or 2 after a UserError."""
    options = _parser().parse_args(arguments)
    try:
        report = _run(options)
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    sys.stdout.write(f'{report}\n')
    return 0


def _run(options: argparse.Namespace) -> str:
    root: Path = options.root
    if options.command in ('chmr', 'dto'):
        split = 'train' if options.command == 'chmr' else 'train_opt'
        return prepare_fits(options.files, root, options.dataset, split)
    if options.command == 'mupots':
        return prepare_mupots(root)
    if options.command == 'hi4d':
        return prepare_hi4d(root, options.split, options.pairs, every_camera=options.every_camera)
    pictures = len(open_annotations(options.dataset, options.split, root))
    return f'{options.dataset} {options.split}: {pictures} pictures, mapped'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training.prepare',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--root', type=Path, default=Path('data'), help='folder of the data')
    commands = parser.add_subparsers(dest='command', required=True)
    for name, text in (
        ('chmr', "CameraHMR's *-release.npz to *_CHMR_SMPL.npz"),
        ('dto', "DTO-Humans' *opt*.npz to *_CHMR_SMPL_OPT.npz"),
    ):
        fits = commands.add_parser(name, help=text, parents=[common])
        fits.add_argument('dataset', choices=FITTED)
        fits.add_argument('files', nargs='+', type=Path, metavar='FILE.npz')
    commands.add_parser(
        'mupots', help='annot.mat and occlusion.mat to mupots_annots.npz', parents=[common]
    )
    hi4d = commands.add_parser(
        'hi4d', help='cameras, smpl and meta files to hi4d_smpl_*.npz', parents=[common]
    )
    hi4d.add_argument('split', choices=('train', 'val', 'test'))
    hi4d.add_argument('pairs', nargs='+', metavar='PAIR', help='folders below ROOT/hi4d')
    hi4d.add_argument(
        '--every-camera', action='store_true', help='not just the one that the release names'
    )
    mapped = commands.add_parser(
        'map', help='do the one-time conversion to mapped arrays now', parents=[common]
    )
    mapped.add_argument('dataset')
    mapped.add_argument('split')
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
