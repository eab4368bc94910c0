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
The published annotation files, read without running anything that they name.

They are npz archives of pickled dictionaries. Plain arrays are read as such; pickled ones become
inert records (`mahmr_model.inert_pickle`), from which dictionaries, lists, texts and arrays of
NumPy and torch are made. A file that names anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
import io
from pathlib import Path
from typing import Any
import zipfile

from mahmr_model.errors import UserError
from mahmr_model.inert_pickle import array_of, InertUnpickler, objects_of, Record, RefusedError
import numpy as np
import torch

_TORCH = {
    ('torch._utils', '_rebuild_tensor_v2'),
    ('torch.storage', '_load_from_bytes'),
    ('collections', 'OrderedDict'),
}


def _admits(module: str, name: str) -> bool:
    return (module, name) in _TORCH


def read_annotations(path: Path) -> Iterator[tuple[str, Any]]:
    """
    Yield each key of the dictionary `annots` of an npz, and its value made of plain things.

    Raises UserError where the file is damaged, names what it should not, or holds none.
    """
    annots = _read_member(path, 'annots')
    if isinstance(annots, Record):
        items = objects_of(annots)
        annots = items[0] if items and len(items) == 1 else None
    if not isinstance(annots, dict):
        raise UserError(
            f'{path} should hold a dictionary `annots`, but does not; use the file as published.'
        )
    for key, value in annots.items():
        try:
            yield str(key), plain(value)
        except Exception as error:  # the parts of a hostile record may be of any kind
            raise UserError(
                f'{path} should hold numbers and texts, but {key!r} does not '
                f'({type(error).__name__}: {error}); use the file as published.'
            ) from error


def read_columns(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return arrays of an npz, or lists where it holds arrays of objects; raises UserError."""
    members = {name: _read_member(path, name) for name in names}
    return {
        name: plain(member) if isinstance(member, Record) else member
        for name, member in members.items()
    }


def plain(value: Any) -> Any:
    """Return what a pickle's content stands for, of dictionaries, lists, texts and arrays."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if not isinstance(value, Record):
        raise ValueError(f'a {type(value).__name__}')
    objects = objects_of(value)
    if objects is not None:
        shape = value.state[-4]
        return plain(objects[0]) if len(shape) == 0 else [plain(item) for item in objects]
    array = array_of(value, text=True)
    if array is not None:
        return str(array) if array.dtype.kind in 'US' and array.ndim == 0 else array
    if value.name == '_rebuild_tensor_v2':
        return _tensor(value)
    raise ValueError(f'{value.name}, which is no array')


def _tensor(record: Record) -> np.ndarray:
    """Return the array of a pickled tensor."""
    stored, offset, size, stride = record.arguments[:4]
    if not isinstance(stored, Record) or stored.name != '_load_from_bytes':
        raise ValueError('a tensor without its numbers')
    # The published way of pickling a storage holds a file of torch.save, to be trusted no more.
    storage = torch.load(io.BytesIO(stored.arguments[0]), map_location='cpu', weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage, offset, size, stride).numpy()


def _read_member(path: Path, name: str) -> Any:
    """Read an array of an npz, a pickled one as its record."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f'{name}.npy') as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            _, _, dtype = read_header(stream)
            if dtype.hasobject:
                return InertUnpickler(stream, _admits).load()
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]
    except FileNotFoundError as error:
        raise UserError(f'{path}: there is no such annotation file; check the path.') from error
    except RefusedError as error:
        raise UserError(
            f'{path} is refused: {error}, which has no place in annotations; nothing of it was '
            'run, and the file should be thrown away unless you know why it is there.'
        ) from None
    except KeyError as error:
        raise UserError(
            f'{path} should hold the array {name!r}, but it does not; use the file as published.'
        ) from error
    except Exception as error:  # a damaged archive or pickle can raise nearly anything
        raise UserError(
            f'{path} should be an npz of annotations, but it is damaged or cut off '
            f'({type(error).__name__}: {error}); get it again.'
        ) from error
