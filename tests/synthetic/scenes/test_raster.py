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

"""The batched rasteriser against the one that draws the project's pictures."""

from __future__ import annotations

import dataclasses

from mahmr_model.render.rasteriser import rasterise as other_rasterise
from mahmr_model.types import Camera
import numpy as np
import pytest
import torch
from training.synthetic.scenes import raster
from training.synthetic.scenes.raster import Lenses, NEAR_M, rasterise, Triangles

_HEIGHT, _WIDTH = 48, 64


def _lenses(cameras: list[Camera]) -> Lenses:
    return Lenses(
        torch.tensor([[camera.fx, camera.fy] for camera in cameras]),
        torch.tensor([[camera.cx, camera.cy] for camera in cameras]),
        torch.tensor([[camera.width, camera.height] for camera in cameras]).float(),
        _HEIGHT,
        _WIDTH,
    )


def _camera(width: int = _WIDTH, height: int = _HEIGHT) -> Camera:
    return Camera(55.0, 50.0, 30.0, 22.0, width, height)


def _random_triangles(count: int, seed: int, nearest: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 1, 3, generator=generator) * torch.tensor([4.0, 4.0, 5.0])
    centre = centre + torch.tensor([-2.0, -2.0, nearest])
    return centre + torch.randn(count, 3, 3, generator=generator) * 0.4


def _drawn(corners: torch.Tensor, picture: torch.Tensor, two_sided: bool = True) -> Triangles:
    flags = torch.ones(len(corners), dtype=torch.bool)
    faces = torch.arange(3 * len(corners)).view(-1, 3)
    return Triangles(corners.reshape(-1, 3), faces, picture, flags, flags & two_sided)


def _buffers(seen: raster.Seen, pictures: int) -> tuple[torch.Tensor, torch.Tensor]:
    depth = torch.full((pictures * _HEIGHT * _WIDTH,), torch.inf)
    face = torch.full((pictures * _HEIGHT * _WIDTH,), -1)
    depth[seen.pixel], face[seen.pixel] = seen.depth_m, seen.triangle
    return depth.view(pictures, _HEIGHT, _WIDTH), face.view(pictures, _HEIGHT, _WIDTH)


@pytest.mark.parametrize('nearest', [1.5, -1.0], ids=['in front', 'through the camera'])
def test_agrees_with_the_other_rasteriser(nearest: float) -> None:
    """Two pictures at once, the second smaller than the canvas."""
    corners = [_random_triangles(120, seed, nearest) for seed in (1, 2)]
    cameras = [_camera(), _camera(50, 40)]
    picture = torch.arange(2).repeat_interleave(120)
    depth, face = _buffers(rasterise(_drawn(torch.cat(corners), picture), _lenses(cameras)), 2)
    assert (face[1, 40:] == -1).all()
    assert (face[1, :, 50:] == -1).all()
    for index, (own, camera) in enumerate(zip(corners, cameras, strict=True)):
        expected = other_rasterise(own.reshape(-1, 3), torch.arange(360).view(120, 3), camera)
        same = face[index, : camera.height, : camera.width] - 120 * index
        wanted = expected.face
        covered = wanted >= 0
        assert covered.float().mean() > 0.2
        # Rounding may move an outline by a hair: of thousands of pixels hardly one.
        assert (torch.where(same < 0, -1, same) == wanted).float().mean() > 0.998
        both = covered & (same == wanted)
        got = depth[index, : camera.height, : camera.width][both]
        torch.testing.assert_close(got, expected.depth_m[both], rtol=2e-4, atol=1e-4)
        assert (got >= NEAR_M).all()


def test_runs_of_fragments_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = _random_triangles(150, 3, 1.5)
    picture = torch.arange(150) % 3
    lenses = _lenses([_camera()] * 3)
    whole = rasterise(_drawn(corners, picture), lenses)
    for limit in (1, 7, 1000):
        monkeypatch.setattr(raster, '_CHUNK_CPU', limit * 97)
        cut = rasterise(_drawn(corners, picture), lenses)
        assert torch.equal(cut.pixel, whole.pixel)
        assert torch.equal(cut.triangle, whole.triangle)
        assert torch.equal(cut.depth_m, whole.depth_m)


def test_weights_give_back_the_point_behind_the_pixel() -> None:
    corners = _random_triangles(60, 4, -0.5)
    camera = _camera()
    seen = rasterise(_drawn(corners, torch.zeros(60, dtype=torch.int64)), _lenses([camera]))
    point = (corners[seen.triangle] * seen.weights[..., None]).sum(1)
    pixel = camera.project(point.numpy())
    want = np.stack([seen.pixel.numpy() % _WIDTH + 0.5, seen.pixel.numpy() // _WIDTH + 0.5], 1)
    assert len(want) > 500
    np.testing.assert_allclose(pixel, want, atol=0.02)
    np.testing.assert_allclose(point[:, 2].numpy(), seen.depth_m.numpy(), rtol=1e-4, atol=1e-4)


def test_backs_and_left_out_triangles_are_not_drawn() -> None:
    front = torch.tensor([[[-1.0, -1.0, 3.0], [0.0, 1.0, 3.0], [1.0, -1.0, 3.0]]])
    # Counter-clockwise about its outward normal, which looks at the camera.
    normal = torch.linalg.cross(front[0, 1] - front[0, 0], front[0, 2] - front[0, 0])
    assert normal[2] < 0
    zero, lenses = torch.zeros(1, dtype=torch.int64), _lenses([_camera()])
    back = front[:, [0, 2, 1]]
    assert len(rasterise(_drawn(front, zero, two_sided=False), lenses).pixel) > 300
    assert len(rasterise(_drawn(back, zero, two_sided=False), lenses).pixel) == 0
    assert len(rasterise(_drawn(back, zero), lenses).pixel) > 300
    hidden = dataclasses.replace(_drawn(front, zero), drawn=torch.tensor([False]))
    assert len(rasterise(hidden, lenses).pixel) == 0


def test_no_triangles_at_all() -> None:
    empty = torch.zeros(0, 3, 3)
    seen = rasterise(_drawn(empty, torch.zeros(0, dtype=torch.int64)), _lenses([_camera()]))
    assert len(seen.pixel) == 0
