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

"""A resumed run of the real network is the uninterrupted one, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from accelerate import Accelerator
from mahmr_model.checkpoint import save_weights
from mahmr_model.errors import UserError
import pytest
from safetensors import SafetensorError
from tiny import PICTURES, run_config, tiny_model
import torch
from training.checkpoints import find_checkpoint
from training.config import TrainingConfig
from training.recipe import MeshRecipe
from training.train_model import TrainingModel
from training.trainer import Trainer

SETTINGS = TrainingConfig(batch_size=2, accumulation=2, epochs=3, learning_rate=1e-3)


def trainer_in(folder: Path, settings: TrainingConfig = SETTINGS) -> tuple[Trainer, TrainingModel]:
    config = run_config(training=settings)
    accelerator = Accelerator(cpu=True)
    model = tiny_model(config)
    recipe = MeshRecipe(config, accelerator)
    return Trainer(accelerator, settings, model, recipe, PICTURES, folder), model


@pytest.mark.parametrize('optimiser', ['adamw', 'muon'])
def test_resumed_run_equals_the_uninterrupted_one(
    tmp_path: Path, optimiser: Literal['adamw', 'muon']
) -> None:
    settings = replace(SETTINGS, optimiser=optimiser)
    whole, model = trainer_in(tmp_path, settings)
    before = model.network.conf_head.weight.detach().clone()
    whole.run()
    resumed, again = trainer_in(tmp_path / 'again', settings)
    torch.rand(7)  # whatever else used torch's random numbers
    resumed.resume(find_checkpoint(whole.checkpoints, 'checkpoint_00000002'))
    resumed.run()
    assert resumed.progress == whole.progress
    for name, value in model.named_parameters():
        assert torch.equal(value, again.get_parameter(name)), name
    assert not torch.equal(model.network.conf_head.weight, before)


def test_learning_rates_are_of_two_groups_and_fall_to_zero(tmp_path: Path) -> None:
    trainer, model = trainer_in(tmp_path)
    optimiser = trainer._optimiser
    inside = {id(p) for name, p in model.named_parameters() if 'encoder' in name}
    others, encoder = ([id(p) for p in group['params']] for group in optimiser.param_groups)
    assert set(encoder) == inside
    assert inside.isdisjoint(others)
    assert len(encoder) + len(others) == len(list(model.parameters()))
    assert [group['lr'] for group in optimiser.param_groups] == [1e-3, 1e-5]
    assert {group['weight_decay'] for group in optimiser.param_groups} == {1e-4}
    trainer.run()
    assert [group['lr'] for group in optimiser.param_groups] == [0, 0]


def test_full_disk_leaves_no_half_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, _ = trainer_in(tmp_path)

    def full(self: Accelerator, folder: str) -> None:
        (Path(folder) / 'model.safetensors').write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Accelerator, 'save_state', full)
    with pytest.raises(UserError, match='No space left'):
        trainer.run()
    assert list(trainer.checkpoints.iterdir()) == []


def test_full_disk_leaves_the_weights_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'weights.safetensors'
    path.write_bytes(b'before')

    def full(state: object, file: Path, metadata: object) -> None:
        file.write_bytes(b'half')
        raise SafetensorError('No space left on device')

    monkeypatch.setattr('safetensors.torch.save_file', full)
    with pytest.raises(UserError, match='No space left'):
        save_weights(tiny_model(run_config()).network, path, 'open')
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b'before')]


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    trainer, _ = trainer_in(tmp_path)
    trainer.run()
    newest = find_checkpoint(trainer.checkpoints, 'newest')
    weights = newest / 'model.safetensors'
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match='cannot be read'):
        trainer_in(tmp_path / 'other')[0].resume(newest)
    with pytest.raises(UserError, match='checkpoint_00000006'):
        find_checkpoint(trainer.checkpoints, 'checkpoint_7')
