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

"""The evaluation against the published code's numbers."""

from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / 'golden'
sys.path.insert(0, str(GOLDEN))

from check import check_file  # noqa: E402, I100


def test_metrics_give_the_published_numbers() -> None:
    errors = dict(check_file(GOLDEN / 'metrics.npz'))
    assert len(errors) == 10
    assert {k: e for k, e in errors.items() if not e <= 1} == {}


@pytest.mark.parametrize(
    ('array', 'change', 'over'),
    [
        ('match/pred', lambda x: x[::-1], 'match/of_gt'),
        ('error/gt', lambda x: x + 1e-6, 'error/mean_and_procrustes_mm'),
        ('mupots/visible', lambda x: ~x, 'mupots/pck_all'),
        (
            'relative_human/predictions_json',
            lambda x: np.array(str(x).replace('img_007', 'img_xxx')),
            'relative_human/report',
        ),
    ],
)
def test_check_notices_a_change(array: str, change: object, over: str, tmp_path: Path) -> None:
    with np.load(GOLDEN / 'metrics.npz') as file:
        arrays = {name: file[name] for name in file.files}
    assert callable(change)
    arrays[array] = change(arrays[array])
    np.savez(tmp_path / 'changed.npz', **arrays)
    assert dict(check_file(tmp_path / 'changed.npz'))[over] > 1
