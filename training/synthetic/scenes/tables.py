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

"""Rows of tables, read as whole words."""

from __future__ import annotations

import torch
from torch import Tensor

_WORDS = {4: torch.int32, 8: torch.int64, 16: torch.complex128}


def rows_at(table: Tensor, index: Tensor) -> Tensor:
    """
    Return (K, C) rows of a contiguous table (R, C) at an integer index (K,).

    Torch gathers element by element, whatever their size: a row is read as few large elements. On
    CUDA it takes a whole block of threads for a row of 16 bytes or more, made for long ones, which
    was a third of the time of a scene: there rows are read as words of 8 bytes, one by one.
    """
    return _in_words(table, index, one_by_one=table.is_cuda)


def _in_words(table: Tensor, index: Tensor, *, one_by_one: bool) -> Tensor:
    size, widest = table.shape[1] * table.element_size(), 8 if one_by_one else 16
    word = max(width for width in _WORDS if size % width == 0 and width <= widest)
    words, count = table.view(-1).view(_WORDS[word]), size // word
    if one_by_one and count > 1:
        each = torch.arange(count, dtype=index.dtype, device=index.device)
        index = torch.add(each, index[:, None], alpha=count).flatten()
    elif count > 1:
        words = words.view(-1, count)
    return words.index_select(0, index).view(-1, count).view(table.dtype)
