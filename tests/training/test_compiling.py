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

"""Parts that are compiled give the same losses, in as few graphs as can be."""

from __future__ import annotations

from dataclasses import replace

from accelerate import Accelerator
from mahmr_model.decoder.layer import DecoderLayer
from mahmr_model.decoder.query_decoder import QueryDecoder
from mahmr_model.encoder.vit import Block
from mahmr_model.network import MAHMR
import pytest
from recorded_scenes import BODY, config_of_tiny, pool_of
from test_step_of_many_batches import batch
from tiny import run_config, tiny_model
import torch
from torch._dynamo.utils import counters
from training.batches import DeviceBatch
from training.compiling import compile_parts, PARTS
from training.config import load_config
from training.lesson import Lesson
from training.people_lesson import PeopleLesson
from training.recipe import MeshRecipe


def test_compiled_parts_give_the_same_losses_for_batches_of_any_size() -> None:
    """Traced for real, run as traced: code for a device is what PyTorch answers for."""
    torch.compiler.reset()
    counters.clear()
    config = run_config()
    model = tiny_model(config).train()
    recipe = MeshRecipe(config, Accelerator(cpu=True))
    batches = [recipe.prepare(batch(indices)) for indices in ([0, 4, 2], [1, 2], [5, 6, 7, 0])]

    def losses() -> list[float]:
        plans = [recipe.plan([one], 0)[0] for one in batches]
        return [
            recipe.total(recipe.losses(model, one, plan)).item()
            for one, plan in zip(batches, plans, strict=True)
        ]

    plain = losses()
    compile_parts(model, backend='eager')
    first = losses()
    graphs = counters['stats']['unique_graphs']
    assert first == pytest.approx(plain, rel=1e-5)
    assert losses() == first
    assert counters['stats']['unique_graphs'] == graphs
    assert graphs < 24
    assert not counters['graph_break']


@pytest.mark.filterwarnings('error:.*lru_cache')  # would be made on the host, in every step
@pytest.mark.parametrize(('precision', 'tolerance'), [('no', 1e-4), ('bf16', 0.03)])
def test_a_compiled_lesson_is_the_same_one(
    rendered: DeviceBatch, precision: str, tolerance: float
) -> None:
    torch.compiler.reset()
    counters.clear()
    config = replace(
        config_of_tiny(), losses=load_config('open_1').losses, mixed_precision=precision
    )
    torch.manual_seed(0)
    lesson = Lesson(config, BODY, len(rendered.images))
    pictures = pool_of(rendered, lesson.network)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        lesson.zero_grad()
        total, losses = lesson(pictures)
        total.backward()
        gradients = [p.grad.flatten() for p in lesson.parameters() if p.grad is not None]
        return losses, torch.cat(gradients)

    losses, gradients = step()
    assert not counters['stats']['unique_graphs']
    compile_parts(lesson, backend='aot_eager')
    parts = [(m, name) for m in lesson.modules() for name in PARTS.get(type(m), ())]
    kinds = {Block, DecoderLayer, QueryDecoder, MAHMR, Lesson, PeopleLesson}
    assert {type(module) for module, _ in parts} == kinds
    assert all(name in vars(module) for module, name in parts)
    ours = step()
    torch.testing.assert_close(ours[0], losses, rtol=1e-3, atol=1e-4)
    assert (ours[1] - gradients).norm() < tolerance * gradients.norm()
    graphs = counters['stats']['unique_graphs']
    step()
    assert counters['stats']['unique_graphs'] == graphs
    assert len(kinds) < graphs < 24
    assert not counters['graph_break']
