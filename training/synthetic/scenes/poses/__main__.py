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
Makes the library of poses, and sheets of it to look at.

    python -m training.synthetic.scenes.poses --motions FOLDER     makes it anew
    python -m training.synthetic.scenes.poses --sheet poses.jpg    draws what there is
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
import numpy as np
from training.synthetic.scenes.pose_library import POSE_LIBRARY, read_library
from training.synthetic.scenes.poses.build import make_poses
from training.synthetic.scenes.poses.pictures import write_sheet


def main(arguments: list[str] | None = None) -> int:
    """Make the library, draw it, or both; return 0, or 2 after a UserError."""
    options = _parser().parse_args(arguments)
    try:
        if options.motions is None and options.sheet is None:
            raise UserError(
                'Say what to do: --motions FOLDER makes poses, --sheet FILE draws them.'
            )
        if options.motions is not None:
            _make(options.motions, options.out, options.seed)
        if options.sheet is not None:
            write_sheet(options.sheet, read_library(options.out), options.columns)
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training.synthetic.scenes.poses',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--motions', type=Path, help="pybullet's pybullet_data/data/motions")
    parser.add_argument('--out', type=Path, default=POSE_LIBRARY, help='the library, an npz')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--sheet', type=Path, help='a .jpg with some poses of every kind')
    parser.add_argument('--columns', type=int, default=10, help='poses of a kind on the sheet')
    return parser


def _make(motions: Path, out: Path, seed: int) -> None:
    poses, categories, lifts = make_poses(motions, seed)
    names = sorted(set(categories))
    numbers = np.array([names.index(c) for c in categories], np.uint8)
    with written_beside(out) as part:
        np.savez_compressed(
            part,
            rotvecs=poses.astype(np.float16),
            lifts_m=lifts.astype(np.float16),
            category=numbers,
            category_names=np.array(names),
        )
    for number, name in enumerate(names):
        sys.stdout.write(f'{name}: {int((numbers == number).sum())}\n')


if __name__ == '__main__':
    sys.exit(main())
