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

"""Shadows where they should fall."""

from __future__ import annotations

import pytest
import torch
from training.synthetic.scenes.shadows import (
    across,
    Casters,
    corners,
    covered,
    in_shadow,
    ShadowMap,
    sky_map,
    sun_map,
)


def _disc(height_m: float) -> torch.Tensor:
    """Return points of a disc of half a metre, 5 m ahead, this high above y = 1.5 (y is down)."""
    side = torch.linspace(-0.5, 0.5, 60)
    x, z = torch.meshgrid(side, side, indexing='ij')
    points = torch.stack([x, torch.full_like(x, 1.5 - height_m), z + 5], -1).reshape(-1, 3)
    return points[torch.hypot(points[:, 0], points[:, 2] - 5) <= 0.5]


def _casters(points: torch.Tensor, picture: int = 0) -> Casters:
    whose = torch.full((len(points),), picture)
    boxes = corners(points.amin(0), points.amax(0))
    return Casters(points, whose, boxes, whose[:8])


def _look(kind: str, seen: ShadowMap, points: torch.Tensor) -> torch.Tensor:
    """Look points (K, 3) up one by one, each as the only column of a row."""
    x, y = points[:, 0] / points[:, 2], points[:, 1] / points[:, 2]
    ask = in_shadow if kind == 'sun' else covered
    answers = [
        ask(seen, x[i].view(1, 1, 1), y[i].view(1, 1, 1), points[i, 2].view(1, 1, 1))
        for i in range(len(points))
    ]
    return torch.cat(answers).flatten()


def test_frames_are_rotations_onto_the_direction() -> None:
    directions = torch.nn.functional.normalize(torch.randn(50, 3), dim=1)
    frames = across(directions)
    torch.testing.assert_close(
        frames @ frames.transpose(1, 2), torch.eye(3).expand(50, 3, 3), rtol=0, atol=1e-5
    )
    assert torch.equal(frames[:, 2], directions)


@pytest.mark.parametrize('slant', [0.0, 0.6])
def test_a_disc_throws_its_shadow_away_from_the_light(slant: float) -> None:
    to_light = torch.nn.functional.normalize(torch.tensor([[slant, -1.0, 0.0]]), dim=1)
    seen = sun_map(_casters(_disc(1.0)), to_light)
    middle = -slant  # a metre down, and so far to the side
    ground = torch.tensor(
        [
            [middle, 1.5, 5.0],
            [middle + 0.35, 1.5, 5.0],
            [middle + 0.8, 1.5, 5.0],
            [middle, 1.5, 5.8],
        ]
    )
    shade = _look('sun', seen, ground)
    torch.testing.assert_close(shade, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    # Neither the disc itself nor what is nearer to the light is in shadow.
    above = torch.tensor([[0.0, 0.5, 5.0], [slant, -0.5, 5.0]])
    torch.testing.assert_close(_look('sun', seen, above), torch.zeros(2))


def test_it_is_darker_below_the_lower_the_further() -> None:
    casters = _casters(_disc(0.5))
    axes = torch.tensor([[[1.0, 0, 0], [0, -1, 0], [0, 0, 1]]])
    below = _look(
        'sky',
        sky_map(casters, axes),
        torch.tensor([[0.0, 1.5, 5.0], [0.0, 1.2, 5.0], [0.0, 1.02, 5.0], [2.0, 1.5, 5.0]]),
    )
    assert below[0] > below[1] > below[2] == below[3] == 0
    assert below[0] > 0.7


def test_pictures_do_not_share_shadows() -> None:
    to_light = torch.tensor([[0.0, -1.0, 0.0]]).expand(3, 3)
    shade = in_shadow(
        sun_map(_casters(_disc(1.0), picture=1), to_light),
        torch.zeros(3, 1, 1),
        torch.full((3, 1, 1), 0.3),
        torch.full((3, 1, 1), 5.0),
    )
    assert shade.flatten().tolist() == [0, 1, 0]
