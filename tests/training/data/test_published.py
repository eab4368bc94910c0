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

"""The restricted reader of annotations and the mapped store."""

from __future__ import annotations

import os
from pathlib import Path
import pickle
import time
from typing import Any

from mahmr_model.errors import UserError
import numpy as np
import pytest
import torch
from training.data.annotation import Annotation, Bodies, BrokenSampleError
from training.data.published import read_annotations, read_columns
from training.data.store import stored

RAN: list[str] = []
"""What a hostile pickle managed to run; stays empty."""


def mark(text: str) -> str:
    RAN.append(text)
    return text


class Hostile:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> Any:
        return mark, ('called',)


def write(folder: Path, annots: Any, *, compressed: bool = False) -> Path:
    file = folder / 'annots.npz'
    save = np.savez_compressed if compressed else np.savez
    save(file, annots=np.array(annots, dtype=object))
    return file


@pytest.mark.parametrize('compressed', [False, True])
def test_what_annotations_are_made_of_is_read(tmp_path: Path, compressed: bool) -> None:
    tensor = torch.arange(12.0).reshape(3, 4)
    entry = {
        'floats': np.arange(6, dtype=np.float32).reshape(2, 3),
        'fortran': np.asfortranarray(np.arange(6).reshape(2, 3)),
        'big_endian': np.array([1, 2], '>i4'),
        'bools': np.array([True, False]),
        'scalar': np.float64(2.5),
        'text': 'male',
        'numpy_text': np.str_('female'),
        'texts': np.array(['male', 'female']),
        'objects': np.array([{'a': 1}, None], dtype=object),
        'list': [1, 2.5, None, True, (3,)],
        'tensor': tensor,
        'view': tensor.T[1:],
        'empty': np.zeros((0, 10)),
    }
    [(key, read)] = read_annotations(write(tmp_path, {'a/b.jpg': entry}, compressed=compressed))
    assert key == 'a/b.jpg'
    for name in ('floats', 'fortran', 'big_endian', 'bools', 'scalar', 'empty'):
        np.testing.assert_array_equal(read[name], entry[name])
        assert np.asarray(read[name]).dtype.kind == np.asarray(entry[name]).dtype.kind
    assert read['text'] == 'male'
    assert read['numpy_text'] == 'female'
    assert read['texts'].tolist() == ['male', 'female']
    assert read['objects'] == [{'a': 1}, None]
    assert read['list'] == [1, 2.5, None, True, [3]]
    np.testing.assert_array_equal(read['tensor'], tensor.numpy())
    np.testing.assert_array_equal(read['view'], tensor.T[1:].numpy())


@pytest.mark.parametrize(
    'annots', [{'a': Hostile()}, {'a': [Hostile()]}, Hostile(), {'a': Path('x')}, {'a': os.system}]
)
def test_anything_else_is_refused_before_it_runs(tmp_path: Path, annots: Any) -> None:
    with pytest.raises(UserError, match='is refused: it names'):
        list(read_annotations(write(tmp_path, annots)))
    assert RAN == []


def test_a_tensor_with_a_hostile_storage_is_refused(tmp_path: Path) -> None:
    """Torch pickles storages as calls that would unpickle anything."""

    class Storage:
        """One that is another pickle."""

        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (pickle.dumps(Hostile()),)

    class Tensor:
        """One of such a storage."""

        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (1,), (1,), False, {})

    file = tmp_path / 'annots.npz'
    array = np.empty((), dtype=object)
    array[()] = {'a': Tensor()}
    np.savez(file, annots=array)
    with pytest.raises(UserError, match="'a' does not"):
        list(read_annotations(file))
    assert RAN == []


def test_damaged_and_missing_files_say_so(tmp_path: Path) -> None:
    file = write(tmp_path, {'a': np.zeros(1000)})
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match='damaged or cut off'):
        list(read_annotations(file))
    with pytest.raises(UserError, match='no such annotation file'):
        list(read_annotations(tmp_path / 'none.npz'))
    np.savez(tmp_path / 'other.npz', numbers=np.zeros(3))
    with pytest.raises(UserError, match="should hold the array 'annots'"):
        list(read_annotations(tmp_path / 'other.npz'))
    with pytest.raises(UserError, match='dictionary'):
        list(read_annotations(write(tmp_path, [1, 2])))


def test_columns_are_read_plain_or_pickled(tmp_path: Path) -> None:
    file = tmp_path / 'release.npz'
    names = np.array(['a.jpg', 'b.jpg'], dtype=object)
    np.savez(file, imgname=names, shape=np.ones((2, 10)))
    columns = read_columns(file, ('imgname', 'shape'))
    assert columns['imgname'] == ['a.jpg', 'b.jpg']
    assert columns['shape'].shape == (2, 10)


def bodies(count: int) -> Bodies:
    rng = np.random.default_rng(count)
    return Bodies(
        *(rng.normal(size=(count, *s)) for s in ((72,), (11,), (3,), (3, 3), (3,))),
        tuple(('neutral', 'male', 'female')[i % 3] for i in range(count)),  # type: ignore[misc]
    )


def test_a_store_gives_back_what_it_was_given(tmp_path: Path) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'published')
    given = [
        ('ä/1.jpg', Annotation(Path('ä/1.jpg'), np.eye(3)[None], bodies(2))),
        ('2.jpg', 'the annotation is not as published (KeyError)'),
        ('3.jpg', Annotation(Path('3.jpg'))),
        ('4.jpg', Annotation(Path('4.jpg'), np.stack([np.eye(3)] * 3) * 2, bodies(3))),
    ]
    store = stored(source, 'kind', given)
    assert len(store) == 4
    for index in (0, 3):
        got, expected = store[index], given[index][1]
        assert isinstance(expected, Annotation)
        assert got.picture == expected.picture
        assert got.bodies is not None
        assert expected.bodies is not None
        np.testing.assert_allclose(got.intrinsics, expected.intrinsics)
        np.testing.assert_allclose(got.bodies.betas, expected.bodies.betas, rtol=1e-6)
        np.testing.assert_allclose(
            got.bodies.camera_rotation, expected.bodies.camera_rotation, rtol=1e-6
        )
        assert got.bodies.genders == expected.bodies.genders
    assert len(store[2]) == 0
    assert all(isinstance(column, np.memmap) for column in store._columns.values())
    with pytest.raises(BrokenSampleError, match=r'2\.jpg: .*KeyError'):
        store[1]


def test_a_file_is_converted_once_and_again_when_it_changes(tmp_path: Path) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'1')
    one = ('1.jpg', Annotation(Path('1.jpg'), np.eye(3)[None], bodies(1)))

    def never() -> Any:
        raise AssertionError('converted again')
        yield

    assert len(stored(source, 'kind', [one])) == 1
    assert len(stored(source, 'kind', never())) == 1
    time.sleep(0.01)
    source.write_bytes(b'2')
    assert len(stored(source, 'kind', [one, one])) == 2
    assert len(list(tmp_path.glob('.*.mapped'))) == 1  # the earlier one is gone


def test_a_failed_conversion_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'1')

    def fails() -> Any:
        yield '1.jpg', Annotation(Path('1.jpg'), np.eye(3)[None], bodies(1))
        raise UserError('broken off')

    with pytest.raises(UserError, match='broken off'):
        stored(source, 'kind', fails())
    assert [p.name for p in tmp_path.iterdir()] == ['annots.npz']


def test_a_full_disk_leaves_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'1')

    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'save', full)
    with pytest.raises(UserError, match=r'annots\.npz: .* converted once.*No space left'):
        stored(source, 'kind', [('1.jpg', Annotation(Path('1.jpg')))])
    assert [p.name for p in tmp_path.iterdir()] == ['annots.npz']


def test_a_process_that_is_slower_takes_what_the_faster_one_wrote(tmp_path: Path) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'1')
    one = ('1.jpg', Annotation(Path('1.jpg'), np.eye(3)[None], bodies(1)))

    def slowly() -> Any:
        assert len(stored(source, 'kind', [one])) == 1
        yield one

    assert len(stored(source, 'kind', slowly())) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_annotations_are_for_whoever_the_user_lets_read(tmp_path: Path) -> None:
    source = tmp_path / 'annots.npz'
    source.write_bytes(b'1')
    before = os.umask(0o027)
    try:
        stored(source, 'kind', [('1.jpg', Annotation(Path('1.jpg')))])
    finally:
        os.umask(before)
    [folder] = tmp_path.glob('.*.mapped')
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_folder_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / 'data' / 'annots.npz'
    source.parent.mkdir()
    source.write_bytes(b'1')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    one = ('1.jpg', Annotation(Path('1.jpg'), np.eye(3)[None], bodies(1)))
    assert len(stored(source, 'kind', [one])) == 1
    assert [p.name for p in source.parent.iterdir()] == ['annots.npz']
    assert len(list((tmp_path / 'cache' / 'mahmr').glob('*/.*.mapped'))) == 1
