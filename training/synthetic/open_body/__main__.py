"""Make the open body: `python -m training.synthetic.open_body [OUT.npz] [--report DIR]`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import sys

import numpy as np

from mahmr_model.errors import UserError
from training.synthetic.open_body.build import Arrays, build

_DEFAULT = Path(__file__).parents[3] / 'mahmr_model' / 'body' / 'open_body.npz'


def main() -> int:
    """Run the command; 2 where the user has something to mend."""
    parser = argparse.ArgumentParser(
        prog='python -m training.synthetic.open_body', description=__doc__
    )
    parser.add_argument('out', nargs='?', type=Path, default=_DEFAULT, help='the file to write')
    parser.add_argument('--seed', type=int, default=0, help='of the people drawn from Anny')
    parser.add_argument('--report', type=Path, help='folder for report.json and pictures')
    options = parser.parse_args()
    try:
        body = build(options.seed)
        _write(options.out, body.arrays)
    except UserError as e:
        sys.stderr.write(f'{e}\n')
        return 2
    return 0


def _write(path: Path, arrays: Arrays) -> None:
    """Write beside the target, then rename: nobody ever sees half a body."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    with part.open('wb') as file:
        np.savez_compressed(file, **arrays)
    os.replace(part, path)


if __name__ == '__main__':
    raise SystemExit(main())
