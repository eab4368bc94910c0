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
from tiny import MODEL, run_config, tiny_model, WEIGHTS
import torch
from training.batches import DeviceBatch
from training.config import DataSource
from training.recipe import MeshRecipe
from training.run_data import training_data
from training.sampling import EpochSampler, StepOrder, training_loader
from training.scene_pictures import KeptScenes, SceneBatch


def test_every_parameter_has_a_gradient_and_every_loss_a_value() -> None:
    """Otherwise several processes would wait for a gradient that never comes."""
    scenes = DataSource('scenes', 'train', count=40)
    config = run_config(
        model=replace(MODEL, input_size=168, shapes=11),
        losses=WEIGHTS | {'token_j2ds': 1.0, 'token_j3ds': 1.0},
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
    assert sum(batch.truth.people) > 0
    model = tiny_model(config).train()
    losses = recipe.losses(model, batch, recipe.plan([batch], 0)[0])
    plain = {name for name in losses if '.' not in name and '_dn' not in name}
    assert plain == set(config.losses)
    recipe.total(losses).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_a_frozen_encoder_is_asked_once_and_gives_the_same_losses() -> None:
    scenes = DataSource('scenes', 'train', count=4)
    config = run_config(model=replace(MODEL, input_size=168, shapes=11), denoising=None)
    config = replace(config, data=replace(config.data, training=(scenes,), rounds=2))
    frozen = replace(config, training=replace(config.training, frozen_encoder=True))
    frozen.check_training()
    body, model = load_body(OPEN_BODY), tiny_model(frozen)
    loader = training_loader(
        training_data(config, OPEN_BODY), EpochSampler(StepOrder(4, 2, rounds=2, kept=2), 0), 0
    )
    accelerator = Accelerator(cpu=True)
    usual = MeshRecipe(config, accelerator, body)
    recipe = MeshRecipe(frozen, accelerator, body, model.network)
    loaded = list(loader)
    prepared = [recipe.prepare(batch) for batch in loaded]
    again = [batch for batch in loaded if isinstance(batch.samples, KeptScenes)]
    assert len(again) == 2
    first, pictures = prepared[0], usual.prepare(loaded[0])
    assert first.images.canvas.numel() == 0
    assert len(first.images) == len(pictures.images) == 2
    with accelerator.autocast():
        expected = usual.losses(model, pictures, usual.plan([pictures], 0)[0])
        losses = recipe.losses(model, first, recipe.plan([first], 0)[0])
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, msg=name)
    recipe.total(losses).backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, p in model.named_parameters() if p.requires_grad}
    assert not any(n.startswith(('network.encoder', 'network.fov')) for n in with_gradient)
    assert 'network.feature_proj.weight' in with_gradient


def test_every_step_comes_in_each_round_before_many_new_ones_have_followed_it() -> None:
    order = StepOrder(26, 2, accumulation=2, processes=3, rounds=3)
    assert (order.steps_a_round, order.steps) == (2, 6)
    order = StepOrder(200, 5, processes=2, rounds=3, kept=4)
    batches = list(order.batches(1, process=1))
    assert len(batches) == order.steps == 60
    once = [[p.number for p in batch] for batch in StepOrder(200, 5, processes=2).batches(1, 1)]
    times: dict[int, list[int]] = {number: [] for number in range(20)}
    new = -1
    for batch in batches:
        assert len({(place.again, place.last) for place in batch}) == 1
        number = once.index([place.number for place in batch])
        times[number].append(max(new, number))
        new = max(new, number)
        assert batch[0].again == (len(times[number]) > 1)
        assert batch[0].last == (len(times[number]) == 3)
    assert all(len(t) == 3 and t[0] == n and t[2] <= n + 4 for n, t in times.items())
    assert len({t[2] - t[0] for t in times.values()}) > 1  # at random


def test_a_run_that_goes_on_has_kept_nothing() -> None:
    order = StepOrder(100, 5, processes=2, rounds=3, kept=4)
    pictures = [[p.number for p in batch] for batch in order.batches(1, process=1)]
    resumed = list(order.batches(1, process=1, first_step=13))
    assert pictures[13:] == [[p.number for p in batch] for batch in resumed]
    assert not resumed[0][0].again
    missing = {tuple(batch) for batch in pictures[13:]}
    assert sum(not batch[0].again for batch in resumed) == len(missing)
    assert sum(batch[0].last for batch in resumed) == len(missing)


def test_scenes_are_rendered_once_and_kept_until_they_come_for_the_last_time() -> None:
    scenes = DataSource('scenes', 'train', count=12)
    config = run_config(model=replace(MODEL, input_size=168, shapes=11))
    config = replace(config, data=replace(config.data, training=(scenes,), rounds=3))
    recipe = MeshRecipe(config, Accelerator(cpu=True), load_body(OPEN_BODY))
    sampler = EpochSampler(StepOrder(12, 2, rounds=3, kept=2), 0)
    loader = training_loader(training_data(config, OPEN_BODY), sampler, 0)
    names: set[str] = set()
    for epoch in range(2):
        sampler.set_start(epoch, 0)
        seen: dict[tuple[str, ...], list[DeviceBatch]] = {}
        for batch in loader:
            key = tuple(batch.samples.names)
            again = seen.setdefault(key, [])
            assert type(batch.samples) is (KeptScenes if again else SceneBatch)  # drawn once, too
            again.append(recipe.prepare(batch))
            assert len(recipe._kept) <= 3
        assert not recipe._kept
        assert [len(same) for same in seen.values()] == [3] * 6
        assert all(same[0] is same[1] is same[2] for same in seen.values())
        names |= {name for key in seen for name in key}
    assert len(names) == 24
