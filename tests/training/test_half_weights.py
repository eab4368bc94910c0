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

"""Mixed precision: the same losses and gradients as with automatic casting alone."""

from __future__ import annotations

from accelerate import Accelerator
import pytest
from test_step_of_many_batches import batch
from tiny import run_config, tiny_model
import torch
from training.half_weights import HalfWeights
from training.recipe import MeshRecipe


def gradients(precision: torch.dtype | None, together: bool) -> dict[str, torch.Tensor]:
    config = run_config()
    model = tiny_model(config).train()
    if not together:
        model._half_weights = HalfWeights(torch.nn.Module())
    recipe = MeshRecipe(config, Accelerator(cpu=True))
    one = recipe.prepare(batch([0, 1, 2]))
    with torch.autocast('cpu', precision, enabled=precision is not None):
        losses = recipe.losses(model, one, recipe.plan([one], 0)[0])
    recipe.total(losses).backward()
    for name, parameter in model.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert isinstance(parameter, torch.nn.Parameter), name
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_casting_all_weights_at_once_changes_nothing() -> None:
    together = gradients(torch.bfloat16, True)
    one_by_one = gradients(torch.bfloat16, False)
    assert together.keys() == one_by_one.keys()
    for name, gradient in together.items():
        assert gradient.dtype == torch.float32
        scale = float(one_by_one[name].abs().max())
        torch.testing.assert_close(gradient, one_by_one[name], rtol=0, atol=0.02 * scale + 1e-6)


def test_half_precision_is_near_float32() -> None:
    half, single = gradients(torch.bfloat16, True), gradients(None, True)
    total = torch.stack([g.norm() for g in single.values()]).norm()
    error = torch.stack([(half[n] - g).norm() for n, g in single.items()]).norm()
    assert 0 < error < 0.1 * total


def test_parameters_are_back_after_an_error() -> None:
    layer = torch.nn.Linear(3, 2)
    before = layer.weight
    weights = HalfWeights(torch.nn.Sequential(layer))

    def fail() -> None:
        with weights(torch.bfloat16):
            assert layer.weight.dtype == torch.bfloat16
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert layer.weight is before
