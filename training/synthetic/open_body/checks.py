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

"""Is it a sound body: triangles turned inside out, torn edges, points inside."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import SMPL_PARENTS
import torch
from torch import Tensor
from training.synthetic.open_body.anny_source import Array

TORN_FACTOR = 3.0
TORN_LEAST_M = 0.01


@dataclass(frozen=True)
class Damage:
    """Per body (B,): triangles turned inside out, and torn edges."""

    flipped: Tensor
    torn: Tensor


def world_rotations(rotations: Tensor) -> Tensor:
    """Chain rotations (B, 24, 3, 3) relative to each joint's parent into those of body space."""
    world: list[Tensor] = []
    for joint, parent in enumerate(SMPL_PARENTS):
        own = rotations[:, joint]
        world.append(own if parent < 0 else world[parent] @ own)
    return torch.stack(world, dim=1)


def area_ratios(
    rest_m: Tensor, posed_m: Tensor, faces: Tensor, weights: Tensor, rotations: Tensor
) -> Tensor:
    """
    Return for each triangle (B, F) its area seen along the normal it should have, over its own.

    The normal it should have is the one of the unposed body, turned by its corners' mean
    skinning. 1 where the triangle just turns, negative where it is inside out.
    """
    rest = _normals(rest_m, faces)
    blend = torch.einsum('fj,bjac->bfac', weights[faces].mean(1), world_rotations(rotations))
    expected = (blend @ rest[..., None])[..., 0]
    expected = expected / expected.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    areas = rest.norm(dim=-1).clamp_min(1e-12)
    return (_normals(posed_m, faces) * expected).sum(-1) / areas


def stretch_ratios(rest_m: Tensor, posed_m: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each edge (B, E) posed length over unposed, and the difference in metres."""
    rest, posed = ((v[:, edges[:, 0]] - v[:, edges[:, 1]]).norm(dim=-1) for v in (rest_m, posed_m))
    return posed / rest.clamp_min(1e-9), posed - rest


def damage(
    rest_m: Tensor, posed_m: Tensor, faces: Tensor, weights: Tensor, rotations: Tensor
) -> Damage:
    """
    Count what posing has broken in bodies (B, V, 3), given `rotations` (B, 24, 3, 3).

    A triangle is inside out where its `area_ratios` is negative; an edge is torn where it is
    more than 3 times as long as unposed, and by more than 1 cm.
    """
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[edges[:, 0] < edges[:, 1]]
    ratio, longer_m = stretch_ratios(rest_m, posed_m, edges)
    flipped = area_ratios(rest_m, posed_m, faces, weights, rotations) < 0
    return Damage(flipped.sum(1), ((ratio > TORN_FACTOR) & (longer_m > TORN_LEAST_M)).sum(1))


def winding_numbers(points_m: Tensor, vertices_m: Tensor, faces: Tensor) -> Tensor:
    """
    Return (P,) how often a closed surface winds round points (P, 3): 1 inside, 0 outside.

    The sum of the triangles' solid angles (Van Oosterom and Strackee, 1983) over 4π.
    """
    a, b, c = (vertices_m[faces[:, i]] - points_m[:, None] for i in range(3))
    la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
    numerator = (a * torch.linalg.cross(b, c)).sum(-1)
    denominator = la * lb * lc
    denominator += (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2(numerator, denominator).sum(-1) / (2 * torch.pi)


def _normals(vertices_m: Tensor, faces: Tensor) -> Tensor:
    a, b, c = (vertices_m[:, faces[:, i]] for i in range(3))
    return torch.linalg.cross(b - a, c - a)


def as_tensor(array: Array) -> Tensor:
    """Return a float32 tensor of the same numbers."""
    return torch.tensor(array, dtype=torch.float32)
