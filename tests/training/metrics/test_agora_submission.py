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

"""The zip for AGORA's leaderboard."""

from __future__ import annotations

from dataclasses import replace
import io
from pathlib import Path
import pickle
import pickletools
from typing import Any
import zipfile

from mahmr_model.errors import UserError
from metric_cases import people_at
import numpy as np
import pytest
from training.metrics.agora_submission import AgoraSubmission

FIRST, SECOND = 'test/ag_testset_5_00000.png', 'ag_testset_5_00001_1280x720.png'


def written(path: Path, shapes: int = 10) -> dict[str, dict[str, Any]]:
    """Write two people in one picture, one above the threshold in a second; read the zip back."""
    protocol = AgoraSubmission()
    both = people_at([(-1, 0, 5), (1, 0, 5)])
    one = people_at([(0, 0, 5), (1, 0, 5)], [0.9, 0.1])
    for index, (name, people) in enumerate(((FIRST, both), (SECOND, one))):
        betas = np.arange(2.0 * shapes).reshape(2, shapes)
        protocol.update(index, replace(people, betas=betas), name)
    assert protocol.result() == {'pictures': 2, 'predictions': 3}
    protocol.write(path, 0.3)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: pickle.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def test_one_file_for_each_person(tmp_path: Path) -> None:
    files = written(tmp_path / 'agora.zip')
    assert sorted(files) == [
        'predictions/ag_testset_5_00000_personId_0.pkl',
        'predictions/ag_testset_5_00000_personId_1.pkl',
        'predictions/ag_testset_5_00001_personId_0.pkl',
    ]


@pytest.mark.parametrize(('shapes', 'age'), [(10, 'adult'), (11, 'kid')])
def test_content(tmp_path: Path, shapes: int, age: str) -> None:
    person = written(tmp_path / 'agora.zip', shapes)[
        'predictions/ag_testset_5_00000_personId_1.pkl'
    ]
    people = people_at([(-1, 0, 5), (1, 0, 5)])
    params = person['params']
    assert (params['transl'] == np.zeros((1, 3))).all()
    assert params['betas'].tolist() == [list(range(shapes, 2 * shapes))]
    assert params['global_orient'].tolist() == [[72.0, 73, 74]]
    assert params['body_pose'].tolist() == [list(range(75, 144))]
    # pictures of 1280 are looked at, 3840 are asked for
    assert person['joints'] == pytest.approx(3 * people.joints_px[1, :24])
    assert (person['pose2rot'], person['age'], person['num_betas']) == (True, age, shapes)


def test_an_older_numpy_can_read_it(tmp_path: Path) -> None:
    written(tmp_path / 'agora.zip')
    with zipfile.ZipFile(tmp_path / 'agora.zip') as archive:
        for name in archive.namelist():
            operations = list(pickletools.genops(archive.read(name)))
            texts = {arg for _, arg, _ in operations if isinstance(arg, str)}
            assert 'numpy' in texts
            assert not any('_core' in text for text in texts)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / 'agora.zip'
    path.write_bytes(b'old')
    protocol = AgoraSubmission()
    protocol.update(0, people_at([(0, 0, 5)]), FIRST)

    def full(*_: object) -> None:
        raise OSError('No space left on device')

    monkeypatch.setattr(zipfile.ZipFile, 'writestr', full)
    with pytest.raises(UserError, match='No space'):
        protocol.write(path, 0.3)
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]
