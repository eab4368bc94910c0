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

"""The short form of overfit.py: two pictures, few steps, wider limits."""

from __future__ import annotations

from pathlib import Path

from overfit import failures, FEWEST_FOUND, overfit

LIMITS = {'MPJPE_mm': 60.0, 'root_depth_error_m': 1.2, 'fov_error_deg': 8.0}
"""Reached: 30 mm, 0.7 m, 4.5°. New weights are at 150 mm, 2 m and 15°."""


def test_three_stages_learn_two_pictures(tmp_path: Path) -> None:
    measures = overfit(tmp_path, pictures=2, steps=50, batch_size=2)
    assert failures(measures, LIMITS) == []


def test_what_is_over_its_limit_or_missing_is_named() -> None:
    assert failures({'recall': 1.0, 'MPJPE_mm': 59.0}, {'MPJPE_mm': 60.0}) == []
    assert len(failures({'recall': 1.0, 'MPJPE_mm': 61.0}, {'MPJPE_mm': 60.0})) == 1
    assert len(failures({'recall': 1.0}, {'MPJPE_mm': 60.0})) == 1
    assert len(failures({'recall': FEWEST_FOUND - 0.1}, {})) == 1
