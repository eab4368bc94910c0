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

"""The one-time conversion of SMPL's pickles to plain arrays."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.body.data import BodyData, load_body
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
import numpy as np


def convert_body(folder: Path) -> list[Path]:
    """
    Write every SMPL_*.pkl in `folder` (or in its folder `smpl`) as an npz beside it.

    The npz holds SMPL's own keys as plain float32 and int64 arrays, the first 10 shapes; it reads
    to the same numbers, from then on without a pickle. Returns the written files. Raises UserError
    where there is nothing to convert, a file is no body, or the folder cannot be written.
    """
    pickles = sorted([*folder.glob('SMPL_*.pkl'), *(folder / 'smpl').glob('SMPL_*.pkl')])
    if not pickles:
        raise UserError(
            f'{folder} should hold SMPL_NEUTRAL.pkl, SMPL_MALE.pkl or SMPL_FEMALE.pkl, but it has '
            'none of them; register at https://smpl.is.tue.mpg.de and put them there.'
        )
    return [_write(load_body(file), file.with_suffix('.npz')) for file in pickles]


def _write(body: BodyData, file: Path) -> Path:
    with written_beside(file) as temporary:
        np.savez(
            temporary,
            v_template=body.v_template,
            shapedirs=body.shapedirs,
            posedirs=body.posedirs,
            J_regressor=body.joint_regressor,
            weights=body.skin_weights,
            f=body.faces,
            kintree_table=np.stack((body.parents, np.arange(len(body.parents)))),
        )
    return file
