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

"""What the golden numbers leave out of the losses on depth: layers that are cut by depth."""

from __future__ import annotations

from dataclasses import replace
import math

import pytest
from tiny import random_target
import torch
from training.batch_truth import packed
from training.losses.depth import relative_order
from training.people import truth_pairs


def wrong_order(difference_m: float) -> float:
    """Give the loss of two people of different layers, the farther one that much farther."""
    return math.log1p(math.exp(-difference_m))


def test_layers_are_cut_where_sorted_depths_gap_by_30_cm() -> None:
    z = torch.tensor([3.85, 3.0, 3.6, 3.25])
    target = random_target(4, (112, 80), 0, valid_3d=True, everybody=True)
    target = replace(target, depths=torch.stack([z, z / 100], 1), depth_layers=None)
    values, counted = relative_order(truth_pairs(packed([target])))
    expected = [wrong_order(0.85), 0.25, wrong_order(0.6), wrong_order(0.6), 0.25]
    expected.append(wrong_order(0.35))
    assert values[counted].tolist() == pytest.approx(expected, abs=1e-5)


def test_pictures_without_depths_have_no_layers() -> None:
    target = random_target(3, (112, 80), 0, valid_3d=False, everybody=True)
    counted = relative_order(truth_pairs(packed([target])))[1]
    assert not counted.any()
