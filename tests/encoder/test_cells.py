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

"""Cells and token levels against cases worked out by hand."""

from mahmr_model.encoder.cells import morton_codes, select_levels
import pytest
import torch


def test_morton_codes_of_the_first_cells() -> None:
    expected = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert morton_codes(4).tolist() == expected


@pytest.mark.parametrize('side', [1, 2, 64])
def test_morton_codes_are_a_permutation(side: int) -> None:
    assert sorted(morton_codes(side).flatten().tolist()) == list(range(side * side))


# presence, size of eight cells: two pictures of four cells each
NOBODY, SMALL, LARGE = (0.1, 0.2), (0.9, 0.2), (0.9, 0.8)
MAP = torch.tensor([NOBODY, SMALL, LARGE, NOBODY] + [NOBODY] * 4)


def test_three_levels() -> None:
    chosen = select_levels(MAP, [4, 4], 3, 0.3, 0.5)
    assert chosen.fine.tolist() == [1]
    assert chosen.coarse.tolist() == [0, 2, 3]  # empty cells beside people stay coarse
    assert chosen.groups.tolist() == [1]
    assert chosen.token_lengths == [1 + 4 + 3, 1 + 1]


def test_two_levels() -> None:
    chosen = select_levels(MAP, [4, 4], 2, 0.3, 0.5)
    assert chosen.fine.tolist() == [1]
    assert chosen.coarse.tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert chosen.groups.tolist() == []
    assert chosen.token_lengths == [1 + 4 + 3, 1 + 4]


def test_thresholds_are_exclusive() -> None:
    # presence must be above 0.25, size must be below 0.5 (both exact in float32)
    at = torch.tensor([(0.25, 0.1), (0.5, 0.5), (0.5, 0.25), (0.0, 0.0)])
    chosen = select_levels(at, [4], 3, 0.25, 0.5)
    assert chosen.fine.tolist() == [2]
    assert chosen.coarse.tolist() == [0, 1, 3]


@pytest.mark.parametrize('error', [-3e-7, 0.0, 3e-7])
def test_a_size_at_the_threshold_is_not_fine_whatever_the_rounding(error: float) -> None:
    at = torch.tensor([(0.9, 0.5 + error), (0.9, 0.49)] * 2)
    assert select_levels(at, [4], 3, 0.3, 0.5).fine.tolist() == [1, 3]
