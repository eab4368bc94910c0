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

"""The pool of rendered scenes that recorded steps learn from."""

from __future__ import annotations

from mahmr_model.encoder.cells import morton_codes
import numpy as np
import pytest
from recorded_scenes import (
    config_of_tiny,
    CPU,
    SIZES,
)
from tiny import tiny_model
import torch
from training.batches import DeviceBatch
from training.scene_pool import ScenePool


def test_the_pool_holds_what_was_rendered(rendered: DeviceBatch) -> None:
    network = tiny_model(config_of_tiny()).network
    pool, cells = ScenePool(SIZES, 12, CPU), network.cells(rendered.images)
    pool.put(rendered, cells.yx)
    for left in (pool.pictures.person_map, pool.pictures.part_map, pool.pictures.depth_map):
        left.fill_(1)  # as of pictures that were there before
    pool.put(rendered, cells.yx)
    assert len(pool) == 6  # the others are about to be replaced
    pictures, truth = pool.pictures.at(torch.arange(6, 12)), rendered.truth
    order = morton_codes(SIZES.grid(1)).flatten().argsort().tolist()
    maps = truth.scale_map.split(list(truth.cells))
    places = cells.yx.split(list(truth.cells))
    for number, (height, width) in enumerate(truth.sizes_hw):
        own = pictures.images[number, :, :height, :width]
        torch.testing.assert_close(
            own.float(), rendered.images.canvas[number, :, :height, :width], rtol=1e-3, atol=1e-3
        )
        first, count = truth.first_person[number], truth.people[number]
        people = slice(first, first + count)
        joints = truth.joints_camera_m[people]
        assert (pictures.joints_px[number, :count] == truth.joints_px[people]).all()
        assert (pictures.joints_m[number, :count] == joints - joints[:, :1]).all()
        focal = float(truth.picture_focal_px[number])
        assert float(pictures.fov_rad[number]) == pytest.approx(2 * np.arctan(height / 2 / focal))
        square = torch.zeros(SIZES.grid(1), SIZES.grid(1), 2)
        for place, value in zip(places[number], maps[number], strict=True):
            square[place[0], place[1]] = value
        packed = square.flatten(0, 1)[order]
        torch.testing.assert_close(
            pictures.scale_map[number].float(), packed, rtol=1e-3, atol=1e-3
        )
        assert truth.person_map is not None
        assert truth.part_map is not None
        assert truth.depth_map is not None
        seen = truth.person_map[number, : -(-height // 7), : -(-width // 7)]
        mine = pictures.person_map[number, : seen.shape[0], : seen.shape[1]].long()
        assert (mine == torch.where(seen < 0, -1, seen - int(first))).all()
        parts = truth.part_map[number, : seen.shape[0], : seen.shape[1]]
        assert (parts[seen >= 0] >= 0).all()
        assert (parts > 0).any()
        assert (pictures.part_map[number, : seen.shape[0], : seen.shape[1]] == parts).all()
        depths_m = pictures.depth_map[number]
        assert depths_m.dtype == torch.float16
        near = depths_m[: seen.shape[0], : seen.shape[1]].float()
        assert torch.equal(near.isposinf(), seen < 0)
        assert (near[seen >= 0].abs() < 1.5).all()
        expected = truth.depth_map[number, : seen.shape[0], : seen.shape[1]]
        torch.testing.assert_close(near, expected, rtol=1e-3, atol=1e-3)
        for one, nobody in (
            (pictures.person_map[number], -1),
            (pictures.part_map[number], -1),
            (depths_m, torch.inf),
        ):
            assert (one[slice(seen.shape[0], None)] == nobody).all()
            assert (one[:, slice(seen.shape[1], None)] == nobody).all()


def test_a_batch_takes_the_place_of_the_oldest(rendered: DeviceBatch) -> None:
    """And its places are not drawn any more before that: a step may be reading them."""
    network = tiny_model(config_of_tiny()).network
    pool, yx = ScenePool(SIZES, 18, CPU), network.cells(rendered.images).yx
    for count in (1, 2):
        pool.put(rendered, yx)
        assert set(pool.draw(500).tolist()) == set(range(6 * count))
    pool.put(rendered, yx)
    assert set(pool.draw(500).tolist()) == set(range(6, 18))
    pool.pictures.fov_rad.zero_()
    pool.put(rendered, yx)
    assert (pool.pictures.fov_rad[:6] > 0).all()
    assert (pool.pictures.fov_rad[6:] == 0).all()
    assert set(pool.draw(500).tolist()) == {*range(6), *range(12, 18)}
