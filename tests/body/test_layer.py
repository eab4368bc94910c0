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

"""The layer against the smplx package, and against the golden numbers of the published code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import pickle

from mahmr_model.body.data import BodyData, load_body
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import numpy as np
import pytest
from smplx.body_models import SMPL
from smplx.utils import Struct
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

GOLDEN = Path(__file__).parents[1] / 'golden'


@pytest.fixture(scope='module')
def body(random_body_folder: Path) -> BodyData:
    return load_body(random_body_folder)


def smplx_output(folder: Path, pose: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Pose (N, 24, 3) axis-angle with the smplx package's own class; 11 betas mean age='kid'."""
    with (folder / 'SMPL_NEUTRAL.pkl').open('rb') as stream:
        data = Struct(**pickle.load(stream))
    kid = {'age': 'kid', 'kid_template_path': str(folder / 'smpl_kid_template.npy')}
    layer = SMPL('', data_struct=data, **(kid if betas.shape[1] == 11 else {}))
    with torch.no_grad():
        output = layer(
            betas=betas,
            global_orient=pose[:, :1].flatten(1),
            body_pose=pose[:, 1:].flatten(1),
            transl=torch.zeros(len(pose), 3),
        )
    return output.vertices, output.joints


@pytest.mark.parametrize('kid', [False, True])
def test_equals_smplx(body: BodyData, random_body_folder: Path, kid: bool) -> None:
    torch.manual_seed(0)
    pose, betas = torch.randn(4, 24, 3), torch.randn(4, 11 if kid else 10)
    vertices, joints = smplx_output(random_body_folder, pose, betas)
    output = BodyLayer(body, kid)(rotation_from_axis_angle(pose), betas)
    assert output.joints.shape == (4, 45, 3)
    tolerance = 1e-5 * float(vertices.abs().max())
    torch.testing.assert_close(output.vertices, vertices, atol=tolerance, rtol=0)
    torch.testing.assert_close(output.joints, joints, atol=tolerance, rtol=0)


@pytest.mark.parametrize('name', ['network_adaptive', 'network_plain'])
def test_equals_the_published_code(body: BodyData, name: str) -> None:
    """Golden poses and shapes give the golden vertices (every 97th) and joints; 1e-4 allowed."""
    with np.load(GOLDEN / f'{name}.npz') as golden:
        pose, betas, place, vertices, joints = (
            torch.from_numpy(golden[f'out/pred_{key}']).flatten(0, 1)
            for key in ('poses', 'betas', 'transl', 'verts', 'j3ds')
        )
    layer = BodyLayer(body, kid=betas.shape[1] == 11)
    output = layer(rotation_from_axis_angle(pose.unflatten(1, (24, 3))), betas)
    moved = output.vertices[:, ::97] + place[:, None]
    torch.testing.assert_close(moved, vertices, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.joints + place[:, None], joints, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kid', [False, True])
def test_nobody_is_posed(body: BodyData, kid: bool) -> None:
    layer = BodyLayer(body, kid)
    output = layer(torch.zeros(0, 24, 3, 3), torch.zeros(0, layer.shape_count))
    assert output.vertices.shape == (0, 6890, 3)
    assert output.joints.shape == (0, 45, 3)
    assert layer.heights(torch.zeros(0, layer.shape_count)).shape == (0,)


@pytest.mark.parametrize('kid', [False, True])
def test_height_is_the_extent_at_zero_pose(body: BodyData, kid: bool) -> None:
    layer = BodyLayer(body, kid)
    torch.manual_seed(1)
    betas = torch.randn(3, layer.shape_count)
    y = layer(torch.eye(3).expand(3, 24, 3, 3), betas).vertices[..., 1]
    heights = layer.heights(betas)
    assert heights.std() > 0.01
    torch.testing.assert_close(heights, y.amax(1) - y.amin(1), atol=1e-5, rtol=0)


def test_full_child_axis_is_the_centred_child(body: BodyData) -> None:
    layer = BodyLayer(body, kid=True)
    betas = torch.eye(11)[10:]
    assert body.kid_template is not None
    child = torch.from_numpy(body.kid_template)
    vertices = layer(torch.eye(3).expand(1, 24, 3, 3), betas).vertices[0]
    torch.testing.assert_close(vertices, child - child.mean(0), atol=1e-5, rtol=0)


def test_checkpoint_never_holds_the_body(body: BodyData) -> None:
    layer = BodyLayer(body, kid=True)
    assert not layer.state_dict()
    assert not list(layer.parameters())
    assert layer.to(torch.float64).v_template.dtype == torch.float64


def test_stays_exact_under_automatic_half_precision(body: BodyData) -> None:
    layer = BodyLayer(body, kid=False)
    torch.manual_seed(2)
    rotations, betas = rotation_from_axis_angle(torch.randn(2, 24, 3)), torch.randn(2, 10)
    exact, heights = layer(rotations, betas), layer.heights(betas)
    with torch.autocast('cpu', torch.bfloat16):
        cast, cast_heights = layer(rotations, betas), layer.heights(betas)
    assert torch.equal(cast.vertices, exact.vertices)
    assert torch.equal(cast_heights, heights)


def test_nothing_is_read_back_by_the_host(body: BodyData) -> None:
    """Fake tensors have no values: reading one, as smplx reads a tensor of parents, raises."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        layer = BodyLayer(body, kid=True)
        output = layer(torch.empty(3, 24, 3, 3), torch.empty(3, 11))
        assert output.joints.shape == (3, 45, 3)
        assert layer.heights(torch.empty(3, 11)).shape == (3,)


def test_gradients_reach_pose_and_shape(body: BodyData) -> None:
    layer = BodyLayer(body, kid=True)
    rotations = torch.eye(3).repeat(2, 24, 1, 1).requires_grad_()
    betas = torch.zeros(2, 11, requires_grad=True)
    layer(rotations, betas).joints.square().sum().backward()
    for gradient in (rotations.grad, betas.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


def test_layer_does_not_change_the_data(body: BodyData) -> None:
    before = body.v_template.copy()
    layer = BodyLayer(body, kid=False)
    layer.v_template += 1
    np.testing.assert_array_equal(body.v_template, before)


def test_child_axis_needs_a_child(body: BodyData) -> None:
    with pytest.raises(UserError, match=r'smpl_kid_template\.npy'):
        BodyLayer(replace(body, kid_template=None), kid=True)


@pytest.mark.parametrize(
    ('rotations', 'betas'),
    [((2, 24, 3, 3), (2, 11)), ((2, 23, 3, 3), (2, 10)), ((3, 24, 3, 3), (1, 10))],
)
def test_wrong_shapes_are_an_error(
    body: BodyData, rotations: tuple[int, ...], betas: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match='expected rotations'):
        BodyLayer(body, kid=False)(torch.zeros(rotations), torch.zeros(betas))
