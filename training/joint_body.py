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

"""The 45 joints of a body, for losses that want no mesh: few large products, with gradients."""

from __future__ import annotations

from mahmr_model.body.layer import BodyLayer, BodyOutput
import torch
from torch import nn, Tensor


class JointBody(nn.Module):
    """
    Linear blend skinning (Loper et al. 2015) of the 21 picked vertices alone.

    Shape and pose correctives of vertices and the joints at rest are one product, and the chain of
    transforms is composed in steps that double its length, instead of joint by joint.
    """

    blend: Tensor
    template: Tensor
    skin_weights: Tensor
    parents: Tensor

    def __init__(self, layer: BodyLayer) -> None:
        """Take a body with its mesh; the result is float32 and never learnt."""
        super().__init__()
        small = layer.joints_only()
        picked = len(small.extra_vertex_ids)
        buffers = {
            'blend': torch.cat([small.shapedirs.flatten(0, 1).T, small.posedirs]),
            'template': small.v_template.flatten(),
            'skin_weights': small.skin_weights[:picked],
            'parents': small.parents.clone(),
        }
        count = len(small.parents)
        buffers['parents'][0] = count  # above the root there is a joint that never moves
        steps = torch.cat([buffers['parents'], buffers['parents'].new_tensor([count])])
        self._steps: list[str] = []
        while (steps[:-1] != count).any():
            self._steps.append(f'step_{len(self._steps)}')
            buffers[self._steps[-1]] = steps
            steps = steps[steps]
        for name, value in buffers.items():
            self.register_buffer(name, value.contiguous(), persistent=False)

    def joints_only(self) -> JointBody:
        """Return itself: it has no mesh."""
        return self

    def forward(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """Pose N bodies as `BodyLayer` does; `vertices` are none, `joints` (N, 45, 3)."""
        with torch.autocast(rotations.device.type, enabled=False):
            picked = len(self.skin_weights)
            identity = torch.eye(3, device=rotations.device)
            coefficients = torch.cat([betas, (rotations[:, 1:] - identity).flatten(1)], dim=1)
            points = torch.addmm(self.template, coefficients, self.blend).unflatten(1, (-1, 3))
            vertices, rest = points.split([picked, len(self.parents)], dim=1)
            moved = self._chain(rotations, rest)[:, :-1, :3]
            turn, joints = moved[..., :3], moved[..., 3]
            shift = joints - (turn * rest[:, :, None]).sum(-1)
            bones = torch.cat([turn, shift[..., None]], dim=-1).flatten(2)
            blended = torch.matmul(self.skin_weights, bones).unflatten(2, (3, 4))
            skin = (blended[..., :3] * vertices[:, :, None]).sum(-1) + blended[..., 3]
        return BodyOutput(joints[:, :0], torch.cat([joints, skin], dim=1))

    def _chain(self, rotations: Tensor, rest: Tensor) -> Tensor:
        """Compose each joint's transform with those of all joints above it: (N, 25, 4, 4)."""
        above = nn.functional.pad(rest, (0, 0, 0, 1)).index_select(1, self.parents)
        local = torch.cat([rotations, (rest - above)[..., None]], dim=-1)
        last = torch.eye(4, device=rest.device)
        below = last[3].expand(*local.shape[:2], 1, 4)
        local = torch.cat([local, below], dim=2)
        local = torch.cat([local, last.expand(len(local), 1, 4, 4)], dim=1)
        for step in self._steps:
            above_it = local.index_select(1, self.get_buffer(step))
            # Written out, as a library takes longer over hundreds of thousands of 4×4 products.
            local = (above_it[..., None] * local[..., None, :, :]).sum(-2)
        return local
