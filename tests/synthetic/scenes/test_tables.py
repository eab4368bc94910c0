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

"""Rows of tables read as words."""

from __future__ import annotations

import pytest
import torch
from training.synthetic.scenes.tables import _in_words


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32])
@pytest.mark.parametrize('columns', [2, 4, 6, 12, 16])
@pytest.mark.parametrize('one_by_one', [False, True])
def test_rows_are_read_whole(one_by_one: bool, columns: int, dtype: torch.dtype) -> None:
    table = torch.randn(11, columns).to(dtype)
    index = torch.tensor([3, 0, 10, 3], dtype=torch.int32)
    assert torch.equal(_in_words(table, index, one_by_one=one_by_one), table[index.long()])
