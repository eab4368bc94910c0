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

"""The joints of training are those of the body layer, with the same gradients."""

from __future__ import annotations

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import torch
from training.joint_body import JointBody


def test_joints_and_gradients_are_those_of_the_layer() -> None:
    layer = BodyLayer(load_body(OPEN_BODY), kid=True)
    body = JointBody(layer)
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(5, 24, 3, generator=generator).requires_grad_()
    betas = torch.randn(5, 11, generator=generator).requires_grad_()
    weights = torch.randn(5, 45, 3, generator=generator)
    joints = [model(rotation_from_axis_angle(pose), betas).joints for model in (layer, body)]
    torch.testing.assert_close(joints[1], joints[0], rtol=0, atol=2e-6)
    expected, ours = (torch.autograd.grad((one * weights).sum(), (pose, betas)) for one in joints)
    for mine, right in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, right, rtol=1e-4, atol=1e-4)


def test_nobody_has_no_joints() -> None:
    body = JointBody(BodyLayer(load_body(OPEN_BODY), kid=False))
    assert body(torch.zeros(0, 24, 3, 3), torch.zeros(0, 10)).joints.shape == (0, 45, 3)
