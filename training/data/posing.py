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

"""
Bodies in the workers: joints for every draw, the mesh once, as one matrix product.

Nothing here needs gradients or a module, so the mesh is computed in a layout of its own: all x,
then all y, then all z, in which shape, pose correctives, skinning, projection and midpoints are
products and slices of contiguous memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mahmr_model.body.data import BodyData, Gender, load_body
from mahmr_model.body.layer import BodyLayer
from smplx.lbs import batch_rigid_transform
import torch
from torch import Tensor

GENDERS: tuple[Gender, ...] = ('neutral', 'male', 'female')


class WorkerBody:
    """A body of one gender, with as many shape parameters as its files allow (10 or 11)."""

    def __init__(self, data: BodyData) -> None:
        layer = BodyLayer(data, kid=data.kid_template is not None)
        self._joints = layer.joints_only()
        vertices = len(data.v_template)
        # One row a coefficient: the template, the shapes, the pose correctives (Loper et al.
        # 2015, equations 2, 8 and 9); one column a coordinate, x of all vertices first.
        self._basis = torch.cat(
            [
                layer.v_template.T.reshape(1, -1),
                layer.shapedirs.permute(2, 1, 0).flatten(1),
                layer.posedirs.unflatten(1, (vertices, 3)).transpose(1, 2).flatten(1),
            ]
        ).contiguous()
        regressor = layer.joint_regressor
        self._joint_template = regressor @ layer.v_template
        self._joint_shapes = torch.einsum('jv,vcs->sjc', regressor, layer.shapedirs).flatten(1)
        self._weights = layer.skin_weights.T.contiguous()
        self.faces = layer.faces

    @property
    def shape_count(self) -> int:
        """10, or 11 where the files have a child template."""
        return self._joints.shape_count

    @property
    def vertex_count(self) -> int:
        """V."""
        return self._weights.shape[1]

    def joints(self, rotations: Tensor, betas: Tensor) -> Tensor:
        """Return where 45 joints are, (P, 45, 3) in body space, from rotations (P, 24, 3, 3)."""
        return self._joints(rotations, betas).joints

    def heights(self, betas: Tensor) -> Tensor:
        """Return statures (P,) in metres at zero pose."""
        y = slice(self.vertex_count, 2 * self.vertex_count)
        known = torch.cat([torch.ones(len(betas), 1), betas], dim=1)
        at_rest = known @ self._basis[: known.shape[1], y]
        return at_rest.amax(1) - at_rest.amin(1)

    def mesh(self, rotations: Tensor, betas: Tensor) -> Tensor:
        """Return vertices (P, 3, V) in body space, one row a coordinate."""
        count = len(betas)
        feature = (rotations[:, 1:] - torch.eye(3)).flatten(1)
        coefficients = torch.cat([torch.ones(count, 1), betas, feature], dim=1)
        still = (coefficients @ self._basis).view(count, 3, -1)
        rest = self._joint_template + (betas @ self._joint_shapes).view(count, -1, 3)
        _, transforms = batch_rigid_transform(rotations, rest, self._joints.parents)
        rows = transforms[:, :, :3].permute(0, 2, 3, 1).reshape(-1, rotations.shape[1])
        blend = (rows @ self._weights).view(count, 3, 4, -1)
        x, y, z = still[:, None, 0], still[:, None, 1], still[:, None, 2]
        return blend[:, :, 0] * x + blend[:, :, 1] * y + (blend[:, :, 2] * z + blend[:, :, 3])


class WorkerBodies:
    """The bodies of all genders that are needed; people of a picture are posed by gender."""

    def __init__(self, path: Path, genders: Iterable[Gender] = GENDERS) -> None:
        """Load bodies from a folder in SMPL's layout or a single file; raises UserError."""
        if path.is_file():  # a single body stands for all genders
            self._bodies = dict.fromkeys(genders, WorkerBody(load_body(path)))
        else:
            self._bodies = {gender: WorkerBody(load_body(path, gender)) for gender in genders}
        first = next(iter(self._bodies.values()))
        self.faces = first.faces
        self.vertex_count = first.vertex_count
        self.shape_count = min(body.shape_count for body in self._bodies.values())

    def joints(self, rotations: Tensor, betas: Tensor, genders: Sequence[Gender]) -> Tensor:
        """Return where the 45 joints are, (P, 45, 3) in body space."""
        result = rotations.new_empty(len(genders), 45, 3)
        for body, of in self._groups(genders):
            result[of] = body.joints(rotations[of], betas[of])
        return result

    def meshes(self, rotations: Tensor, betas: Tensor, genders: Sequence[Gender]) -> Tensor:
        """Return vertices (P, 3, V) in body space, one row a coordinate."""
        if not genders:
            return rotations.new_empty(0, 3, self.vertex_count)
        parts = [(of, body.mesh(rotations[of], betas[of])) for body, of in self._groups(genders)]
        if len(parts) == 1:
            return parts[0][1]
        result = rotations.new_empty(len(genders), *parts[0][1].shape[1:])
        for of, mesh in parts:
            result[of] = mesh
        return result

    def heights(self, betas: Tensor, genders: Sequence[Gender]) -> Tensor:
        """Return statures (P,) in metres at zero pose."""
        result = betas.new_empty(len(genders))
        for body, of in self._groups(genders):
            result[of] = body.heights(betas[of])
        return result

    def _groups(self, genders: Sequence[Gender]) -> list[tuple[WorkerBody, list[int]]]:
        return [
            (self._bodies[gender], [i for i, g in enumerate(genders) if g == gender])
            for gender in dict.fromkeys(genders)
        ]
