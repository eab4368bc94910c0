"""Rows of tables read as words."""

from __future__ import annotations

import pytest
import torch

from training.synthetic.scenes.tables import rows_at


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize('columns', [2, 4, 6, 12, 16])
def test_rows_are_read_whole(dtype: torch.dtype, columns: int) -> None:
    table = torch.randn(11, columns).to(dtype)
    index = torch.tensor([3, 0, 10, 3], dtype=torch.int32)
    assert torch.equal(rows_at(table, index), table[index.long()])
