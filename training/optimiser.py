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

from collections.abc import Callable, Mapping
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
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    muons = {}
    if config.optimiser == 'muon':
        muons = {
            name: p
            for name, p in named.items()
            if p.ndim == 2 and any(place in name for place in WITHIN_BLOCKS)
        }
    adamw = AdamW(
        _groups({name: p for name, p in named.items() if name not in muons}, config),
        weight_decay=config.weight_decay,
        fused=device.type == 'cuda',
    )
    if not muons:
        return adamw
    # Its steps are as long as AdamW's would be (arXiv 2502.16982), so that rates hold for both.
    muon = Muon(
        _groups(muons, config),
        weight_decay=config.weight_decay,
        adjust_lr_fn='match_rms_adamw',
    )
    return Joined(adamw, muon)


def _groups(named: Mapping[str, nn.Parameter], config: TrainingConfig) -> Groups:
    """Return a group for the encoder's parameters, after one for all others; none is empty."""
    groups: Groups = [
        {
            'params': [p for name, p in named.items() if ENCODER not in name],
            'lr': config.learning_rate,
        },
        {
            'params': [p for name, p in named.items() if ENCODER in name],
            'lr': config.encoder_learning_rate,
        },
    ]
    return [group for group in groups if group['params']]


class Joined(Optimizer):
    """Optimisers of different parameters as one."""

    def __init__(self, *parts: Optimizer) -> None:
        self._parts = parts
        super().__init__(self._all_groups(), {})

    def _all_groups(self) -> Groups:
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
        self.param_groups = self._all_groups()
