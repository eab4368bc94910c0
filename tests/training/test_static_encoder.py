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

"""The encoder in steps of one shape is the encoder."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.encoder.attention import DeviceLengths
import pytest
from recorded_scenes import (
    BODY,
    config_of_tiny,
    network_of_all_levels,
    pool_of,
    SIZES,
    without_border,
)
import torch
from training.batches import DeviceBatch
from training.config import load_config
from training.lesson import Lesson
from training.recipe import encoder_names
from training.scene_pool import PoolPictures
from training.static_encoder import StaticEncoder


def test_the_static_encoder_gives_the_tokens_of_the_encoder(rendered: DeviceBatch) -> None:
    network = network_of_all_levels(rendered)
    pictures = pool_of(rendered, network)
    assert len({tuple(size.tolist()) for size in pictures.size_hw}) > 1
    coarse, tokens = network.encode(without_border(pictures))
    assert coarse is not None
    assert not isinstance(tokens.lengths, DeviceLengths)
    assert set(tokens.levels.tolist()) == {0, 1, 2}
    ours = StaticEncoder(SIZES, 6)(network, pictures.images.float(), pictures.size_hw)
    count = sum(tokens.lengths)
    assert count < len(ours.real)
    assert ours.real.nonzero()[:, 0].tolist() == list(range(count))
    assert isinstance(ours.tokens.lengths, DeviceLengths)
    assert ours.tokens.lengths.starts.diff().tolist() == tokens.lengths
    assert (ours.tokens.levels[:count] == tokens.levels).all()
    of_tokens = torch.arange(6).repeat_interleave(torch.tensor(tokens.lengths))
    assert (ours.picture[:count] == of_tokens).all()
    inside = ours.scale_logits[ours.inside]
    torch.testing.assert_close(inside, coarse.scale_logits, rtol=1e-3, atol=1e-4)
    mine = [ours.tokens.features[:count], ours.tokens.camera_tokens]
    theirs = [tokens.features, tokens.camera_tokens]
    torch.testing.assert_close(ours.tokens.centres_xy_norm[:count], tokens.centres_xy_norm)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
    learning = [p for n, p in network.named_parameters() if n in encoder_names(network)]
    weights = [torch.rand_like(value) for value in mine]
    gradients = [
        torch.autograd.grad(
            sum((value * weight).sum() for value, weight in zip(values, weights, strict=True)),
            learning,
            allow_unused=True,  # the heads of map and camera
        )
        for values in (mine, theirs)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('limit', ['fine_rows', 'rows'])
@pytest.mark.parametrize('spare', [-1, 0, 1])
def test_a_picture_whose_tokens_just_fit_is_the_last_one(
    rendered: DeviceBatch, limit: str, spare: int
) -> None:
    network = network_of_all_levels(rendered)
    pictures = pool_of(rendered, network)
    _, tokens = network.encode(without_border(pictures))
    assert not isinstance(tokens.lengths, DeviceLengths)
    encoder = StaticEncoder(SIZES, 6)
    of_five = tokens.levels[: sum(tokens.lengths[:5])]
    count = len(of_five) if limit == 'rows' else int((of_five == 0).sum())
    setattr(encoder, limit, 6 + count + spare)
    ours = encoder(network, pictures.images.float(), pictures.size_hw)
    assert ours.seen.tolist() == [True] * (4 + (spare >= 0)) + [False] * (1 + (spare < 0))
    assert isinstance(ours.tokens.lengths, DeviceLengths)
    starts = ours.tokens.lengths.starts
    assert starts[-1] <= len(ours.tokens.features)
    assert starts.diff().tolist() == [
        n * bool(s) for n, s in zip(tokens.lengths, ours.seen, strict=True)
    ]
    mine = ours.tokens.features[: starts[-1]]
    torch.testing.assert_close(mine, tokens.features[: starts[-1]], rtol=1e-3, atol=1e-4)


def test_pictures_beyond_the_static_encoders_rows_are_left_out(rendered: DeviceBatch) -> None:
    network = network_of_all_levels(rendered)
    with torch.no_grad():
        network.scale_head.last.bias.copy_(
            torch.tensor([100.0, -100.0])
        )  # small people everywhere
    pictures = pool_of(rendered, network)
    _, tokens = network.encode(without_border(pictures))
    ours = StaticEncoder(SIZES, 6)(network, pictures.images.float(), pictures.size_hw)
    assert not isinstance(tokens.lengths, DeviceLengths)
    assert sum(tokens.lengths) > len(ours.real)
    seen = ours.seen.tolist()
    assert 0 < sum(seen) < 6
    assert seen == sorted(seen, reverse=True)
    count = sum(tokens.lengths[: sum(seen)])
    assert ours.real.nonzero()[:, 0].tolist() == list(range(count))
    torch.testing.assert_close(
        ours.tokens.features[:count], tokens.features[:count], rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        ours.tokens.camera_tokens[: sum(seen)],
        tokens.camera_tokens[: sum(seen)],
        rtol=1e-3,
        atol=1e-4,
    )
    lesson = Lesson(replace(config_of_tiny(), losses=load_config('open_1').losses), BODY, 6)
    lesson.network.load_state_dict(network.state_dict())
    before = losses_and_gradients(lesson, pictures)
    assert all(torch.isfinite(one).all() for one in before)
    assert lesson.left_out.item() == 6 - sum(seen)
    # Whatever is true of the pictures that are left out, but for the map of their cells.
    for name, value in vars(pictures).items():
        if name not in ('images', 'scale_map', 'size_hw'):
            value[~ours.seen] = 0 if value.dtype == torch.bool else value[ours.seen][:1]
    torch.testing.assert_close(losses_and_gradients(lesson, pictures), before)


def losses_and_gradients(lesson: Lesson, pictures: PoolPictures) -> list[torch.Tensor]:
    lesson.zero_grad()
    total, losses = lesson(pictures)
    total.backward()
    return [losses, *(p.grad for p in lesson.parameters() if p.grad is not None)]
