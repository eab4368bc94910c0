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

"""The parts that make the open body, on small examples; none needs the anny package."""

from __future__ import annotations

import sys

from mahmr_model.errors import UserError
import numpy as np
import pytest
from training.synthetic.open_body import __main__ as command
from training.synthetic.open_body.anny_source import AnnySource, Bodies, Rig
from training.synthetic.open_body.decimate import decimate
from training.synthetic.open_body.poses import random_poses
from training.synthetic.open_body.shape_space import make_shape_space
from training.synthetic.open_body.skinning import joint_transforms, neighbour_means, soften
from training.synthetic.open_body.t_pose import to_t_pose
from training.synthetic.open_body.topology import is_closed, outer_skin, Skin, volume_m3


def box(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward quads of a cube of side 2 with n × n quads a side, mirrored in x."""
    numbers: dict[tuple[int, ...], int] = {}
    quads = []
    for axis in range(3):
        for end in (0, n):
            for i in range(n):
                for j in range(n):
                    corners = []
                    for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1)):
                        at = np.roll([end, i + di, j + dj], axis)
                        corners.append(numbers.setdefault(tuple(at.tolist()), len(numbers)))
                    quads.append(corners if end else corners[::-1])
    return np.array(list(numbers)) * 2.0 / n - 1, np.array(quads)


def as_ball(vertices: np.ndarray) -> np.ndarray:
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True)


def test_a_closed_mesh_keeps_its_volume() -> None:
    vertices, quads = box(4)
    skin = outer_skin(vertices, quads, np.zeros(len(quads), bool))
    assert is_closed(skin.triangles)
    assert volume_m3(vertices, skin.triangles) == pytest.approx(8)
    assert (vertices[skin.mirror] == vertices * [-1, 1, 1]).all()


def test_decimation_stays_closed_mirrored_and_on_old_vertices() -> None:
    vertices, quads = box(16)
    vertices = as_ball(vertices)
    skin = outer_skin(vertices, quads, np.zeros(len(quads), bool))
    triangles = decimate(vertices, skin, 700)
    left = np.unique(triangles)
    assert 699 <= len(left) <= 700 < len(vertices)
    assert is_closed(triangles)
    assert len(left) - len(triangles) / 2 == 2  # Euler's number: F = 2·(V - 2)
    assert volume_m3(vertices, triangles) == pytest.approx(4 / 3 * np.pi, rel=0.03)
    assert np.isin(skin.mirror[left], left).mean() > 0.95


def test_unclosed_meshes_are_told() -> None:
    vertices, quads = box(2)
    triangles = outer_skin(vertices, quads, np.zeros(len(quads), bool)).triangles
    assert not is_closed(triangles[1:])
    assert not is_closed(np.concatenate([triangles, triangles[:1]]))


def test_decimation_refuses_what_would_fold() -> None:
    # A tetrahedron cannot lose a vertex and stay a closed surface.
    vertices = np.array([[0.0, 1, 0], [0, -1, 1], [1, -1, -1], [-1, -1, -1]])
    triangles = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    skin = Skin(triangles, np.array([0, 1, 3, 2]), np.arange(4))
    assert len(decimate(vertices, skin, 3)) == 4


def test_shape_space_finds_the_axes_it_was_made_of() -> None:
    generator = np.random.default_rng(0)
    base = generator.standard_normal((40, 3))
    axes = np.linalg.qr(generator.standard_normal((120, 11)))[0]
    scales = np.arange(12, 1, -1.0)
    betas = generator.standard_normal((300, 10))
    adults = base + ((betas * scales[:10]) @ axes[:, :10].T).reshape(-1, 40, 3)
    along = generator.random((50, 1))
    children = base + (along * 30 @ axes[:, 10:].T).reshape(-1, 40, 3)
    young = base + 30 * axes[:, 10].reshape(1, 40, 3)
    space = make_shape_space(adults, children, young)
    fitted = space.fit(children)
    np.testing.assert_allclose(space.bodies(fitted), children, atol=1e-6)
    np.testing.assert_allclose(fitted[:, 10:], along, atol=1e-6)
    adult_betas = space.fit_adults(adults)
    np.testing.assert_allclose(space.bodies(adult_betas), adults, atol=1e-6)
    np.testing.assert_allclose(adult_betas.std(0), 1, atol=1e-6)
    assert np.abs(adult_betas.T @ adult_betas / 300 - np.eye(10)).max() < 1e-6


def test_softened_weights_still_sum_to_one() -> None:
    vertices, quads = box(6)
    triangles = outer_skin(vertices, quads, np.zeros(len(quads), bool)).triangles
    hard = np.stack([vertices[:, 1] > 0, vertices[:, 1] <= 0], axis=1).astype(float)
    soft = soften(hard, neighbour_means(triangles, len(vertices)), 3)
    np.testing.assert_allclose(soft.sum(1), 1)
    seam = np.abs(vertices[:, 1]) < 0.1
    assert ((soft[seam] > 0.1) & (soft[seam] < 0.9)).all()


def test_random_poses_are_rotations_and_alike_on_both_sides() -> None:
    poses = random_poses(4000, np.random.default_rng(0))
    np.testing.assert_allclose(
        poses @ poses.swapaxes(2, 3), np.broadcast_to(np.eye(3), poses.shape), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(poses), 1)
    mirror = np.array([-1.0, 1, 1])
    left, right = poses[:, 18].mean(0), poses[:, 19].mean(0)  # the elbows
    np.testing.assert_allclose(left, mirror[:, None] * right * mirror, atol=0.03)
    # A bent left elbow brings the forearm, along x, forwards.
    assert (poses[:, 18] @ [1.0, 0, 0])[:, 2].min() > -1e-9


def test_joint_transforms_turn_what_hangs_on_a_joint() -> None:
    joints = np.zeros((24, 3))
    joints[[18, 20], 0] = 1, 2  # left elbow and wrist
    pose = np.tile(np.eye(3), (24, 1, 1))
    pose[18] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # a quarter turn about y takes x to -z
    world, shift = joint_transforms(pose, joints)
    np.testing.assert_allclose(world[20] @ joints[20] + shift[20], [1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(world[16] @ joints[18] + shift[16], joints[18])


def arm_and_leg_rig() -> tuple[Bodies, Rig]:
    """Make a stick figure with arms half down and bent, legs apart; a vertex at each head."""
    left = {
        'clavicle': (0.02, 0.5, 0), 'shoulder01': (0.1, 0.5, 0), 'upperarm01': (0.16, 0.48, 0),
        'lowerarm01': (0.34, 0.28, 0), 'lowerarm02': (0.38, 0.23, 0.07),
        'wrist': (0.45, 0.15, 0.18), 'finger2-1': (0.47, 0.12, 0.27),
        'finger3-1': (0.49, 0.11, 0.25), 'finger4-1': (0.5, 0.1, 0.23),
        'finger5-1': (0.5, 0.09, 0.21), 'upperleg01': (0.1, 0, 0),
        'lowerleg01': (0.13, -0.4, 0.03), 'foot': (0.18, -0.8, 0), 'toe1-1': (0.16, -0.84, 0.14),
    }  # fmt: skip
    above = {
        'clavicle': 'root', 'shoulder01': 'clavicle', 'upperarm01': 'shoulder01',
        'lowerarm01': 'upperarm01', 'lowerarm02': 'lowerarm01', 'wrist': 'lowerarm02',
        'finger2-1': 'wrist', 'finger3-1': 'wrist', 'finger4-1': 'wrist', 'finger5-1': 'wrist',
        'upperleg01': 'root', 'lowerleg01': 'upperleg01', 'foot': 'lowerleg01', 'toe1-1': 'foot',
    }  # fmt: skip
    names, parents, heads = ['root'], [-1], [(0.0, 0.05, 0.0)]
    for side, sign in (('L', 1), ('R', -1)):
        for name, (x, y, z) in left.items():
            up = above[name]
            parents.append(0 if up == 'root' else names.index(f'{up}.{side}'))
            names.append(f'{name}.{side}')
            heads.append((sign * x, y, z))
    points = np.array([heads])
    return Bodies(points, points), Rig(tuple(names), tuple(parents), np.eye(len(names)))


def test_t_pose_straightens_arms_and_keeps_bones() -> None:
    bodies, rig = arm_and_leg_rig()
    posed = to_t_pose(bodies, rig, rig.weights)
    np.testing.assert_allclose(posed.vertices_m, posed.heads_m, atol=1e-12)
    for bone, parent in enumerate(rig.parents[1:], start=1):
        before = np.linalg.norm(bodies.heads_m[0, bone] - bodies.heads_m[0, parent])
        after = np.linalg.norm(posed.heads_m[0, bone] - posed.heads_m[0, parent])
        assert after == pytest.approx(before)
    at = dict(zip(rig.names, posed.heads_m[0], strict=True))
    for side, sign in (('L', 1), ('R', -1)):
        arm = at[f'wrist.{side}'] - at[f'upperarm01.{side}']
        np.testing.assert_allclose(arm / np.linalg.norm(arm), [sign, 0, 0], atol=1e-3)
        # Palm down, thumb forwards: the index is before the little finger.
        assert at[f'finger2-1.{side}'][2] > at[f'finger5-1.{side}'][2] + 0.02
        leg = at[f'foot.{side}'] - at[f'upperleg01.{side}']
        assert -leg[1] > 0.995 * np.linalg.norm(leg)


def test_without_anny_the_command_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'anny', None)
    with pytest.raises(UserError, match='pip install anny'):
        AnnySource(0)
    monkeypatch.setattr(sys, 'argv', ['open_body', '/nowhere/body.npz'])
    assert command.main() == 2
    assert 'pip install anny' in capsys.readouterr().err
