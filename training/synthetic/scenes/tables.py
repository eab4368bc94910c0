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

    Torch gathers element by element, whatever their size: a row is read as few large elements.
    """
    size = table.shape[1] * table.element_size()
    word = max(width for width in _WORDS if size % width == 0)
    words = table.view(_WORDS[word])
    if size == word:
        return words.view(-1).index_select(0, index).view(-1, 1).view(table.dtype)
    return words.index_select(0, index).view(table.dtype)
