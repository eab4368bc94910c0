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
SMPL's own pickles, read without running anything that they name.

SMPL's official files hold `chumpy` objects, a package that no longer imports, and SciPy matrices.
They are read as inert records (see `inert_pickle`), from which numbers are made afterwards, for
the wanted keys only.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
import re
from typing import Any, cast

from mahmr_model.errors import UserError
from mahmr_model.inert_pickle import array_of, InertUnpickler, Record, RefusedError, shape_of
import numpy as np
import numpy.typing as npt
import scipy.sparse

Numbers = npt.NDArray[Any]

_MOST_NUMBERS = 50_000_000
"""In a matrix that is made dense; SMPL's joint regressor has 165,360."""
_SPARSE = re.compile(r'scipy\.sparse\._?(csc|csr|coo) \1_(matrix|array)')
_CHUMPY = re.compile(r'chumpy(\.\w+)* \w+')


def _admits(module: str, name: str) -> bool:
    source = f'{module} {name}'
    return bool(_SPARSE.fullmatch(source) or _CHUMPY.fullmatch(source))


def read_pickle(path: Path, keys: tuple[str, ...]) -> dict[str, Numbers]:
    """
    Read the arrays under `keys` from a pickled dictionary, such as SMPL_NEUTRAL.pkl.

    Arrays of numpy, SciPy's csc, csr and coo matrices (made dense) and chumpy's plain and selected
    arrays are understood, from Python 2 and 3. Keys that the file lacks are left out. Raises
    UserError, before anything has run, where the file names anything else, and where it is no
    pickle, cut off, or holds something other than numbers under a wanted key.
    """
    try:
        content = InertUnpickler(io.BytesIO(path.read_bytes()), _admits).load()
    except RefusedError as error:
        raise UserError(
            f'{path} is refused: {error}, which has no place in a body; nothing of it was run, '
            'and the file should be thrown away unless you know why it is there.'
        ) from None
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror}); check the file.') from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UserError(
            f'{path} should be a pickled body, but it is damaged, cut off or no pickle at all '
            f'({type(error).__name__}: {error}); download it again.'
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path} should hold a dictionary of arrays, but it holds a {type(content).__name__}.'
        )
    return {key: _named_numbers(path, key, content[key]) for key in keys if key in content}


def _named_numbers(path: Path, key: str, value: Any) -> Numbers:
    try:
        return _numbers(value)
    except Exception as error:  # the parts of a hostile record may be of any kind
        raise UserError(
            f'{key} in {path} should be an array of numbers, but it cannot be read as one '
            f'({type(error).__name__}: {error}); use the file as it was downloaded.'
        ) from error


def _numbers(value: Any) -> Numbers:
    """Turn an array's record into the array."""
    if isinstance(value, (bool, int, float, list, tuple)):
        return _checked(np.asarray(value))
    if not isinstance(value, Record):
        raise ValueError(f'a {type(value).__name__}')
    array = array_of(value)
    if array is not None:
        return array
    name, state = value.name, value.state
    if _SPARSE.fullmatch(f'scipy.sparse.{name[:3]} {name}'):
        return _sparse(name[:3], state)
    if name == 'Ch':
        return _numbers(state['x'])
    if name == 'Select':  # what chumpy makes of array[index]
        picked = _numbers(state['a']).ravel()[_numbers(state['idxs'])]
        shape = state.get('preferred_shape')
        return picked if shape is None else picked.reshape(shape_of(shape))
    raise ValueError(f'{name}, which is not an array that can be read without computing')


def _sparse(kind: str, state: dict[str, Any]) -> Numbers:
    shape = shape_of(state['_shape' if '_shape' in state else 'shape'])
    if math.prod(shape) > _MOST_NUMBERS:
        raise ValueError(f'a matrix of the shape {shape}')
    data = _numbers(state['data'])
    if kind == 'coo':
        row, column = state['coords'] if 'coords' in state else (state['row'], state['col'])
        matrix = scipy.sparse.coo_array((data, (_numbers(row), _numbers(column))), shape=shape)
    else:
        make = scipy.sparse.csc_array if kind == 'csc' else scipy.sparse.csr_array
        matrix = make((data, _numbers(state['indices']), _numbers(state['indptr'])), shape=shape)
        matrix.check_format()  # compiled code trusts the indices afterwards
    return cast('Numbers', matrix.toarray())


def _checked(array: Numbers) -> Numbers:
    if array.dtype.kind not in 'biuf':
        raise ValueError(f'elements of the type {array.dtype}')
    return array
