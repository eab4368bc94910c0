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

"""Nothing half-written under its own name, and nothing finished thrown away."""

from __future__ import annotations

import os
from pathlib import Path

from mahmr_model.errors import UserError
from mahmr_model.files import all_written_beside, folder_written_beside
import pytest


def test_a_folder_behind_a_link_is_made_where_the_link_points(tmp_path: Path) -> None:
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'disk')
    with folder_written_beside(tmp_path / 'link') as folder:
        (folder / 'made').touch()
    assert (tmp_path / 'disk/made').is_file()
    assert (tmp_path / 'link').is_symlink()
    assert sorted(os.listdir(tmp_path)) == ['disk', 'link']


def test_a_folder_that_cannot_be_replaced_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='name a new folder in it'), folder_written_beside(Path()):
        pytest.fail('the work began')
    mounted = tmp_path / 'mounted'
    mounted.mkdir()
    monkeypatch.setattr(Path, 'is_mount', lambda path: path == mounted)
    with pytest.raises(UserError, match='name a new folder in it'), folder_written_beside(mounted):
        pytest.fail('the work began')


def test_what_was_made_stays_where_only_its_name_is_taken(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    made = []

    def work() -> None:
        with folder_written_beside(out) as folder:
            made.append(folder / 'made')
            made[0].touch()
            out.mkdir()
            (out / 'of somebody else').touch()

    with pytest.raises(UserError, match=r'out cannot be made .* everything is in ') as error:
        work()
    assert str(made[0].parent) in str(error.value)
    assert made[0].is_file()
    assert os.listdir(out) == ['of somebody else']


def test_of_two_that_make_a_folder_the_slower_one_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with folder_written_beside(tmp_path / 'out', keep=False) as folder:
            (folder / 'made').touch()
            (tmp_path / 'out').mkdir()
            (tmp_path / 'out' / 'of the faster one').touch()

    with pytest.raises(UserError, match='out cannot be written'):
        work()
    assert os.listdir(tmp_path) == ['out']


def test_a_ring_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'one').symlink_to(tmp_path / 'two')
    (tmp_path / 'two').symlink_to(tmp_path / 'one')
    with (
        pytest.raises(UserError, match='one cannot be written'),
        folder_written_beside(tmp_path / 'one'),
    ):
        pytest.fail('the work began')


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        with folder_written_beside(tmp_path / 'out') as folder:
            (folder / 'made').touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not os.listdir(tmp_path)


def test_of_files_written_together_none_is_replaced_where_one_cannot(tmp_path: Path) -> None:
    first, second = tmp_path / 'first.txt', tmp_path / 'second.txt'
    first.write_text('before')
    second.mkdir()

    def work() -> None:
        with all_written_beside(first, second) as temporaries:
            for temporary in temporaries:
                temporary.write_text('after')

    with pytest.raises(UserError, match=r'second\.txt cannot be written \(it is a folder\)'):
        work()
    assert first.read_text() == 'before'
    assert sorted(os.listdir(tmp_path)) == ['first.txt', 'second.txt']
