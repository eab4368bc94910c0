"""One large batch, accumulated ones and those of two processes are one and the same step."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate import Accelerator
import pytest
from tiny import PICTURES, run_config, tiny_model
import torch

from training.config import RunConfig
from training.data.dataset import collate
from training.recipe import MeshRecipe
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
    batches = [batch(indices) for indices in parts]
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


def test_a_single_batch_is_the_published_step() -> None:
    """Its shares are 1, whatever it holds."""
    recipe = MeshRecipe(run_config(), Accelerator(cpu=True))
    plan = recipe.plan([batch([1, 3])], 0)[0]
    assert set(plan.shares.by_kind.values()) == {1.0}


def test_noise_belongs_to_seed_epoch_and_picture() -> None:
    recipe = MeshRecipe(run_config(), Accelerator(cpu=True))
    first = recipe.plan([batch([1, 3])], 0)[0].draw.seeds
    assert recipe.plan([batch([3, 2])], 0)[0].draw.seeds[0] == first[1]
    assert recipe.plan([batch([1, 3])], 1)[0].draw.seeds[0] != first[0]
