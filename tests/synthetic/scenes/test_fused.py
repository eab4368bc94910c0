"""Compiled work of pixels, and rows of tables read as words."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from training.synthetic.scenes.fused import Fused, rows_at


def _mixed(table: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Use rows as the shading does."""
    rows = rows_at(table, index)
    return torch.lerp(rows[:, :1], rows[:, 1:], share[:, None]).clamp_(0, 1)


def test_fused_functions_give_the_same_for_any_sizes() -> None:
    fused = Fused(_mixed)
    for count in (4, 7, 50):
        table, share = torch.rand(9, 4), torch.rand(count)
        index = torch.randint(0, 9, (count,), dtype=torch.int32)
        torch.testing.assert_close(fused(table, index, share), _mixed(table, index, share))
    assert fused.usable


def test_what_cannot_be_fused_runs_as_it_is_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unfusable(values: Tensor) -> Tensor:
        if values.sum() > 0:  # no graph holds a branch on a value
            return values + 3
        return values

    def broken(values: Tensor) -> Tensor:
        raise ValueError('no such picture')

    fused = Fused(unfusable)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            torch.testing.assert_close(fused(torch.ones(3)), torch.full((3,), 4.0))
    assert not fused.usable
    told = [record.message for record in caplog.records if 'is not fused' in record.message]
    assert len(told) == 1
    assert told[0].startswith('unfusable')
    with pytest.raises(ValueError, match='no such picture'):
        Fused(broken)(torch.ones(3))


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize('columns', [2, 4, 6, 16])
def test_rows_are_read_whole(dtype: torch.dtype, columns: int) -> None:
    table = torch.randn(11, columns).to(dtype)
    index = torch.tensor([3, 0, 10, 3], dtype=torch.int32)
    assert torch.equal(rows_at(table, index), table[index.long()])
