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
Pickles read without running anything that they name.

Every name in a pickle must be admitted by whoever reads it, and even then it only becomes an inert
record of what it was called with; arrays are made from those records afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
import pickle
import re
from typing import Any, IO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_NUMPY = {
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
_ELEMENTS = re.compile(r'[biuf][1248]')
_TEXT = re.compile(r'[US][1-9]\d{0,4}')


class RefusedError(Exception):
    """A pickle names what has no place in it; nothing of it was run."""


class Record:
    """What a pickle said about one object: a name, the arguments, the state. It does nothing."""

    __slots__ = ('arguments', 'state')
    source = ''
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> Record:
        """Keep the arguments."""
        record = super().__new__(cls)
        record.arguments = arguments
        record.state = None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def name(self) -> str:
        """Return the class or function; what Python 2's protocols 0 and 1 wrap is unwrapped."""
        if self.source == '_reconstructor':  # (class, base, state of the base)
            return str(self.arguments[0].source)
        return self.source


class InertUnpickler(pickle.Unpickler):
    """Reads a pickle in which NumPy's names, and those that `admits`, become records."""

    def __init__(self, stream: IO[bytes], admits: Callable[[str, str], bool]) -> None:
        super().__init__(stream, encoding='latin1')
        self._admits = admits

    def find_class(self, module: str, name: str) -> type[Record]:
        """Return a class of records; raises RefusedError for a name that is not admitted."""
        if name not in _NUMPY.get(module, ()) and not self._admits(module, name):
            raise RefusedError(f'it names {module}.{name}')
        # A new class each time: whatever a pickle does to it dies with the pickle.
        return type('_NamedRecord', (Record,), {'source': name, '__slots__': ()})


def array_of(record: Record, *, text: bool = False) -> Array | None:
    """
    Return the array of numbers (or of `text`) that a record of NumPy's is; None if it is none.

    Raises ValueError and its like where the record is damaged or of other elements.
    """
    name, arguments, state = record.name, record.arguments, record.state
    if name == '_reconstruct':
        shape, dtype, fortran, data = state[-4:]
        flat = np.frombuffer(bytes_of(data), _dtype(dtype, text))
        return flat.reshape(shape_of(shape), order='F' if fortran else 'C')
    if name == '_frombuffer':
        data, dtype, shape, order = arguments
        return np.frombuffer(bytes_of(data), _dtype(dtype, text)).reshape(
            shape_of(shape), order=order
        )
    if name == 'scalar':
        return np.frombuffer(bytes_of(arguments[1]), _dtype(arguments[0], text)).reshape(())
    return None


def objects_of(record: Record) -> list[Any] | None:
    """Return the elements of an array of objects, row by row; None if the record is none."""
    if record.source != '_reconstruct' or not record.state:
        return None
    _, dtype, fortran, data = record.state[-4:]
    if dtype.source != 'dtype' or not str(dtype.arguments[0]).startswith('O'):
        return None
    if fortran or not isinstance(data, list):
        raise ValueError('an array of objects in an order that is not understood')
    return data


def bytes_of(value: Any) -> bytes:
    """Turn what a pickle uses for bytes into bytes: Python 2's strings, Python 3's encode(…)."""
    if isinstance(value, Record) and value.source == 'encode':
        value = value.arguments[0]
    if isinstance(value, Record) and value.source == 'bytes':
        value = b''
    if isinstance(value, str):
        value = value.encode('latin1')
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(f'a {type(value).__name__} in the place of bytes')
    return bytes(value)


def shape_of(numbers: Any) -> tuple[int, ...]:
    """Turn what a pickle says of a shape into one."""
    return tuple(int(_whole(n)) for n in numbers)


def _whole(value: Any) -> Any:
    return array_of(value) if isinstance(value, Record) else value


def _dtype(record: Any, text: bool) -> np.dtype[Any]:
    """Turn dtype('f8', …) with the state (version, byte order, …) into the type, if admitted."""
    code = record.arguments[0]
    admitted = record.source == 'dtype' and (
        _ELEMENTS.fullmatch(code) or (text and _TEXT.fullmatch(code))
    )
    if not admitted:
        raise ValueError(f'elements of the type {code!r}')
    dtype: np.dtype[Any] = np.dtype(code).newbyteorder(record.state[1] if record.state else '=')
    return dtype
