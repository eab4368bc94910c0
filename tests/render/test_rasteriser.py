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

"""The rasteriser against analytic geometry."""

from __future__ import annotations

from mahmr_model.render.rasteriser import Orthographic, rasterise, Visible
from mahmr_model.types import Camera
import numpy as np
import pytest
import torch
from torch import Tensor

CAMERA = Camera(100, 100, 40, 30, 80, 60)


def see(points_m: object, faces: object, lens: Camera | Orthographic = CAMERA) -> Visible:
    return rasterise(torch.tensor(points_m).float(), torch.tensor(faces).long(), lens)


def rays(camera: Camera) -> Tensor:
    """Give (H, W, 3) what each pixel's centre looks along, its z 1."""
    v, u = torch.meshgrid(
        torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing='ij'
    )
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    return torch.stack([x, y, torch.ones_like(x)], 2).double()


def sphere(centre_m: tuple[float, float, float], radius_m: float) -> tuple[Tensor, Tensor]:
    """Give points and faces of a closed ball of 2 × 24 × 47 triangles."""
    lat = torch.linspace(0, torch.pi, 25)[:, None]
    lon = torch.arange(48)[None] * (2 * torch.pi / 48)
    ring = torch.stack(
        [lat.sin() * lon.cos(), -lat.cos().expand(25, 48), lat.sin() * lon.sin()], 2
    )
    at = torch.arange(25 * 48).reshape(25, 48)
    a, b, c, d = at[:-1], at[:-1].roll(-1, 1), at[1:], at[1:].roll(-1, 1)
    faces = torch.stack([torch.stack([a, c, b], 2), torch.stack([b, c, d], 2)]).reshape(-1, 3)
    return ring.reshape(-1, 3) * radius_m + torch.tensor(centre_m), faces


def test_a_rectangle_covers_exactly_its_pixels() -> None:
    # At 1 m, 0.2 m are 20 px: u from 30 to 50 and v from 20 to 30.
    points = [[-0.1, -0.1, 1], [0.1, -0.1, 1], [0.1, 0, 1], [-0.1, 0, 1]]
    seen = see(points, [[0, 1, 2], [0, 2, 3]])
    expected = torch.zeros(60, 80, dtype=torch.bool)
    expected[20:30, 30:50] = True
    assert torch.equal(seen.face >= 0, expected)
    assert torch.equal(seen.depth_m.isfinite(), expected)
    assert torch.allclose(seen.depth_m[expected], torch.ones(200), atol=1e-6)


def test_a_tilted_triangle_is_where_rays_meet_it() -> None:
    points = torch.tensor([[-0.4, -0.3, 1.2], [0.9, -0.1, 3.0], [0.0, 0.5, 1.7]]).double()
    seen = rasterise(points, torch.tensor([[0, 1, 2]]), CAMERA)
    normal = torch.linalg.cross(points[1] - points[0], points[2] - points[0])
    depth_m = (points[0] @ normal) / (rays(CAMERA) @ normal)
    hits = rays(CAMERA) * depth_m[..., None]
    weights = torch.linalg.solve(points.T, hits.reshape(-1, 3).T).T.reshape(60, 80, 3)
    inside = (weights >= 0).all(2)
    assert inside.sum() > 500
    assert torch.equal(seen.face == 0, inside)
    torch.testing.assert_close(seen.depth_m[inside].double(), depth_m[inside], rtol=1e-6, atol=0)
    pixel, face, corners = seen.corners()
    assert torch.equal(pixel, inside.flatten().nonzero().squeeze(1))
    assert (face == 0).all()
    torch.testing.assert_close(corners.double(), weights[inside], rtol=0, atol=1e-5)


def test_a_sphere_has_the_depth_of_a_sphere() -> None:
    camera = CAMERA.resized(320, 240)
    points, faces = sphere((0.1, -0.05, 3), 0.5)
    seen = rasterise(points, faces, camera)
    direction = rays(camera)
    centre = torch.tensor([0.1, -0.05, 3]).double()
    a, b = (direction**2).sum(2), direction @ centre
    root = b**2 - a * (centre @ centre - 0.25)
    depth_m = (b - root.clamp(min=0).sqrt()) / a
    # The mesh lies inside the ball by at most r(1 - cos(7.5°)/…) < 1 %: away from the outline
    # the depths agree to a centimetre.
    inner = root > 0.05
    assert inner.sum() > 3000
    assert (seen.face[inner] >= 0).all()
    assert (seen.face[root < 0] == -1).all()
    torch.testing.assert_close(seen.depth_m[inner].double(), depth_m[inner], rtol=0, atol=0.01)


def test_points_land_on_the_pixels_that_show_them() -> None:
    camera = CAMERA.resized(320, 240)
    points, faces = sphere((-0.2, 0.1, 2), 0.4)
    seen = rasterise(points, faces, camera)
    front = points[points[:, 2] < 1.8]
    u, v = torch.from_numpy(camera.project(front.numpy())).long().unbind(1)
    assert len(front) > 100
    torch.testing.assert_close(seen.depth_m[v, u], front[:, 2], rtol=0, atol=0.02)


def test_neighbours_leave_no_crack_and_nearer_hides_farther() -> None:
    generator = torch.Generator().manual_seed(0)
    # A wall of 200 random triangles between 2 and 4 m in front of one that fills the view.
    grid = torch.cartesian_prod(torch.linspace(-3, 3, 15), torch.linspace(-3, 3, 15))
    near = torch.cat([grid, 2 + 2 * torch.rand(225, 1, generator=generator)], 1)
    at = torch.arange(225).reshape(15, 15)
    a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]
    faces = torch.stack([torch.stack([a, b, c], 2), torch.stack([b, d, c], 2)]).reshape(-1, 3)
    wall = torch.tensor([[-99.0, -99, 5], [99, -99, 5], [0, 99, 5]])
    points = torch.cat([near, wall])
    for order in (1, -1):
        all_faces = torch.cat([faces, torch.tensor([[225, 226, 227]])][::order])
        seen = rasterise(points, all_faces, CAMERA)
        assert ((seen.depth_m >= 2) & (seen.depth_m <= 4)).all()


@pytest.mark.parametrize('turned', [False, True])
def test_both_sides_are_seen(turned: bool) -> None:
    face = [[0, 2, 1]] if turned else [[0, 1, 2]]
    seen = see([[-0.2, -0.2, 1], [0.2, -0.2, 1], [0, 0.2, 1]], face)
    assert (seen.face == 0).sum() > 700


def test_a_floor_that_passes_under_the_camera_ends_at_the_horizon() -> None:
    # One triangle at y = 1 m whose first corner is 50 m behind the camera.
    seen = see([[0, 1, -50], [200, 1, 500], [-200, 1, 500]], [[0, 1, 2]])
    below = torch.zeros(60, 80, dtype=torch.bool)
    below[31:] = True
    assert torch.equal(seen.face[31:] == 0, below[31:])
    assert (seen.face[:30] == -1).all()
    expected = 1 / rays(CAMERA)[31:, :, 1]
    torch.testing.assert_close(seen.depth_m[31:].double(), expected, rtol=1e-5, atol=0)


def test_what_is_behind_too_near_empty_or_broken_is_not_drawn() -> None:
    corner = [[-0.2, -0.2], [0.2, -0.2], [0, 0.2]]
    for z in (-1.0, 0.0, 0.04, float('nan'), float('inf')):
        assert (see([[x, y, z] for x, y in corner], [[0, 1, 2]]).face == -1).all(), z
    assert (see([[0.0, 0, 1], [0.1, 0, 1], [0.2, 0, 1]], [[0, 1, 2]]).face == -1).all()
    assert (see(np.zeros((0, 3)), np.zeros((0, 3))).face == -1).all()


def test_orthographic_depth_is_affine() -> None:
    lens = Orthographic(10, 40, 30, 80, 60)
    # Depth = 2 + x + 3: at u the x is (u - 40)/10.
    points = [[-3, -2, 2], [3, -2, 8], [3, 2, 8], [-3, 2, 2]]
    seen = see(points, [[0, 1, 2], [0, 2, 3]], lens)
    expected = torch.zeros(60, 80, dtype=torch.bool)
    expected[10:50, 10:70] = True
    assert torch.equal(seen.face >= 0, expected)
    depth_m = (torch.arange(10, 70) + 0.5 - 40) / 10 + 5
    assert torch.allclose(seen.depth_m[10:50, 10:70], depth_m.expand(40, 60), atol=1e-5)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points, faces = sphere((0, 0, 2), 0.5)
    whole = rasterise(points, faces, CAMERA)
    monkeypatch.setattr('mahmr_model.render.rasteriser._CHUNK_CPU', 7)
    pieces = rasterise(points, faces, CAMERA)
    assert torch.equal(whole.face, pieces.face)
    assert torch.equal(whole.depth_m, pieces.depth_m)
