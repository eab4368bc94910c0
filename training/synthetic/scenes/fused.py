"""Work of every pixel in few kernels on a GPU, and rows of tables read as whole words."""

from __future__ import annotations

from collections.abc import Callable
import logging
from typing import Generic, TypeVar
import warnings

import torch
from torch import Tensor
from torch.fx.experimental import _config as shapes

logger = logging.getLogger(__name__)

_Result = TypeVar('_Result')
_WORDS = {4: torch.int32, 8: torch.int64, 16: torch.complex128}


class Fused(Generic[_Result]):
    """
    A function of tensors whose element-wise operations become a few kernels, by `torch.compile`.

    Where that cannot be had (no compiler, an unsupported card) it is told once, and the function
    runs as it is written, with the same results up to rounding.
    """

    def __init__(self, function: Callable[..., _Result]) -> None:
        self._plain = function
        self._compiled = torch.compile(function, dynamic=True, fullgraph=True)
        self.usable = True

    def __call__(self, *arguments: object) -> _Result:
        """Call the function, which must not change its arguments."""
        if not self.usable:
            return self._plain(*arguments)
        try:
            # Sizes that happen to be equal at first are no reason to compile again later.
            any_sizes = shapes.patch(use_duck_shape=False)  # type: ignore[attr-defined]
            with warnings.catch_warnings(), any_sizes:
                warnings.simplefilter('ignore')
                return self._compiled(*arguments)
        except Exception as error:  # compilers fail in many ways; a full device fails again below
            self.usable = False
            logger.warning(
                '%s is not fused and will be slower: %s', self._plain.__name__, str(error)[:300]
            )
            return self._plain(*arguments)


def rows_at(table: Tensor, index: Tensor) -> Tensor:
    """
    Return (K, C) rows of a table (R, C) at an int32 index (K,).

    Torch gathers element by element, whatever their size: a row is read as few large elements.
    """
    if torch.compiler.is_compiling():
        return table[index]
    size = table.shape[1] * table.element_size()
    word = max(width for width in _WORDS if size % width == 0)
    words = table.view(_WORDS[word])
    if size == word:
        return words.view(-1).index_select(0, index).view(-1, 1).view(table.dtype)
    return words.index_select(0, index).view(table.dtype)
