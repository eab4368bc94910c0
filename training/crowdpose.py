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

"""CrowdPose's joints of a body, in place of its 45, for the fine-tune on Relative Human."""

from __future__ import annotations

import copy

from mahmr_model.body.data import BodyData
from mahmr_model.body.layer import BodyLayer, BodyOutput
from mahmr_model.errors import UserError
import torch
from torch import nn, Tensor
from training.metrics.joints import SMPL_JOINTS
from training.metrics.relative_human import CROWDPOSE


class CrowdPoseBody(nn.Module):
    """Poses no more vertices than those that the two further joints are weighted means of."""

    weights: Tensor

    def __init__(self, body: BodyData, kid: bool) -> None:
        super().__init__()
        if body.extra_regressor is None:
            raise UserError(
                f"CrowdPose's joints need J_regressor_extra.npy, but the body {body.name} has "
                'none; put it beside its file.'
            )
        further = [joint - SMPL_JOINTS for joint in CROWDPOSE if joint >= SMPL_JOINTS]
        rows = torch.from_numpy(body.extra_regressor)[further]
        used = rows.any(0).nonzero()[:, 0]
        wide = copy.copy(BodyLayer(body, kid))
        wide.extra_vertex_ids = used
        self._layer = wide.joints_only()
        self._smpl = [joint for joint in CROWDPOSE if joint < SMPL_JOINTS]
        self.register_buffer('weights', rows[:, used], persistent=False)

    def joints_only(self) -> CrowdPoseBody:
        """Return itself: it has no mesh."""
        return self

    def forward(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """Pose N bodies as `BodyLayer` does; `joints` are (N, 14, 3)."""
        posed = self._layer(rotations, betas).joints
        with torch.autocast(posed.device.type, enabled=False):
            further = torch.einsum('jv,nvc->njc', self.weights, posed[:, SMPL_JOINTS:])
        return BodyOutput(posed[:, :0], torch.cat([posed[:, self._smpl], further], dim=1))
