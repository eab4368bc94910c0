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

"""Two people in one place are taken for one where the weights say so."""

from __future__ import annotations

from mahmr_model.found import Found
import numpy as np
import pytest


def people_at(x_m: list[float], confidence: list[float]) -> Found:
    """Return people one metre tall and half a metre wide, four metres away."""
    count = len(x_m)
    joints = np.zeros((count, 45, 3), np.float32)
    joints[:, 0, :2], joints[:, 1, :2] = (-0.25, -0.5), (0.25, 0.5)
    if count:
        joints += np.array([[[x, 0, 4]] for x in x_m], np.float32)
    return Found(
        confidence=np.array(confidence, np.float32),
        boxes_cxcywh_norm=np.zeros((count, 4), np.float32),
        pose_axis_angle=np.zeros((count, 24, 3), np.float32),
        betas=np.zeros((count, 10), np.float32),
        translation_m=joints[:, 0],
        joints_camera_m=joints,
        vertices_camera_m=np.zeros((count, 5, 3), np.float32),
        height_m=np.arange(count, dtype=np.float32),
        focal_xy_px=np.array([500, 600], np.float32),
    )


@pytest.mark.parametrize(
    ('overlap', 'left'),
    [(1.0, [0, 1, 2, 3]), (0.7, [0, 1, 2, 3]), (0.6, [1, 2, 3]), (0.3, [1, 3]), (0.0, [1, 3])],
)
def test_the_more_confident_of_two_that_overlap_is_left(overlap: float, left: list[int]) -> None:
    # Shifted by a fifth of the width the IoU is 2/3, by two fifths 3/7; the last stands alone.
    found = people_at([0, 0.1, 0.3, 2], [0.5, 0.9, 0.4, 0.3])
    kept = found.without_duplicates(overlap)
    assert kept.height_m.tolist() == left
    assert kept.confidence.tolist() == found.confidence[left].tolist()
    assert (kept.focal_xy_px == found.focal_xy_px).all()


def test_one_who_was_left_out_takes_nobody_along() -> None:
    found = people_at([0, 0.1, 0.2], [0.9, 0.8, 0.7])
    assert found.without_duplicates(0.6).height_m.tolist() == [0, 2]


def test_nobody_is_nobody() -> None:
    assert len(people_at([], []).without_duplicates(0.4).confidence) == 0
