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

"""The layer of joints alone against the layer of the whole mesh."""

from pathlib import Path

from mahmr_model.body.data import load_body
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import torch


def test_joints_alone_are_the_joints_of_the_mesh(random_body_folder: Path) -> None:
    layer = BodyLayer(load_body(random_body_folder), kid=True)
    small = layer.joints_only()
    torch.manual_seed(0)
    rotations = rotation_from_axis_angle(torch.randn(5, 24, 3))
    betas = torch.randn(5, 11)
    whole, alone = layer(rotations, betas), small(rotations, betas)
    torch.testing.assert_close(alone.joints, whole.joints, rtol=1e-5, atol=1e-5)
    assert alone.vertices.shape == (5, 45, 3)
    assert layer(rotations, betas).vertices.shape == (5, 6890, 3)  # the layer itself is as before
