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

from collections import defaultdict
from collections.abc import Callable, Mapping
import math
from typing import Any

import torch
from torch import nn, Tensor
from torch.optim import AdamW, Muon, Optimizer
from training.config import TrainingConfig

ENCODER = 'encoder'
"""Parameters with this in their name have the encoder's learning rate."""
WITHIN_BLOCKS = ('blocks.', 'decoder.layers.')
"""Where the matrices are that Muon is for; embeddings, heads and vectors stay AdamW's."""

Groups = list[dict[str, Any]]


def make_optimiser(
    model: nn.Module, config: TrainingConfig, device: torch.device, *, recorded: bool = False
) -> Optimizer:
    """
    Return the optimiser of a run; its groups are the encoder's parameters and all others.

    One whose steps are `recorded` in a CUDA graph has its rates on the device.
    """

    def on_device(optimiser: Optimizer) -> Optimizer:
        for group in optimiser.param_groups if recorded else ():
            group['lr'] = torch.tensor(float(group['lr']), device=device)
        return optimiser

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
        capturable=recorded,
    )
    if not muons:
        return on_device(adamw)
    # Its steps are as long as AdamW's would be (arXiv 2502.16982), so that rates hold for both.
    muon = StackedMuon(
        _groups(muons, config),
        weight_decay=config.weight_decay,
        adjust_lr_fn='match_rms_adamw',
    )
    return on_device(Joined(adamw, muon))


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


class StackedMuon(Muon):
    """
    torch's Muon with a step of few operations: matrices of the same shape go through it together.

    torch's takes one after the other. The network's are so small that a GPU waits for their
    operations to be started, a third of the time of a training step.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make a step with the gradients that there are; a closure has no meaning here."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group['params']:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step(group, parameters)

    def _step(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        gradients, buffers = [], []
        for parameter in parameters:
            state = self.state[parameter]
            if 'momentum_buffer' not in state:
                state['momentum_buffer'] = torch.zeros_like(parameter)
            buffers.append(state['momentum_buffer'])
            assert parameter.grad is not None
            gradients.append(parameter.grad)
        momentum = group['momentum']
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        updates = torch._foreach_lerp(gradients, buffers, momentum)
        even = orthogonalised(
            torch.stack(updates), group['ns_coefficients'], group['ns_steps'], group['eps']
        ).to(parameters[0].dtype)
        rate = 0.2 * math.sqrt(max(parameters[0].shape)) * group['lr']  # match_rms_adamw
        torch._foreach_mul_(parameters, 1 - group['lr'] * group['weight_decay'])
        torch._foreach_sub_(parameters, (even * rate).unbind())


def orthogonalised(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Tensor:
    """
    Bring the singular values of matrices (n, rows, columns) near 1, in bfloat16.

    By Newton and Schulz's iteration of fifth order (arXiv 2502.16982, equation 2).
    """
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


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
