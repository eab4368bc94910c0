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

"""The body as a layer of a network: rotations and shape in, mesh and joints out."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from mahmr_model.body.data import BodyData
from mahmr_model.errors import UserError
import smplx.lbs
import torch
from torch import nn, Tensor


@dataclass(frozen=True)
class BodyOutput:
    """N posed bodies in body space: metres, y up at zero pose, not yet translated."""

    vertices: Tensor
    """(N, V, 3)"""
    joints: Tensor
    """(N, 45, 3) named by `joints.JOINT_NAMES_45`."""


class _Parents:
    """
    The kinematic tree as `smplx.lbs` reads it, single joints as plain integers.

    Its loop over the joints would otherwise fetch every parent from the accelerator one by one.
    """

    def __init__(self, on_device: Tensor, numbers: list[int]) -> None:
        self.shape = on_device.shape
        self._on_device = on_device
        self._numbers = numbers

    def __getitem__(self, key: int | slice) -> int | Tensor:
        return self._on_device[key] if isinstance(key, slice) else self._numbers[key]


class BodyLayer(nn.Module):
    """
    Linear blend skinning of a body in SMPL's layout (Loper et al. 2015), computed by `smplx`.

    All arrays are buffers that no checkpoint holds: the body comes from its own file alone.
    With `kid`, the eleventh shape leads to the child template as smplx builds it for `age='kid'`:
    its direction is (child template − its mean over vertices) − adult template.
    """

    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor
    joint_regressor: Tensor
    skin_weights: Tensor
    parents: Tensor
    extra_vertex_ids: Tensor
    faces: Tensor

    def __init__(self, body: BodyData, kid: bool) -> None:
        super().__init__()
        template = torch.from_numpy(body.v_template)
        shapedirs = torch.from_numpy(body.shapedirs)
        if kid:
            if body.kid_template is None:
                raise UserError(
                    f'A child axis was asked for, but the body {body.name} has no child template; '
                    'put smpl_kid_template.npy beside its file, or use a network with 10 shapes.'
                )
            child = torch.from_numpy(body.kid_template)
            direction = child - child.mean(0) - template
            shapedirs = torch.cat((shapedirs, direction[..., None]), dim=2)
        buffers = {
            'v_template': template,
            'shapedirs': shapedirs,
            # (V, 3, 207) in the file; smplx multiplies from the left with (207, 3·V).
            'posedirs': torch.from_numpy(body.posedirs).flatten(0, 1).T.contiguous(),
            'joint_regressor': torch.from_numpy(body.joint_regressor),
            'skin_weights': torch.from_numpy(body.skin_weights),
            'parents': torch.from_numpy(body.parents),
            'extra_vertex_ids': torch.from_numpy(body.extra_vertex_ids),
            'faces': torch.from_numpy(body.faces),
        }
        for name, buffer in buffers.items():
            # Cloned, so that nothing done to the layer reaches the arrays it was built from.
            self.register_buffer(name, buffer.clone(), persistent=False)
        self._parent_numbers: list[int] = body.parents.tolist()

    @property
    def shape_count(self) -> int:
        """Return the number of shape parameters: 10, or 11 with the child axis."""
        return self.shapedirs.shape[2]

    def forward(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        """
        Pose N bodies, N may be 0.

        `rotations` (N, 24, 3, 3): joint 0 relative to body space, the others to their parent.
        `betas` (N, 10), or (N, 11) with the child axis. Always computed in the precision of the
        buffers: half precision would cost centimetres, so automatic casting is off in here.
        """
        count, device = len(betas), self.v_template.device
        self._check(rotations, betas)
        if count == 0:  # smplx infers sizes from the number of elements, which is then 0
            empty = betas.new_zeros((0, len(self.v_template), 3), dtype=self.v_template.dtype)
            return BodyOutput(empty, empty[:, : len(self.parents) + len(self.extra_vertex_ids)])
        with torch.autocast(device.type, enabled=False):
            vertices, joints = smplx.lbs.lbs(
                betas.to(self.v_template.dtype),
                rotations.to(self.v_template.dtype),
                self.v_template,
                self.shapedirs,
                self.posedirs,
                self.joint_regressor,
                _Parents(self.parents, self._parent_numbers),
                self.skin_weights,
                pose2rot=False,
            )
        picked = vertices[:, self.extra_vertex_ids]
        return BodyOutput(vertices, torch.cat((joints, picked), dim=1))

    def heights(self, betas: Tensor) -> Tensor:
        """Return statures (N,) in metres, the extent along y at zero pose, of `betas` (N, S)."""
        with torch.autocast(self.v_template.device.type, enabled=False):
            # At zero pose skinning changes nothing, so the y coordinates of the shape suffice.
            y = torch.einsum('ns,vs->nv', betas.to(self.v_template.dtype), self.shapedirs[:, 1])
            y = y + self.v_template[:, 1]
        return y.amax(1) - y.amin(1)

    def bones(self, rotations: Tensor, betas: Tensor) -> Tensor:
        """
        Return (N, 24, 4, 4) how each joint moves what hangs on it from zero pose to the pose.

        Arguments as of `forward`, N at least 1. For things beside the skin: clothes, hair.
        """
        self._check(rotations, betas)
        with torch.autocast(self.v_template.device.type, enabled=False):
            shape = torch.einsum('jv,vcs->jcs', self.joint_regressor, self.shapedirs)
            joints = self.joint_regressor @ self.v_template + torch.einsum(
                'ns,jcs->njc', betas.to(self.v_template.dtype), shape
            )
            parents = _Parents(self.parents, self._parent_numbers)
            bones: Tensor = smplx.lbs.batch_rigid_transform(
                rotations.to(self.v_template.dtype), joints, parents
            )[1]
        return bones

    def joints_only(self) -> BodyLayer:
        """
        Return a layer with the same 45 joints whose mesh is those joints alone.

        Everything up to the joints is linear in the shape, so the 21 picked vertices and the 24
        regressed joints at zero pose take the place of all vertices: some hundred times less
        work where no mesh is wanted.
        """
        small = copy.deepcopy(self)
        picked, regressor = self.extra_vertex_ids, self.joint_regressor
        count = len(self.parents)
        corrective = self.posedirs.unflatten(1, (-1, 3))[:, picked]
        still = corrective.new_zeros(len(corrective), count, 3)
        small.v_template = torch.cat([self.v_template[picked], regressor @ self.v_template])
        small.shapedirs = torch.cat(
            [self.shapedirs[picked], torch.einsum('jv,vcs->jcs', regressor, self.shapedirs)]
        )
        small.posedirs = torch.cat([corrective, still], dim=1).flatten(1)
        identity = torch.eye(count, device=regressor.device, dtype=regressor.dtype)
        small.joint_regressor = nn.functional.pad(identity, (len(picked), 0))
        small.skin_weights = torch.cat([self.skin_weights[picked], identity])
        small.extra_vertex_ids = torch.arange(len(picked), device=picked.device)
        small.faces = self.faces[:0]
        return small

    def _check(self, rotations: Tensor, betas: Tensor) -> None:
        count = len(betas)
        if betas.shape != (count, self.shape_count) or rotations.shape != (count, 24, 3, 3):
            raise ValueError(
                f'expected rotations (N, 24, 3, 3) and betas (N, {self.shape_count}), got '
                f'{tuple(rotations.shape)} and {tuple(betas.shape)}'
            )
