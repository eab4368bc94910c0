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

"""A step of training on scenes, from the numbers of a worker to gradients."""

from __future__ import annotations

from dataclasses import replace

from accelerate import Accelerator
from mahmr_model.body.data import load_body, OPEN_BODY
import pytest
from tiny import MODEL, run_config, tiny_model, WEIGHTS
import torch
from training.config import DataSource, TOKEN_LOSSES
from training.recipe import MeshRecipe
from training.run_data import training_data
from training.sampling import EpochSampler, StepOrder, training_loader
from training.scene_pictures import SceneBatch
from training.synthetic.scenes import draw


@pytest.mark.parametrize('empty_chance', [0.0, 1.0])
def test_every_parameter_has_a_gradient_and_every_loss_a_value(
    empty_chance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise several processes would wait for a gradient that never comes."""
    monkeypatch.setattr(draw, '_EMPTY_CHANCE', empty_chance)
    scenes = DataSource('scenes', 'train', count=40)
    config = run_config(
        model=replace(MODEL, input_size=168, shapes=11),
        losses=WEIGHTS | dict.fromkeys(TOKEN_LOSSES, 1.0),
        body='open',
    )
    config = replace(config, data=replace(config.data, training=(scenes,)))
    config.check_training()
    recipe = MeshRecipe(config, Accelerator(cpu=True), load_body(OPEN_BODY))
    sampler = EpochSampler(StepOrder(40, 3), 0)
    loaded = next(iter(training_loader(training_data(config, OPEN_BODY), sampler, 0)))
    assert isinstance(loaded.samples, SceneBatch)
    assert len(loaded.samples.names) == 3
    batch = recipe.prepare(loaded)
    assert any(batch.truth.people) == (empty_chance == 0)
    model = tiny_model(config).train()
    losses = recipe.losses(model, batch, recipe.plan([batch], 0)[0])
    plain = {name for name in losses if '.' not in name and '_dn' not in name}
    assert plain == set(config.losses)
    assert all(torch.isfinite(loss) for loss in losses.values())
    recipe.total(losses).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
