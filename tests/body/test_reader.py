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

"""The restricted reader: what it reads, and that nothing a pickle names is ever run."""

from __future__ import annotations

import os
from pathlib import Path
import pickle
import sys
import types
from typing import Any

from mahmr_model.body.reader import read_pickle
from mahmr_model.errors import UserError
import numpy as np
import pytest
import scipy.sparse as sparse

RNG = np.random.default_rng(0)
RAN: list[str] = []
"""What a hostile pickle managed to run; stays empty."""


class Holder:
    """Stands in for chumpy's classes while the test writes its pickles."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


class Reduced:
    """Pickles as a call of anything."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def mark(text: str = 'called') -> str:
    RAN.append(text)
    return text


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Give classes that pickle as chumpy's; the modules are gone once `forget` was called."""
    classes = {}
    for module_name, name in (('chumpy.ch', 'Ch'), ('chumpy.reordering', 'Select')):
        module = types.ModuleType(module_name)
        classes[name] = type(name, (Holder,), {'__module__': module_name})
        setattr(module, name, classes[name])
        monkeypatch.setitem(sys.modules, module_name, module)
    monkeypatch.setitem(sys.modules, 'chumpy', types.ModuleType('chumpy'))
    return types.SimpleNamespace(**classes, forget=monkeypatch.undo)


def write(folder: Path, content: Any, protocol: int = 2) -> Path:
    file = folder / 'body.pkl'
    file.write_bytes(pickle.dumps(content, protocol))
    return file


@pytest.mark.parametrize('protocol', range(6))
def test_chumpy_and_sparse_arrays_are_read(
    tmp_path: Path, chumpy: types.SimpleNamespace, protocol: int
) -> None:
    plain, fortran = RNG.normal(size=(5, 3)), np.asfortranarray(RNG.normal(size=(4, 3)))
    regressor = sparse.random(6, 9, 0.3, random_state=0)
    inner = chumpy.Ch(x=plain, _dirty_vars={'x'}, _itr=None, name='v')
    content = {
        'ch': inner,
        'select': chumpy.Select(a=inner, idxs=np.arange(14, 2, -1), preferred_shape=(2, 6)),
        'flat': chumpy.Select(a=inner, idxs=np.array([3, 1])),
        'fortran': fortran,
        'faces': np.arange(6, dtype='>u4').reshape(2, 3),
        'scalar': np.float64(2.5),
        'number': 3,
        'csc': regressor.tocsc(),
        'csr': sparse.csr_array(regressor),
        'coo': regressor.tocoo(),
        'style': 'lbs',
        'unused': np.array([None, 'x'], dtype=object),
    }
    file = write(tmp_path, content, protocol)
    chumpy.forget()
    assert 'chumpy' not in sys.modules
    wanted = {
        'ch': plain,
        'select': plain.ravel()[14:2:-1].reshape(2, 6),
        'flat': plain.ravel()[[3, 1]],
        'fortran': fortran,
        'faces': np.arange(6).reshape(2, 3),
        'scalar': 2.5,
        'number': 3,
        'csc': regressor.toarray(),
        'csr': regressor.toarray(),
        'coo': regressor.toarray(),
    }
    read = read_pickle(file, (*wanted, 'absent'))
    assert read.keys() == wanted.keys()
    for key, array in wanted.items():
        np.testing.assert_array_equal(read[key], array, err_msg=key)


def test_a_chumpy_that_is_installed_is_left_alone(
    tmp_path: Path, chumpy: types.SimpleNamespace
) -> None:
    file = write(tmp_path, {'x': chumpy.Ch(x=np.ones(2))})
    chumpy.Ch.__setstate__ = lambda self, state: mark()
    assert read_pickle(file, ('x',))['x'].tolist() == [1, 1]
    assert not RAN


def test_old_module_paths_are_read(tmp_path: Path) -> None:
    """Numpy before 2 and SciPy before 1.8 had no underscores in their modules' names."""
    matrix = sparse.csc_matrix(np.diag([1.0, 2, 3]))
    raw = pickle.dumps({'m': matrix, 'a': np.arange(3)}, protocol=2)
    old = raw.replace(b'numpy._core', b'numpy.core').replace(b'sparse._csc', b'sparse.csc')
    old = old.replace(b'X\x06\x00\x00\x00_shape', b'X\x05\x00\x00\x00shape')
    assert old.count(b'numpy.core') == raw.count(b'numpy._core') > 0
    assert b'shape' in old
    assert b'_shape' not in old
    file = tmp_path / 'body.pkl'
    file.write_bytes(old)
    read = read_pickle(file, ('m', 'a'))
    np.testing.assert_array_equal(read['m'], np.diag([1.0, 2, 3]))
    np.testing.assert_array_equal(read['a'], [0, 1, 2])


def test_python_2_text_pickle_is_read(tmp_path: Path) -> None:
    """The official files are of Python 2: byte strings, and `copy_reg` makes the objects."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nt"
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?\\x00\\x00\\x00\\x00\\x00\\x00\\x04\\xc0'\ntb"
    )
    chumpy = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\n"
    file = tmp_path / 'body.pkl'
    file.write_bytes(b"(dS'a'\n" + array + b"sS'ch'\n" + chumpy + array + b'sbs.')
    read = read_pickle(file, ('a', 'ch'))
    assert read['a'].tolist() == [1.0, -2.5]
    assert read['ch'].tolist() == [1.0, -2.5]


def hostile_pickles() -> dict[str, tuple[Any, str]]:
    from numpy.testing._private.utils import runstring

    return {
        'os.system': (Reduced(os.system, 'touch HERE'), 'system'),
        'eval': (Reduced(eval, "open('HERE', 'w')"), 'eval'),
        'open': (Reduced(open, 'HERE', 'w'), 'open'),
        'function of the test': (Reduced(mark), 'mark'),
        'numpy that runs text': (Reduced(runstring, "open('HERE', 'w')", {}), 'runstring'),
        'numpy.save': (Reduced(np.save, 'HERE', np.ones(1)), 'numpy.save'),
        'getattr': (Reduced(getattr, np.ndarray, 'tofile'), 'getattr'),
        'inside an array': (np.array([Reduced(mark)], dtype=object), 'mark'),
        'inside a state': ({'x': [Holder(x=Reduced(mark))]}, 'Holder'),
        'inside an argument': (Reduced(np.dtype, Reduced(mark)), 'mark'),
    }


@pytest.mark.parametrize('case', hostile_pickles())
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_hostile_pickles_are_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    content, name = hostile_pickles()[case]
    file = write(tmp_path, {'v_template': content}, protocol)
    with pytest.raises(UserError, match=rf'body\.pkl is refused.*{name}'):
        read_pickle(file, ('v_template',))
    assert os.listdir(tmp_path) == ['body.pkl']
    assert not RAN


def test_the_hostile_pickles_would_run_elsewhere() -> None:
    pickle.loads(pickle.dumps(np.array([Reduced(mark)], dtype=object)))
    assert RAN == ['called']
    RAN.clear()


def raw_pickle(module: str, name: str, rest: bytes) -> bytes:
    """Write the dictionary {'x': module.name} as opcodes, `rest` done to the name."""
    texts = [b'\x8c' + bytes([len(text)]) + text.encode() for text in ('x', module, name)]
    return b'\x80\x04}' + b''.join(texts) + b'\x93' + rest + b's.'


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('chumpy', 'os.system'),
        ('chumpy.os', 'system'),
        ('chumpy\nos', 'system'),
        ('chumpy..os', 'system'),
        ('numpy', 'ndarray.tofile'),
        ('scipy.sparse._csc', 'csc_matrix.__init__'),
    ],
)
def test_no_admitted_name_leads_further(tmp_path: Path, module: str, name: str) -> None:
    file = tmp_path / 'body.pkl'
    file.write_bytes(raw_pickle(module, name, b')R'))
    with pytest.raises(UserError, match=r'body\.pkl'):
        read_pickle(file, ('x',))


@pytest.mark.parametrize('change', [b'}b', b'N}\x86b', b'}\x8c\x06sourceNsb'])
def test_a_pickle_cannot_change_the_reader(tmp_path: Path, change: bytes) -> None:
    """The opcode that sets an object's state is tried on a class."""
    file = tmp_path / 'body.pkl'
    file.write_bytes(raw_pickle('numpy', 'dtype', change))
    with pytest.raises(UserError, match='damaged'):
        read_pickle(file, ('x',))
    assert read_pickle(write(tmp_path, {'x': np.ones(1)}), ('x',))['x'].tolist() == [1]


@pytest.mark.parametrize(
    'content',
    [
        np.array([1, None], dtype=object),
        np.array(['a']),
        'text',
        None,
        [['a']],
        {'a': 1},
        np.array([(1, 2.0)], dtype='i4,f8'),
        np.datetime64('2020-01-01'),
    ],
)
def test_what_is_no_array_of_numbers_is_an_error(tmp_path: Path, content: Any) -> None:
    file = write(tmp_path, {'weights': content})
    with pytest.raises(UserError, match=r'weights in .*body\.pkl should be an array of numbers'):
        read_pickle(file, ('weights',))


def test_sparse_matrix_that_points_outside_is_an_error(tmp_path: Path) -> None:
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices[1] = 10**6
    with pytest.raises(UserError, match='J_regressor'):
        read_pickle(write(tmp_path, {'J_regressor': matrix}), ('J_regressor',))


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.999])
def test_cut_off_file_is_an_error(tmp_path: Path, share: float) -> None:
    file = write(tmp_path, {'v_template': np.ones((50, 3))})
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(UserError, match=r'body\.pkl should be a pickled body'):
        read_pickle(file, ('v_template',))


@pytest.mark.parametrize('raw', [b'<html>no</html>', b'version https://git-lfs', b'\x89PNG\r\n'])
def test_other_files_are_an_error(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / 'body.pkl'
    file.write_bytes(raw)
    with pytest.raises(UserError, match=r'body\.pkl should be a pickled body'):
        read_pickle(file, ('v_template',))


def test_no_dictionary_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='holds a list'):
        read_pickle(write(tmp_path, [1, 2]), ('v_template',))
    with pytest.raises(UserError, match='cannot be read'):
        read_pickle(tmp_path / 'absent.pkl', ('v_template',))
