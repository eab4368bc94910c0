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

"""Metric placement: known people through known lenses and back."""

import math

from mahmr_model.geometry.placement import focal_from_fov_px, Lens, project, translation_m
import pytest
import torch

SIZE = 448
MIDDLE = torch.tensor([[224.0, 126.0]])


def seen(point_m: torch.Tensor, lens: Lens) -> torch.Tensor:
    """Return the (a, b, c) of a perfect network that sees a person at a point through a lens."""
    pixel = point_m[:2] / point_m[2] * lens.focal_xy_px[0] + lens.centre_xy_px[0]
    scale = 2 * lens.focal_xy_px[0, 1] / (point_m[2] * SIZE)
    ab = (pixel - lens.assumed_centre_xy_px[0]) / (SIZE / 2)
    return torch.cat([ab, ((scale - 1e-6) / 2).logit()[None]])


LENSES = {
    'estimated': Lens(torch.tensor([[400.0, 400.0]]), MIDDLE, MIDDLE),
    'telephoto': Lens(torch.tensor([[900.0, 900.0]]), MIDDLE, MIDDLE),
    'off_centre': Lens(torch.tensor([[400.0, 400.0]]), torch.tensor([[201.0, 140.0]]), MIDDLE),
    'not_square': Lens(torch.tensor([[380.0, 410.0]]), torch.tensor([[230.0, 120.0]]), MIDDLE),
}


@pytest.mark.parametrize('lens', LENSES.values(), ids=LENSES)
def test_the_same_person_is_placed_right_through_every_lens(lens: Lens) -> None:
    person = torch.tensor([0.7, -0.3, 6.2])
    placed = translation_m(seen(person, lens)[None, None], lens, SIZE)
    torch.testing.assert_close(placed[0, 0], person, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('lens', LENSES.values(), ids=LENSES)
def test_a_known_lens_keeps_where_people_project(lens: Lens) -> None:
    queries = torch.tensor([[[0.4, -0.2, -1.5], [-0.9, 0.1, -3.0]]])
    placed = translation_m(queries, lens, SIZE)
    pixels = project(placed.transpose(0, 1), lens.focal_xy_px, lens.centre_xy_px)[:, 0]
    expected = queries[0, :, :2] * SIZE / 2 + MIDDLE
    torch.testing.assert_close(pixels, expected, rtol=1e-4, atol=1e-2)


def test_square_pixels_give_the_published_formula() -> None:
    lens = LENSES['off_centre']
    a, b, c = 0.3, -0.2, -1.0
    scale = 2 / (1 + math.exp(-c)) + 1e-6
    depth = 2 * 400 / (scale * SIZE)
    x = a / scale + (224 - 201) * depth / 400
    y = b / scale + (126 - 140) * depth / 400
    placed = translation_m(torch.tensor([[[a, b, c]]]), lens, SIZE)
    assert placed.flatten().tolist() == pytest.approx([x, y, depth], rel=1e-5)


def test_focal_length_from_the_vertical_angle() -> None:
    focal = focal_from_fov_px(torch.tensor([math.pi / 2, math.pi / 3]), torch.tensor([200.0, 300]))
    assert focal.tolist() == pytest.approx([100, 150 * math.sqrt(3)])


def test_assumed_lens_is_60_degrees_over_the_longer_side() -> None:
    lens = Lens.assumed([(252, 448), (448, 300)], SIZE, None)
    assert lens.focal_xy_px[0].tolist() == pytest.approx([224 * math.sqrt(3)] * 2)
    assert lens.centre_xy_px.tolist() == [[224, 126], [150, 224]]
