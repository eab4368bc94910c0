"""The evaluation against the published code's numbers."""

from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / 'golden'
sys.path.insert(0, str(GOLDEN))

from check import check_file  # noqa: E402


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
