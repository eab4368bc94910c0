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

"""AdamW for all, or Muon for the matrices within blocks and AdamW for the rest."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from tiny import run_config, tiny_model
import torch
from torch import nn, Tensor
from torch.optim import Muon
from training.config import TrainingConfig
from training.optimiser import Joined, make_optimiser, orthogonalised, StackedMuon

CPU = torch.device('cpu')
CONFIG = TrainingConfig(optimiser='muon', learning_rate=1e-3, encoder_learning_rate=1e-4)


def names_of(model: nn.Module, optimiser: torch.optim.Optimizer) -> set[str]:
    held = {id(p) for group in optimiser.param_groups for p in group['params']}
    return {name for name, p in model.named_parameters() if id(p) in held}


def test_adamw_has_the_encoder_in_a_group_of_its_own() -> None:
    model = tiny_model(run_config())
    optimiser = make_optimiser(model, replace(CONFIG, optimiser='adamw'), CPU)
    assert isinstance(optimiser, torch.optim.AdamW)
    names = {id(p): name for name, p in model.named_parameters()}
    for group, encoder, rate in zip(
        optimiser.param_groups, (False, True), (1e-3, 1e-4), strict=True
    ):
        assert group['lr'] == rate
        assert {'encoder' in names[id(p)] for p in group['params']} == {encoder}
    assert names_of(model, optimiser) == set(names.values())


def test_muon_has_the_matrices_of_blocks_alone() -> None:
    model = tiny_model(run_config())
    joined = make_optimiser(model, CONFIG, CPU)
    assert isinstance(joined, Joined)
    adamw, muon = joined._parts
    assert isinstance(muon, Muon)
    of_muon, of_adamw = names_of(model, muon), names_of(model, adamw)
    assert of_muon | of_adamw == {name for name, _ in model.named_parameters()}
    assert not of_muon & of_adamw
    assert {p.ndim for name, p in model.named_parameters() if name in of_muon} == {2}
    assert any('.encoder.blocks.' in name for name in of_muon)
    assert any('.decoder.layers.' in name for name in of_muon)
    for elsewhere in ('refpoint_embed', 'pose_head', 'pos_embeds', 'bbox_embed', 'scale_head'):
        assert any(elsewhere in name for name in of_adamw), elsewhere
        assert not any(elsewhere in name for name in of_muon), elsewhere


class Line(nn.Module):
    """Has a matrix for Muon and one for AdamW."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({'blocks': nn.Linear(4, 4)})
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.encoder['blocks'](x))
        return y


def train(model: Line, optimiser: torch.optim.Optimizer, steps: int) -> None:
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.9**step)
    for step in range(steps):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()
        schedule.step()


def test_both_make_steps_and_their_state_goes_on() -> None:
    torch.manual_seed(0)
    whole, config = Line(), replace(CONFIG, learning_rate=0.05, encoder_learning_rate=0.05)
    first = {name: p.detach().clone() for name, p in whole.named_parameters()}
    optimiser = make_optimiser(whole, config, CPU)
    train(whole, optimiser, 3)
    assert all(not torch.equal(p, first[name]) for name, p in whole.named_parameters())
    rates = [group['lr'] for group in optimiser.param_groups]
    assert rates == pytest.approx([0.05 * 0.9**3] * len(rates))

    again = Line()
    again.load_state_dict(whole.state_dict())
    resumed = make_optimiser(again, config, CPU)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    assert [g['lr'] for g in resumed.param_groups] == [g['lr'] for g in optimiser.param_groups]
    for model, steps in ((whole, optimiser), (again, resumed)):
        steps.zero_grad()
        model(torch.ones(1, 4)).sum().backward()
        steps.step()
    for name, p in whole.named_parameters():
        assert torch.equal(p, again.get_parameter(name)), name


def test_matrices_that_step_together_step_as_alone() -> None:
    torch.manual_seed(0)
    shapes = ((6, 24), (24, 6), (6, 6), (6, 24), (24, 6))
    alone = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    together = [nn.Parameter(p.detach().clone()) for p in alone]
    options = {'lr': 1e-2, 'weight_decay': 0.1, 'adjust_lr_fn': 'match_rms_adamw'}
    optimisers = Muon(alone, **options), StackedMuon(together, **options)
    for _ in range(3):
        for one, other in zip(alone, together, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        before = [p.detach().clone() for p in together]
        together[2].grad = alone[2].grad = None  # has no part in the step
        for optimiser in optimisers:
            optimiser.step()
        for one, other, old in zip(alone, together, before, strict=True):
            # Both orthogonalise in bfloat16, in which they round differently.
            torch.testing.assert_close(other, one, rtol=0, atol=2e-4)
            assert (other is together[2]) == bool((other == old).all())
    states = [optimiser.state_dict() for optimiser in optimisers]
    assert states[0]['state'].keys() == states[1]['state'].keys()


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, 12, 5) * torch.tensor([1.0, 1e-3, 1e3])[:, None, None]
    values = torch.linalg.svdvals(
        orthogonalised(matrices, (3.4445, -4.7750, 2.0315), 5, 1e-7).float()
    )
    assert 0.6 < float(values.min()) < float(values.max()) < 1.3
