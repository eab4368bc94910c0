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
Compare this implementation with golden numbers of the published code.

    python tests/golden/check.py FILE.npz …

Everything about a case comes from the file: configuration and seed from its `meta_json`, pictures,
replaced weights. Prints the largest error of each group in units of its tolerance and ends with 1
where one is over. Tolerances are those of README.md beside this script.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
import importlib
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

Errors = Iterator[tuple[str, float]]
Check = Callable[[Mapping[str, np.ndarray], Mapping[str, Any]], Errors]

LAYOUTS = {
    'total': 'check_train',
    'out/pred_poses': 'check_network',
    'relative_human/report': 'check_metrics',
    'raw/poses': 'check_augmentation',
}
"""An array that only this layout has (the first that a file has counts), and who checks it."""


def check_file(path: Path) -> list[tuple[str, float]]:
    """Check one golden file: every number's largest error in units of its tolerance."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays.pop('meta_json', '{}')))
    for telling, name in LAYOUTS.items():
        if telling in arrays:
            check: Check = getattr(importlib.import_module(name), name)
            return list(check(arrays, meta))
    raise SystemExit(f'{path}: not a layout that this script knows.')


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
            print(f'  {name:<40} {error:12.4g} of its tolerance  {verdict}')
    return int(failed)


if __name__ == '__main__':
    raise SystemExit(main())
