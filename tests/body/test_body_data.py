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

"""Bodies from folders and files, their checks, and the conversion."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
import shutil

from mahmr_model.body.convert import convert_body
from mahmr_model.body.data import BodyData, find_body, load_body
from mahmr_model.body.joints import JOINT_NAMES_45, SMPL_JOINT_NAMES, SMPL_PARENTS
from mahmr_model.errors import UserError
import numpy as np
import pytest
from smplx.joint_names import SMPLH_JOINT_NAMES
from smplx.vertex_ids import vertex_ids
from smplx.vertex_joint_selector import VertexJointSelector


@pytest.fixture(scope='module')
def body(random_body_folder: Path) -> BodyData:
    return load_body(random_body_folder)


def small_body(vertices: int = 30) -> dict[str, np.ndarray]:
    """Give a whole body in the keys of a single npz, of few vertices."""
    rng = np.random.default_rng(1)
    weights = rng.random((vertices, 24))
    return {
        'v_template': rng.normal(size=(vertices, 3)),
        'shapedirs': rng.normal(size=(vertices, 3, 10)),
        'posedirs': rng.normal(size=(vertices, 3, 207)),
        'J_regressor': rng.random((24, vertices)),
        'weights': weights / weights.sum(1, keepdims=True),
        'f': rng.integers(0, vertices, (50, 3)),
        'kintree_table': np.array([SMPL_PARENTS, range(24)]),
        'kid_template': rng.normal(size=(vertices, 3)),
        'extra_vertex_ids': np.arange(21),
        'mean_pose': np.zeros(144),
        'mean_shape': np.zeros(10),
        'name': np.array('small'),
    }


def assert_equal(first: BodyData, second: BodyData) -> None:
    for field in fields(BodyData):
        if field.name != 'name':
            a, b = getattr(first, field.name), getattr(second, field.name)
            np.testing.assert_array_equal(a, b, err_msg=field.name)


def test_folder_in_smpls_layout_is_read(body: BodyData, random_body_folder: Path) -> None:
    assert body.v_template.shape == (6890, 3)
    assert body.faces.shape == (13776, 3)
    assert tuple(body.parents) == SMPL_PARENTS
    for field in fields(BodyData):
        assert getattr(body, field.name) is not None, field.name
    for name in ('v_template', 'posedirs', 'kid_template', 'mean_pose', 'h36m_regressor'):
        assert getattr(body, name).dtype == np.float32, name
    kid = np.load(random_body_folder / 'smpl_kid_template.npy')
    np.testing.assert_array_equal(body.kid_template, kid.astype(np.float32))
    assert_equal(body, load_body(random_body_folder.parent))


def test_genders_differ(body: BodyData, random_body_folder: Path) -> None:
    male, female = (load_body(random_body_folder, gender) for gender in ('male', 'female'))
    assert np.abs(male.v_template - female.v_template).max() > 0.01
    assert np.abs(male.v_template - body.v_template).max() > 0.01


def test_extra_vertices_are_smplxs(body: BodyData) -> None:
    selector = VertexJointSelector(vertex_ids=vertex_ids['smplh'])
    assert body.extra_vertex_ids.tolist() == selector.extra_joints_idxs.tolist()
    assert list(JOINT_NAMES_45[:22]) == SMPLH_JOINT_NAMES[:22]
    assert (
        list(JOINT_NAMES_45[24:])
        == SMPLH_JOINT_NAMES[slice(SMPLH_JOINT_NAMES.index('nose'), None)]
    )
    assert len(SMPL_JOINT_NAMES) == len(SMPL_PARENTS) == 24


def test_single_npz_holds_everything(tmp_path: Path) -> None:
    arrays = small_body()
    np.savez(tmp_path / 'free.npz', **arrays)
    body = load_body(tmp_path / 'free.npz', 'female')
    assert body.name == 'small'
    assert body.extra_vertex_ids.tolist() == list(range(21))
    assert body.h36m_regressor is None
    np.testing.assert_allclose(body.kid_template, arrays['kid_template'], rtol=1e-6)


def test_first_ten_of_many_shapes_are_taken(tmp_path: Path) -> None:
    arrays = small_body()
    many = np.random.default_rng(0).normal(size=(30, 3, 300))
    np.savez(tmp_path / 'many.npz', **{**arrays, 'shapedirs': many})
    read = load_body(tmp_path / 'many.npz').shapedirs
    np.testing.assert_array_equal(read, many[..., :10].astype(np.float32))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('v_template', np.full((30, 3), np.nan), 'v_template should be numbers'),
        ('v_template', np.zeros((29, 3)), 'shapedirs should have the shape'),
        ('v_template', np.zeros(()), 'is no usable body'),
        ('v_template', np.array(['a']), 'is no usable body'),
        ('shapedirs', np.zeros((30, 3, 4)), r'\(30, 3, 10\)'),
        ('posedirs', np.zeros((30, 3, 135)), r'\(30, 3, 207\)'),
        ('J_regressor', np.zeros((52, 30)), r'joint_regressor.*\(24, 30\)'),
        ('weights', np.zeros((30, 24)), 'should sum to 1'),
        ('f', np.full((5, 3), 30), 'faces should number its 30 vertices'),
        ('f', np.full((5, 3), -1), 'faces should number its 30 vertices'),
        ('f', np.zeros((0, 3)), 'faces'),
        ('extra_vertex_ids', np.arange(20, 41), 'extra_vertex_ids should number'),
        ('extra_vertex_ids', np.arange(20), r'\(21,\)'),
        ('kintree_table', np.zeros((2, 52)), r'parents.*\(24,\)'),
        ('kintree_table', np.zeros((2, 24)), 'should hang on each other'),
        ('kid_template', np.zeros((31, 3)), 'kid_template'),
        ('mean_pose', np.zeros(72), r'mean_pose.*\(144,\)'),
        ('mean_shape', np.array([object()]), 'should hold plain arrays'),
    ],
)
def test_what_is_no_body_is_refused(
    tmp_path: Path, key: str, value: np.ndarray, message: str
) -> None:
    np.savez(tmp_path / 'bad.npz', **{**small_body(), key: value})
    with pytest.raises(UserError, match=message) as error:
        load_body(tmp_path / 'bad.npz')
    assert 'bad.npz' in str(error.value)


def test_npz_without_an_array_or_cut_off_is_refused(tmp_path: Path) -> None:
    arrays = small_body()
    del arrays['posedirs'], arrays['weights']
    file = tmp_path / 'bad.npz'
    np.savez(file, **arrays)
    with pytest.raises(UserError, match='lacks posedirs, weights'):
        load_body(file)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match='should hold plain arrays'):
        load_body(file)


def test_smpls_vertices_do_not_fit_a_smaller_body(tmp_path: Path) -> None:
    arrays = small_body()
    del arrays['extra_vertex_ids']
    np.savez(tmp_path / 'bad.npz', **arrays)
    with pytest.raises(UserError, match='extra_vertex_ids should number its 30 vertices'):
        load_body(tmp_path / 'bad.npz')


def test_damaged_side_file_is_named(tmp_path: Path) -> None:
    arrays = small_body()
    del arrays['mean_pose']
    np.savez(tmp_path / 'SMPL_NEUTRAL.npz', **arrays)
    (tmp_path / 'smpl_mean_params.npz').write_bytes(b'nothing')
    with pytest.raises(UserError, match=r'smpl_mean_params\.npz should hold plain arrays'):
        load_body(tmp_path)
    np.savez(tmp_path / 'smpl_mean_params.npz', cam=np.zeros(3))
    with pytest.raises(UserError, match=r'smpl_mean_params\.npz should hold mean_pose'):
        load_body(tmp_path)


def test_find_body_looks_in_every_weights_folder(tmp_path: Path) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    (second / 'smpl_data' / 'smpl').mkdir(parents=True)
    with pytest.raises(UserError, match=r'https://smpl\.is\.tue\.mpg\.de') as error:
        find_body(None, [first, second])
    for folder in (first, second):
        for end in ('npz', 'pkl'):
            place = folder / 'smpl_data' / 'smpl' / f'SMPL_NEUTRAL.{end}'
            assert str(place) in str(error.value)
    assert 'open body' in str(error.value)
    np.savez(second / 'smpl_data' / 'smpl' / 'SMPL_NEUTRAL.npz', **small_body())
    assert load_body(find_body(None, [first, second])).name == 'small'
    with pytest.raises(UserError, match='MALE'):
        load_body(find_body(None, [first, second]), 'male')


def test_explicit_body_is_the_only_one_looked_for(tmp_path: Path) -> None:
    (tmp_path / 'smpl_data').mkdir()
    np.savez(tmp_path / 'smpl_data' / 'SMPL_NEUTRAL.npz', **small_body())
    asked = tmp_path / 'mine.npz'
    with pytest.raises(UserError, match=f'there is none of {asked};'):
        find_body(asked, [tmp_path])
    np.savez(asked, **small_body())
    assert find_body(asked, []) == asked


def test_conversion_keeps_the_numbers(
    tmp_path: Path, body: BodyData, random_body_folder: Path
) -> None:
    shutil.copytree(random_body_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'SMPL_MALE.pkl').unlink()
    written = convert_body(tmp_path)
    assert [file.name for file in written] == ['SMPL_FEMALE.npz', 'SMPL_NEUTRAL.npz']
    for file in tmp_path.glob('*.pkl'):
        file.unlink()
    converted = load_body(tmp_path)
    assert_equal(body, converted)
    assert converted.name == 'SMPL_NEUTRAL.npz'


def test_conversion_leaves_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='has none of them'):
        convert_body(tmp_path)
    (tmp_path / 'SMPL_MALE.pkl').write_bytes(b'cut off')
    with pytest.raises(UserError, match=r'SMPL_MALE\.pkl'):
        convert_body(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ['SMPL_MALE.pkl']


def test_a_changed_body_is_checked_again(body: BodyData) -> None:
    with pytest.raises(UserError, match='mean_shape'):
        replace(body, mean_shape=np.zeros(11, np.float32))
