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

"""As many tokens of each level in every picture: steps of one shape, which a GPU can repeat."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.encoder.cells import Selection
import torch
from torch import Tensor

SHOWN_SHARE, FINE_SHARE = 0.5, 0.4
"""Of the groups of four cells, those that are not one token; of their cells, the fine ones."""


@dataclass(frozen=True)
class EvenSelection:
    """
    Chooses tokens as `cells.select_levels` does, but a given number of each level in a picture.

    The cells that come first in what decides there: whether anybody is shown, then how small.
    """

    pictures: int
    cells: int
    """Of each picture."""

    @property
    def groups(self) -> int:
        """Return how many groups of four cells a picture has."""
        return self.cells // 4

    @property
    def shown(self) -> int:
        """Return how many of them are taken to show somebody."""
        return max(1, round(SHOWN_SHARE * self.groups))

    @property
    def fine(self) -> int:
        """Return how many cells of a picture become four tokens each."""
        return max(1, round(FINE_SHARE * 4 * self.shown))

    @property
    def tokens(self) -> int:
        """Return how many tokens a picture has, without that of its camera."""
        return 4 * self.fine + 4 * self.shown - self.fine + self.groups - self.shown

    def __call__(self, scale_map: Tensor, presence_threshold: float) -> Selection:
        """Choose by a map (pictures · cells, 2); nothing waits for the device."""
        presence, size = scale_map.detach().float().unflatten(0, (self.pictures, -1)).unbind(2)
        best = presence.unflatten(1, (-1, 4)).amax(2)
        shown = _first(best, self.shown)
        within = shown.repeat_interleave(4, dim=1)
        # Cells of people by size, then the others by how likely somebody is there.
        likely = torch.where(presence > presence_threshold, 2 - size, presence)
        fine = _first(torch.where(within, likely, -1), self.fine)
        coarse = within & ~fine
        return Selection(
            _places(fine, self.fine),
            _places(coarse, 4 * self.shown - self.fine),
            _places(~shown, self.groups - self.shown),
            [self.fine] * self.pictures,
            [4 * self.shown - self.fine] * self.pictures,
            [self.groups - self.shown] * self.pictures,
        )


def _first(values: Tensor, count: int) -> Tensor:
    """Return which are the largest `count` of each row (B, n), as bool."""
    chosen = torch.zeros_like(values, dtype=torch.bool)
    return chosen.scatter_(1, values.topk(count, dim=1).indices, True)


def _places(chosen: Tensor, count: int) -> Tensor:
    """Return the places in the flattened rows (B, n) of the `count` that are chosen in each."""
    columns = (~chosen).byte().sort(dim=1, stable=True).indices[:, :count]
    rows = torch.arange(len(chosen), device=chosen.device)[:, None] * chosen.shape[1]
    return (rows + columns).flatten()
