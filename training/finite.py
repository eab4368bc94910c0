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

"""Losses that are not finite stop a run by name, without a wait for the device at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mahmr_model.errors import UserError
import torch
from torch import Tensor


@dataclass(frozen=True)
class _Watched:
    step: int
    finite: Tensor
    """Whether the total is, on its way to the host."""
    arrived: torch.cuda.Event | None
    losses: Mapping[str, Tensor]
    names: Sequence[str]


class FiniteCheck:
    """
    Watches the total loss of every batch.

    On a CPU it is looked at on the spot. On CUDA that would make the device wait for the host, so
    it is looked at in the next step, or before the next checkpoint.
    """

    def __init__(self) -> None:
        self._watched: list[_Watched] = []

    def watch(
        self, step: int, total: Tensor, losses: Mapping[str, Tensor], names: Sequence[str]
    ) -> None:
        """Take a batch's total, its losses by name, and what its pictures are called."""
        finite, arrived = total.detach().isfinite(), None
        if finite.device.type == 'cuda':
            on_host = torch.empty((), dtype=torch.bool, pin_memory=True)
            finite = on_host.copy_(finite, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        detached = {name: value.detach() for name, value in losses.items()}
        self._watched.append(_Watched(step, finite, arrived, detached, names))
        if arrived is None:
            self.look()

    def look(self) -> None:
        """Raise UserError where a total that was watched is not finite."""
        watched, self._watched = self._watched, []
        for one in watched:
            if one.arrived is not None:
                one.arrived.synchronize()
            if not one.finite:
                raise _error(one)


def _error(watched: _Watched) -> UserError:
    wrong = [name for name, value in watched.losses.items() if not bool(value.isfinite())]
    return UserError(
        f'Step {watched.step}: the loss is not finite ({", ".join(wrong) or "their sum"}) on the '
        f'pictures {", ".join(watched.names)}; look at their annotations, or lower '
        'training.learning_rate; the last checkpoint is as it was.'
    )
