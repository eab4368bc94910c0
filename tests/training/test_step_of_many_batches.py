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

"""One large batch, accumulated ones and those of two processes are one and the same step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import Accelerator
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.checkpoint import save_weights
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import pytest
from tiny import PICTURES, run_config, tiny_model
import torch
from training.config import RunConfig
from training.crowdpose import CrowdPoseBody
from training.data.dataset import collate
from training.denoising import DenoisingConfig
from training.metrics.relative_human import CROWDPOSE
from training.recipe import MeshRecipe, training_extras
from training.sampling import NumberedBatch

TOLERANCE = {'rtol': 2e-4, 'atol': 1e-6}
"""float32 sums in another order, through two decoder layers and back."""


def batch(indices: Sequence[int]) -> NumberedBatch:
    return NumberedBatch(collate([PICTURES[index] for index in indices]), indices)


def step(
    config: RunConfig, parts: Sequence[Sequence[int]]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return losses and gradients of a step of several batches."""
    model = tiny_model(config).train()
    recipe = MeshRecipe(config, Accelerator(cpu=True))
    batches = [recipe.prepare(batch(indices)) for indices in parts]
    sums: dict[str, torch.Tensor] = {}
    for one, plan in zip(batches, recipe.plan(batches, 0), strict=True):
        losses = recipe.losses(model, one, plan)
        (recipe.total(losses) / len(parts)).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0) + value.detach() / len(parts)
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return sums, gradients


@pytest.mark.parametrize('parts', [[[0, 1, 2, 3], [4, 5, 6, 7]], [[0, 1], [2, 3], [4, 5], [6, 7]]])
def test_parts_give_losses_and_gradients_of_the_whole(parts: list[list[int]]) -> None:
    config = run_config()
    whole, whole_gradients = step(config, [range(8)])
    losses, gradients = step(config, parts)
    assert losses.keys() == whole.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, whole[name], msg=lambda m, n=name: n + m, **TOLERANCE)
    assert gradients.keys() == whole_gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole_gradients.values())
    for name, gradient in gradients.items():
        error = float((gradient - whole_gradients[name]).abs().max())
        assert error < 1e-4 * largest, name


def test_every_parameter_has_a_gradient() -> None:
    """Otherwise several processes would wait for one that never comes."""
    config = run_config()
    gradients = step(config, [[0, 1]])[1]
    missing = {name for name, _ in tiny_model(config).named_parameters()} - gradients.keys()
    assert missing == set()


def test_broken_weights_give_losses_that_are_not_finite() -> None:
    """The loop stops by them; nothing before it may fail."""
    config = run_config()
    model = tiny_model(config).train()
    torch.nn.init.constant_(model.network.conf_head.weight, float('nan'))
    torch.nn.init.constant_(model.network.cam_head.layers[-1].weight, float('nan'))
    recipe = MeshRecipe(config, Accelerator(cpu=True))
    one = recipe.prepare(batch([0, 1]))
    losses = recipe.losses(model, one, recipe.plan([one], 0)[0])
    assert not losses['confs'].isfinite()
    assert not losses['j2ds'].isfinite()


def test_a_single_batch_is_the_published_step() -> None:
    """Its shares are 1, whatever it holds."""
    recipe = MeshRecipe(run_config(), Accelerator(cpu=True))
    plan = recipe.plan([recipe.prepare(batch([1, 3]))], 0)[0]
    assert set(plan.shares.by_kind.values()) == {1.0}


def test_many_denoising_queries_are_split_among_groups() -> None:
    assert DenoisingConfig(dn_number=10).groups(most_people=7) == 10
    assert DenoisingConfig(dn_number=100).groups(most_people=7) == 7
    assert DenoisingConfig(dn_number=100).groups(most_people=80) == 1


def test_noise_belongs_to_seed_epoch_and_picture() -> None:
    recipe = MeshRecipe(run_config(), Accelerator(cpu=True))
    first = seeds(recipe, [1, 3], 0)
    assert seeds(recipe, [3, 2], 0)[0] == first[1]
    assert seeds(recipe, [1, 3], 1)[0] != first[0]


def seeds(recipe: MeshRecipe, indices: Sequence[int], epoch: int) -> Sequence[int]:
    return recipe.plan([recipe.prepare(batch(indices))], epoch)[0].draw.seeds


def test_stage_goes_on_from_its_own_weights(tmp_path: Path) -> None:
    """The denoising encoder travels with them, into the same stage alone."""
    config = run_config()
    model = tiny_model(config)
    with torch.no_grad():
        model.dn_enc.weight.fill_(0.25)
        model.network.conf_head.weight.fill_(0.5)
    path = tmp_path / 'weights.safetensors'
    save_weights(model.network, path, 'open', training_extras(model))
    again = tiny_model(replace(config, starts_from=('nowhere.bin', str(path))))
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    larger = tiny_model(
        replace(config, starts_from=(str(path),), model=replace(config.model, shapes=11))
    )
    assert torch.equal(larger.network.conf_head.weight, model.network.conf_head.weight)
    assert not (larger.dn_enc.weight == 0.25).all()


def test_crowdpose_body_gives_the_joints_of_the_evaluation() -> None:
    """Those regressed from all vertices, as training.metrics.relative_human takes them."""
    body = load_body(OPEN_BODY)
    generator = torch.Generator().manual_seed(0)
    rotations = rotation_from_axis_angle(torch.randn(3, 24, 3, generator=generator) / 3)
    betas = torch.randn(3, 11, generator=generator)
    posed = BodyLayer(body, kid=True)(rotations, betas)
    assert body.extra_regressor is not None
    extra = torch.from_numpy(body.extra_regressor) @ posed.vertices
    expected = torch.cat([posed.joints[:, :24], extra], 1)[:, list(CROWDPOSE)]
    joints = CrowdPoseBody(body, kid=True)(rotations, betas).joints
    torch.testing.assert_close(joints, expected, rtol=0, atol=1e-5)
