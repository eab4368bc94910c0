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

"""Packed tokens: what the encoder gives to the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from mahmr_model.encoder.attention import Lengths
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """The image tokens of a batch of pictures, packed: picture after picture."""

    features: Tensor
    """(T, C) after the encoder's last norm."""
    centres_xy_norm: Tensor
    """(T, 2) the centre of each token, in 0…1 of the square S×S."""
    levels: Tensor
    """(T,) int64: 0 for 14 pixels, 1 for 28, 2 for 56."""
    lengths: Lengths
    """How many tokens each picture has."""
    camera_tokens: Tensor
    """(B, C) each picture's camera token, before the encoder's last norm."""


def centres(yx: Tensor, cells_per_side: float) -> Tensor:
    """Return where, (x, y) in 0…1 of the square S×S of cells (N, 2) given as (y, x)."""
    return (yx.flip(-1) + 0.5) / cells_per_side


def prepend(first: Tensor, rest: Tensor, lengths: Sequence[int]) -> Tensor:
    """
    Put one token before each picture's tokens.

    first (B, C), rest (T, C) packed by `lengths` → (B + T, C).
    """
    if len(lengths) == 1:
        return torch.cat([first, rest])
    return spread(torch.cat([first, rest]), _first_and_rest(lengths, rest.device))


def without_first(x: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """
    Undo `prepend`: packed sequences (B + T, C) with lengths that count the first token.

    Returns the first tokens (B, C) and the rest (T, C).
    """
    firsts = len(lengths)
    if firsts > 1:
        places = _first_and_rest([n - 1 for n in lengths], x.device)
        back = torch.empty_like(places)
        back[places] = torch.arange(len(places), device=x.device)
        x = spread(x, back)
    first, rest = x.split([firsts, len(x) - firsts])
    return first, rest


def interleaving(counts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """
    Return the place (T,) of every row of packed parts, one after the other, when joined.

    `counts[i][b]`: how many rows part i has of picture b. The joined rows are packed by picture,
    and those of a picture are in the order of the parts. The host's numbers go to the device once.
    """
    return _interleaving(tuple(tuple(part) for part in counts), device)


@lru_cache(maxsize=16)
def _interleaving(counts: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # or training could not use it later
        rows = np.asarray(counts, np.int64)
        within_picture = rows.cumsum(0) - rows
        pictures = rows.sum(0)
        joined = pictures.cumsum() - pictures + within_picture
        one_after_the_other = (rows.ravel().cumsum() - rows.ravel()).reshape(rows.shape)
        shifts, repeats = on_device(
            np.stack([(joined - one_after_the_other).ravel(), rows.ravel()]), device
        )
        total = int(rows.sum())
        places = torch.repeat_interleave(shifts, repeats, output_size=total)
        return places + torch.arange(total, device=device)


def spread(rows: Tensor, places: Tensor) -> Tensor:
    """Put row i of (T, ...) at places[i], a permutation of all; its gradient gathers."""
    return torch.empty_like(rows).index_copy_(0, places, rows)


def _first_and_rest(lengths: Sequence[int], device: torch.device) -> Tensor:
    return interleaving([[1] * len(lengths), lengths], device)
