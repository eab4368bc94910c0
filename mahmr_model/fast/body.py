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

"""Bodies of kept queries: the arithmetic of `BodyLayer` in few large products, in float32."""

from __future__ import annotations

from mahmr_model.body.layer import BodyLayer, BodyOutput
import torch
from torch import Tensor


class FastBody:
    """
    Linear blend skinning (Loper et al. 2015) of many bodies at once.

    Shape and pose correctives are one product. Joints follow from the shape by a small product of
    their own; their chain of transforms is composed in steps that double its length.
    """

    def __init__(self, layer: BodyLayer) -> None:
        template, shapes = layer.v_template.double(), layer.shapedirs.double()
        regressor = layer.joint_regressor.double()
        self.template = layer.v_template.flatten()
        blend = [layer.shapedirs.flatten(0, 1).T, layer.posedirs]
        self.blend = torch.cat(blend).contiguous()
        self.y_template = layer.v_template[:, 1].contiguous()
        self.y_shapes = layer.shapedirs[:, 1].T.contiguous()
        self.joint_template = (regressor @ template).flatten().float()
        joint_shapes = torch.einsum('jv,vcs->sjc', regressor, shapes)
        self.joint_shapes = joint_shapes.flatten(1).float().contiguous()
        self.skin_weights = layer.skin_weights
        self.picked = layer.extra_vertex_ids
        parents = layer.parents.clone()
        count = len(parents)
        parents[0] = count  # beyond the root there is a joint that never moves
        self.parents = parents
        steps = torch.cat([parents, parents.new_tensor([count])])
        self.steps: list[Tensor] = []
        while (steps[:-1] != count).any():
            self.steps.append(steps)
            steps = steps[steps]

    def __call__(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """Pose bodies: rotations (P, 24, 3, 3) relative to each joint's parent, betas (P, S)."""
        count = len(betas)
        identity = torch.eye(3, device=betas.device)
        correctives = (rotations[:, 1:] - identity).flatten(1)
        shaped = torch.addmm(self.template, torch.cat([betas, correctives], 1), self.blend)
        joints = torch.addmm(self.joint_template, betas, self.joint_shapes).view(
            count, len(self.parents), 3
        )
        chain = self._chain(rotations, joints)
        moved = chain[:, :-1, :3]
        still = (moved[..., :3] @ joints[..., None])[..., 0]
        bones = torch.cat([moved[..., :3], (moved[..., 3] - still)[..., None]], -1)
        blended = (self.skin_weights @ bones.flatten(2)).unflatten(2, (3, 4))
        points = shaped.view(count, len(self.skin_weights), 1, 3)
        vertices = (blended[..., :3] * points).sum(-1) + blended[..., 3]
        return BodyOutput(vertices, torch.cat([moved[..., 3], vertices[:, self.picked]], 1))

    def heights(self, betas: Tensor) -> Tensor:
        """Return statures (P,): the extent along y at zero pose."""
        y = torch.addmm(self.y_template, betas, self.y_shapes)
        return y.amax(1) - y.amin(1)

    def _chain(self, rotations: Tensor, joints: Tensor) -> Tensor:
        """Compose each joint's transform with those of all joints above it: (P, 25, 4, 4)."""
        count, joint_count = joints.shape[:2]
        origins = torch.cat([joints, joints.new_zeros(count, 1, 3)], 1)[:, self.parents]
        local = torch.eye(4, device=joints.device).repeat(count, joint_count + 1, 1, 1)
        local[:, :-1, :3, :3] = rotations
        local[:, :-1, :3, 3] = joints - origins
        for step in self.steps:
            above = local[:, step]  # products of 4×4 are quicker by hand
            local = (above[..., None] * local[:, :, None]).sum(-2)
        return local
