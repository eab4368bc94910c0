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

"""What commands around scenes and the open body refuse at once, and how they write."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.errors import UserError
import numpy as np
import pytest
from training.synthetic.open_body import __main__ as open_body
from training.synthetic.scenes import preview


@pytest.mark.parametrize(
    ('name', 'answer'), [('sheet', '.jpg, .jpeg, .png'), ('file/sheet.png', 'cannot be written')]
)
def test_sheet_of_scenes_that_cannot_be_written_is_told_before_rendering(
    name: str,
    answer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview, 'SceneRenderer', None)
    (tmp_path / 'file').touch()
    assert preview.main([str(tmp_path / name)]) == 2
    assert answer in capsys.readouterr().err


def test_open_body_that_cannot_be_written_whole_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = load_body(OPEN_BODY)
    whole = tmp_path / 'new' / 'body.npz'
    open_body._write(whole, body)
    assert np.array_equal(load_body(whole).v_template, body.v_template)

    def full(*_: object, **arrays: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez_compressed', full)
    with pytest.raises(UserError, match='No space left'):
        open_body._write(tmp_path / 'new' / 'other.npz', body)
    assert list(whole.parent.iterdir()) == [whole]
