"""
SMPL's own pickles, read without running anything that they name.

SMPL's official files hold `chumpy` objects, a package that no longer imports, and SciPy matrices.
Here every name in a pickle must be on a list, and even then it only becomes an inert record of
what it was called with; numbers are made from those records afterwards, for the wanted keys only.
"""

from __future__ import annotations

import io
from pathlib import Path
import pickle
import re
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse

from mahmr_model.errors import UserError

Numbers = npt.NDArray[Any]

_ADMITTED = {
    'numpy': {'dtype', 'ndarray'},
    'numpy.core.multiarray': {'_reconstruct', 'scalar'},
    'numpy._core.multiarray': {'_reconstruct', 'scalar'},
    'numpy.core.numeric': {'_frombuffer'},
    'numpy._core.numeric': {'_frombuffer'},
    'copy_reg': {'_reconstructor'},
    'copyreg': {'_reconstructor'},
    '_codecs': {'encode'},
    '__builtin__': {'bytes', 'object', 'set'},
    'builtins': {'bytes', 'object', 'set'},
}
_SPARSE = re.compile(r'scipy\.sparse\._?(csc|csr|coo) \1_(matrix|array)')
_CHUMPY = re.compile(r'chumpy(\.\w+)* \w+')
_NUMERIC = re.compile(r'[biuf][1248]')


class _Record:
    """What a pickle said about one object: a name, the arguments, the state. It does nothing."""

    source = ''
    arguments: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *arguments: Any) -> _Record:
        record = super().__new__(cls)
        record.arguments = arguments
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        source = f'{module} {name}'
        known = name in _ADMITTED.get(module, ()) or _SPARSE.fullmatch(source)
        if not known and not _CHUMPY.fullmatch(source):
            raise UserError(
                f'it names {module}.{name}, which has no place in a body; nothing of it was run, '
                'and the file should be thrown away unless you know why it is there'
            )
        # A new class each time: whatever a pickle does to it dies with the pickle.
        return type('_NamedRecord', (_Record,), {'source': name})


def read_pickle(path: Path, keys: tuple[str, ...]) -> dict[str, Numbers]:
    """
    Read the arrays under `keys` from a pickled dictionary, such as SMPL_NEUTRAL.pkl.

    Arrays of numpy, SciPy's csc, csr and coo matrices (made dense) and chumpy's plain and selected
    arrays are understood, from Python 2 and 3. Keys that the file lacks are left out. Raises
    UserError, before anything has run, where the file names anything else, and where it is no
    pickle, cut off, or holds something other than numbers under a wanted key.
    """
    try:
        content = _InertUnpickler(io.BytesIO(path.read_bytes()), encoding='latin1').load()
    except UserError as error:
        raise UserError(f'{path} is refused: {error}.') from None
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
    if not isinstance(value, _Record):
        raise ValueError(f'a {type(value).__name__}')
    name, arguments, state = value.source, value.arguments, value.state
    if name == '_reconstructor':  # Python 2's protocols 0 and 1: (class, base, state of the base)
        name, arguments = arguments[0].source, ()
    if name == '_reconstruct':
        shape, dtype, fortran, data = state[-4:]
        flat = np.frombuffer(_bytes(data), _dtype(dtype))
        return flat.reshape(_shape(shape), order='F' if fortran else 'C')
    if name == '_frombuffer':
        data, dtype, shape, order = arguments
        return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(_shape(shape), order=order)
    if name == 'scalar':
        return np.frombuffer(_bytes(arguments[1]), _dtype(arguments[0])).reshape(())
    if _SPARSE.fullmatch(f'scipy.sparse.{name[:3]} {name}'):
        return _sparse(name[:3], state)
    if name == 'Ch':
        return _numbers(state['x'])
    if name == 'Select':  # what chumpy makes of array[index]
        picked = _numbers(state['a']).ravel()[_numbers(state['idxs'])]
        shape = state.get('preferred_shape')
        return picked if shape is None else picked.reshape(_shape(shape))
    raise ValueError(f'{name}, which is not an array that can be read without computing')


def _sparse(kind: str, state: dict[str, Any]) -> Numbers:
    shape = _shape(state['_shape' if '_shape' in state else 'shape'])
    data = _numbers(state['data'])
    if kind == 'coo':
        row, column = state['coords'] if 'coords' in state else (state['row'], state['col'])
        matrix = scipy.sparse.coo_array((data, (_numbers(row), _numbers(column))), shape=shape)
    else:
        make = scipy.sparse.csc_array if kind == 'csc' else scipy.sparse.csr_array
        matrix = make((data, _numbers(state['indices']), _numbers(state['indptr'])), shape=shape)
        matrix.check_format()  # compiled code trusts the indices afterwards
    return cast('Numbers', matrix.toarray())


def _dtype(record: Any) -> np.dtype[Any]:
    """Turn dtype('f8', …) with the state (version, byte order, …) into the type, if of numbers."""
    code = record.arguments[0]
    if record.source != 'dtype' or not _NUMERIC.fullmatch(code):
        raise ValueError(f'elements of the type {code!r}')
    order = record.state[1] if record.state else '='
    dtype: np.dtype[Any] = np.dtype(code).newbyteorder(order)
    return dtype


def _bytes(value: Any) -> bytes:
    """Turn what a pickle uses for bytes into bytes: Python 2's strings, Python 3's encode(…)."""
    if isinstance(value, _Record) and value.source == 'encode':
        value = value.arguments[0]
    if isinstance(value, _Record) and value.source == 'bytes':
        value = b''
    if isinstance(value, str):
        value = value.encode('latin1')
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f'a {type(value).__name__} in the place of bytes')
    return bytes(value)


def _shape(numbers: Any) -> tuple[int, ...]:
    return tuple(int(_numbers(n)) for n in numbers)


def _checked(array: Numbers) -> Numbers:
    if array.dtype.kind not in 'biuf':
        raise ValueError(f'elements of the type {array.dtype}')
    return array
