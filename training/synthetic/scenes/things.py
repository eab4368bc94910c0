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

"""Meshes of boxes, cylinders and ellipsoids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from training.data.annotation import Floats, Ints
from training.synthetic.scenes.batch import Batch
from training.synthetic.scenes.shadows import corners

_AROUND, _UP = 32, 12


@dataclass(frozen=True)
class Solid:
    """A solid of half sides 1 around the origin."""

    points: Tensor
    """(N, 3)"""
    normals: Tensor
    """(N, 3) outward; of the unit solid."""
    along: Tensor
    """(N, 2, 3): textures run by along · (point in metres)."""
    around: Tensor
    """(N,) and, around the axis, by this angle times the mean radius."""
    faces: Tensor
    """(F, 3)"""
    samples: Tensor
    """(K, 3) points spread over its skin, for shadows."""


def make_solids(device: torch.device) -> tuple[Solid, Solid, Solid]:
    """Return the unit box, cylinder and ellipsoid, in the order of `batch.SHAPES`."""
    return _box(device), _cylinder(device), _ellipsoid(device)


def _solid(
    device: torch.device,
    arrays: tuple[Floats, Floats, Floats, Floats],
    faces: Ints,
    samples: Floats,
) -> Solid:
    points, normals, along, around = (
        torch.from_numpy(array.astype(np.float32)).to(device) for array in arrays
    )
    sampled = torch.from_numpy(samples.astype(np.float32)).to(device)
    return Solid(points, normals, along, around, torch.from_numpy(faces).to(device), sampled)


def _box(device: torch.device) -> Solid:
    points: list[Floats] = []
    normals, along, faces, samples = [], [], [], []
    spread = np.linspace(-1, 1, 14)
    grid = np.stack(np.meshgrid(spread, spread, indexing='ij'), -1).reshape(-1, 2)
    for axis in range(3):
        for sign in (-1.0, 1.0):
            # Texture's t runs along y on the sides, so that patterns stand upright.
            s, t = ((2, 1), (0, 2), (0, 1))[axis]
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, s], corners[:, t] = (-1, 1, 1, -1), (-1, -1, 1, 1)
            normal = np.eye(3)[axis] * sign
            order = np.array([[0, 1, 2], [0, 2, 3]])
            outward = np.cross(corners[1] - corners[0], corners[2] - corners[0]) @ normal > 0
            faces.append((order if outward else order[:, ::-1]) + 4 * len(points))
            points.append(corners)
            normals.append(np.tile(normal, (4, 1)))
            along.append(np.tile(np.eye(3)[[s, t]], (4, 1, 1)))
            sample = np.zeros((len(grid), 3))
            sample[:, axis], sample[:, [s, t]] = sign, grid
            samples.append(sample)
    arrays = (np.concatenate(points), np.concatenate(normals), np.concatenate(along), np.zeros(24))
    return _solid(device, arrays, np.concatenate(faces), np.concatenate(samples))


def _rings(
    heights: Floats, radii: Floats, normals_y: Floats, normals_r: Floats
) -> tuple[tuple[Floats, Floats, Floats, Floats], Ints]:
    """Return a surface of revolution around y, rows from below, with a seam."""
    angle = np.linspace(0, 2 * np.pi, _AROUND + 1)[None]
    shape = (len(heights), _AROUND + 1)

    def ring(y: Floats, r: Floats) -> Floats:
        parts = (r[:, None] * np.sin(angle), y[:, None], r[:, None] * np.cos(angle))
        return np.stack([np.broadcast_to(part, shape) for part in parts], -1).reshape(-1, 3)

    along = np.zeros((shape[0] * shape[1], 2, 3))
    along[:, 1, 1] = 1
    around = np.broadcast_to(angle, shape).reshape(-1)
    row, column = np.meshgrid(np.arange(len(heights) - 1), np.arange(_AROUND), indexing='ij')
    a = row * (_AROUND + 1) + column
    b, c, d = a + 1, a + _AROUND + 1, a + _AROUND + 2
    faces = np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)]).reshape(-1, 3)
    return (ring(heights, radii), ring(normals_y, normals_r), along, around), faces


def _cylinder(device: torch.device) -> Solid:
    ones, zeros = np.ones(2), np.zeros(2)
    ends = np.array([-1.0, 1.0])
    pieces = [
        _rings(ends, ones, zeros, ones),
        _rings(np.array([-1.0, -1.0]), np.array([1e-3, 1.0]), -ones, zeros),
        _rings(np.array([1.0, 1.0]), np.array([1.0, 1e-3]), ones, zeros),
    ]
    first = np.cumsum([0] + [len(arrays[0]) for arrays, _ in pieces])
    arrays = tuple(np.concatenate([piece[0][k] for piece in pieces]) for k in range(4))
    faces = np.concatenate([piece[1] + first[k] for k, piece in enumerate(pieces)])
    heights = np.linspace(-1, 1, 30)
    (side, *_), _ = _rings(heights, np.ones(30), np.zeros(30), np.ones(30))
    radii = np.linspace(0, 1, 8)
    (lids, *_), _ = _rings(np.ones(8), radii, np.ones(8), np.zeros(8))
    samples = np.concatenate([side, lids, lids * [1, -1, 1]])
    return _solid(device, (arrays[0], arrays[1], arrays[2], arrays[3]), faces, samples)


def _ellipsoid(device: torch.device) -> Solid:
    up = np.linspace(-np.pi / 2, np.pi / 2, _UP + 1)
    arrays, faces = _rings(np.sin(up), np.cos(up), np.sin(up), np.cos(up))
    fine = np.linspace(-np.pi / 2, np.pi / 2, 30)
    (samples, *_), _ = _rings(np.sin(fine), np.cos(fine), np.sin(fine), np.cos(fine))
    return _solid(device, arrays, faces, samples)


@dataclass(frozen=True)
class PlacedThings:
    """All things of a batch as one mesh."""

    points_m: Tensor
    """(N, 3)"""
    normals: Tensor
    """(N, 3)"""
    texture_m: Tensor
    """(N, 3) s, t, 0."""
    faces: Tensor
    """(F, 3)"""
    owner: Tensor
    """(F,) which thing."""
    samples_m: Tensor
    """(K, 3) for shadows."""
    sample_owner: Tensor
    """(K,)"""
    corners_m: Tensor
    """(T, 8, 3) of each thing's box."""


def place_things(solids: tuple[Solid, Solid, Solid], batch: Batch) -> PlacedThings:
    """Bring the solids to where their things are."""
    pieces, start, first = [], 0, 0
    for solid, count in zip(solids, batch.shape_counts, strict=True):
        part = slice(start, start + count)
        half, centre = batch.thing_half_m[part, None], batch.thing_centre_m[part, None]
        turn = batch.thing_rotation[part].transpose(1, 2)
        own = solid.points * half
        normals = torch.nn.functional.normalize((solid.normals / half) @ turn, dim=2)
        texture = torch.einsum('nkc,tnc->tnk', solid.along, own)
        texture[..., 0] += solid.around * half[..., [0, 2]].mean(2)
        number = torch.arange(count, device=own.device)
        faces = solid.faces + (first + number * len(solid.points))[:, None, None]
        pieces.append(
            (
                (own @ turn + centre).flatten(0, 1),
                normals.flatten(0, 1),
                torch.nn.functional.pad(texture, (0, 1)).flatten(0, 1),
                faces.flatten(0, 1),
                (number + start).repeat_interleave(len(solid.faces)),
                ((solid.samples * half) @ turn + centre).flatten(0, 1),
                (number + start).repeat_interleave(len(solid.samples)),
            )
        )
        start, first = start + count, first + count * len(solid.points)
    half = batch.thing_half_m
    boxes = corners(-half, half) @ batch.thing_rotation.transpose(1, 2)
    points, normals, texture, faces, owner, samples, sample_owner = (
        torch.cat(parts) for parts in zip(*pieces, strict=True)
    )
    boxes = boxes + batch.thing_centre_m[:, None]
    return PlacedThings(points, normals, texture, faces, owner, samples, sample_owner, boxes)
