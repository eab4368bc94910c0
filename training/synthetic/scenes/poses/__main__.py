"""Makes the library of poses: python -m training.synthetic.scenes.poses --motions FOLDER."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys

import numpy as np

from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from training.synthetic.scenes.pose_library import POSE_LIBRARY
from training.synthetic.scenes.poses.build import make_poses


def main() -> int:
    """Make the library and write it."""
    parser = argparse.ArgumentParser(
        prog='python -m training.synthetic.scenes.poses', description=__doc__
    )
    parser.add_argument('--motions', type=Path, required=True, help='pybullet_data/data/motions')
    parser.add_argument('--out', type=Path, default=POSE_LIBRARY)
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    try:
        _make(options.motions, options.out, options.seed)
    except UserError as error:
        sys.stderr.write(f'{error}\n')
        return 2
    return 0


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
