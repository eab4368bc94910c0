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

"""What makes the steps: AdamW, as published, or Muon for the matrices within blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from training.config import TrainingConfig

ENCODER = 'encoder'
"""Parameters with this in their name have the encoder's learning rate."""
WITHIN_BLOCKS = ('blocks.', 'decoder.layers.')
"""Where the matrices are that Muon is for; embeddings, heads and vectors stay AdamW's."""

Groups = list[dict[str, Any]]


def make_optimiser(model: nn.Module, config: TrainingConfig, device: torch.device) -> Optimizer:
    """Return the optimiser of a run; its groups are the encoder's parameters and all others."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    muons = {
        name
        for name, p in named
        if config.optimiser == 'muon'
        and p.ndim == 2
        and any(place in name for place in WITHIN_BLOCKS)
    }

    def groups(names: Iterable[str]) -> Groups:
        chosen = set(names)
        both: Groups = [
            {
                'params': [
                    p for name, p in named if name in chosen and (ENCODER in name) == encoder
                ],
                'lr': config.encoder_learning_rate if encoder else config.learning_rate,
            }
            for encoder in (False, True)
        ]
        return [group for group in both if group['params']]

    adamw = AdamW(
        groups(name for name, _ in named if name not in muons),
        weight_decay=config.weight_decay,
        fused=device.type == 'cuda',
    )
    if not muons:
        return adamw
    # Its steps are as long as AdamW's would be (arXiv 2502.16982), so that rates hold for both.
    muon = Muon(groups(muons), weight_decay=config.weight_decay, adjust_lr_fn='match_rms_adamw')
    return Joined(adamw, muon)


class Joined(Optimizer):
    """Optimisers of different parameters as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self._parts = parts
        super().__init__(self._groups(), {})

    def _groups(self) -> Groups:
        return [group for part in self._parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make a step of each; a closure has no meaning here."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of all."""
        return {'parts': [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of the same optimisers."""
        for part, state in zip(self._parts, state_dict['parts'], strict=True):
            part.load_state_dict(state)
        self.param_groups = self._groups()
