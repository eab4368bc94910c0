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

"""The mesh that is drawn for a person: the body, and what hangs on it, posed with its bones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mahmr_model.body.layer import BodyLayer
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from training.synthetic.scenes.hangings import Hanging, HANGINGS, PARAMETERS

Array = npt.NDArray[np.floating[Any]]
FIELDS = 12
"""Smooth random functions on the skin, from which folds are mixed."""


@dataclass(frozen=True)
class Costume:
    """What all people share: W = V + (what hangs) vertices, F triangles."""

    body: BodyLayer
    rest_m: Tensor
    """(W, 3) places in the mean body's T-pose, which say what part a vertex is of."""
    normal: Tensor
    """(V, 3) outward at rest."""
    field: Tensor
    """(V, FIELDS) smooth, about −1 to 1."""
    part_weight: Tensor
    """(W, 24) skinning weights."""
    hung_shape: Tensor
    """(W − V, 3, S) what the shape moves, as the nearest skin."""
    hung_change: Tensor
    """(PARAMETERS, W − V, 3) what each parameter of `Outfit.hanging` moves."""
    faces: Tensor
    """(F, 3)"""
    face_kind: Tensor
    """(F,) int8, 0 the body, k the k-th of HANGINGS."""
    face_part: Tensor
    """(F,) int8 which of the 24 joints moves most of it."""
    faces_at: Tensor
    """(W, M) triangles at each vertex, F where there are fewer."""


def make_costume(body: BodyLayer) -> Costume:
    """Hang everything in `HANGINGS` on a body like the open body."""
    device = body.v_template.device
    rest = body.v_template.cpu().numpy()
    body_faces = body.faces.cpu().numpy()
    hung = [make() for make in HANGINGS.values()]
    faces, kinds, first = [body_faces], [np.zeros(len(body_faces), np.int64)], len(rest)
    for kind, piece in enumerate(hung, 1):
        faces.append(piece.faces + first)
        kinds.append(np.full(len(piece.faces), kind))
        first += len(piece.rest_m)
    all_rest = np.concatenate([rest, *(piece.rest_m for piece in hung)]).astype(np.float32)
    all_faces = np.concatenate(faces)
    hung_rest = all_rest[slice(len(rest), None)]
    nearest = [_nearest(hung_rest[slice(i, i + 256)], rest) for i in range(0, len(hung_rest), 256)]
    skin = torch.from_numpy(np.concatenate(nearest)).to(device)
    weights = np.concatenate([piece.weights for piece in hung]).astype(np.float32)

    def tensor(array: npt.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    part_weight = torch.cat([body.skin_weights, tensor(weights)])
    mesh_faces = tensor(all_faces)
    return Costume(
        body,
        tensor(all_rest),
        tensor(_normals(rest, body_faces).astype(np.float32)),
        tensor(_fields(rest)),
        part_weight,
        body.shapedirs[skin],
        tensor(_changes(hung)),
        mesh_faces,
        tensor(np.concatenate(kinds).astype(np.int8)),
        part_weight[mesh_faces].sum(1).argmax(1).to(torch.int8),
        tensor(_faces_at(all_faces, len(all_rest))),
    )


def _nearest(points: Array, rest: Array) -> npt.NDArray[np.int64]:
    return np.square(points[:, None] - rest[None]).sum(2).argmin(1)


def _normals(rest: Array, faces: npt.NDArray[np.int64]) -> Array:
    a, b, c = (rest[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    smooth = np.zeros_like(rest)
    for corner in range(3):
        np.add.at(smooth, faces[:, corner], flat)
    return smooth / np.linalg.norm(smooth, axis=1, keepdims=True)


def _fields(rest: Array) -> Array:
    """
    Return sums of plane waves, the same for every run.

    The first half has waves of 12 to 60 cm; the second of 5 to 12 cm and a third as high, mostly
    along the limbs, as sleeves and trousers are pushed together.
    """
    rng = np.random.default_rng(5)
    fields = []
    for number in range(FIELDS):
        short = number >= FIELDS // 2
        waves = rng.normal(0, 1, (6, 3)) * ((0.6, 1.0, 0.6) if short else 1.0)
        length = rng.uniform(0.05, 0.12, (6, 1)) if short else rng.uniform(0.12, 0.6, (6, 1))
        waves *= 2 * np.pi / (length * np.linalg.norm(waves, axis=1, keepdims=True))
        phases = rng.uniform(0, 2 * np.pi, 6)
        fields.append(np.sin(rest @ waves.T + phases).mean(1) * (0.6 if short else 1.7))
    return np.stack(fields, 1).astype(np.float32)


def _changes(hung: list[Hanging]) -> Array:
    count = sum(len(piece.rest_m) for piece in hung)
    changes, first = np.zeros((len(PARAMETERS), count, 3), np.float32), 0
    for piece in hung:
        for name, change in piece.changes.items():
            changes[PARAMETERS.index(name), slice(first, first + len(piece.rest_m))] = change
        first += len(piece.rest_m)
    return changes


def _faces_at(faces: npt.NDArray[np.int64], vertices: int) -> npt.NDArray[np.int64]:
    owners = faces.ravel()
    order = np.argsort(owners, kind='stable')
    counts = np.bincount(owners, minlength=vertices)
    starts = np.cumsum(counts) - counts
    place = np.arange(len(order)) - starts[owners[order]]
    table = np.full((vertices, counts.max()), len(faces))
    table[owners[order], place] = order // 3
    return table


@dataclass(frozen=True)
class Posed:
    """P people in the cameras' frames, metres."""

    truth_m: Tensor
    """(P, V, 3) the skin, as `BodyLayer` has it."""
    joints_m: Tensor
    """(P, 45, 3)"""
    drawn_m: Tensor
    """(P, W, 3) clothed skin and what hangs on it."""
    normal: Tensor
    """(P, W, 3) unit, smooth, of what is drawn."""


def pose(
    costume: Costume,
    rotations: Tensor,
    betas: Tensor,
    translation_m: Tensor,
    thickness_m: Tensor,
    hanging: Tensor,
) -> Posed:
    """
    Pose P people, dressed.

    `rotations` (P, 24, 3, 3) and `betas` (P, S) as `BodyLayer` takes them; `thickness_m` (P, V) is
    how far clothes stand off the skin; `hanging` (P, PARAMETERS).
    """
    body = costume.body
    truth = body(rotations, betas)
    people = len(betas)
    if people == 0:
        empty = translation_m.new_zeros((0, len(costume.rest_m), 3))
        return Posed(truth.vertices, truth.joints, empty, empty)
    bones = body.bones(rotations, betas)
    skinning = costume.part_weight @ bones[:, :, :3].flatten(2)
    skinning = skinning.unflatten(2, (3, 4))
    split = len(body.v_template)
    off_m = costume.normal * thickness_m[..., None]
    skin = truth.vertices + _turned(skinning[:, :split, :, :3], off_m)
    hung_m = costume.rest_m[split:] + torch.einsum('ps,vcs->pvc', betas, costume.hung_shape)
    hung_m = hung_m + torch.einsum('pk,kvc->pvc', hanging, costume.hung_change)
    hung = _turned(skinning[:, split:, :, :3], hung_m) + skinning[:, split:, :, 3]
    drawn = torch.cat([skin, hung], 1)
    shift = translation_m[:, None]
    return Posed(
        truth.vertices + shift, truth.joints + shift, drawn + shift, _smooth(costume, drawn)
    )


def _turned(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices * vectors[..., None, :]).sum(-1)


def _smooth(costume: Costume, drawn: Tensor) -> Tensor:
    """Return (P, W, 3) normals, area-weighted means over the triangles at each vertex."""
    a, b, c = (drawn[:, costume.faces[:, k]] for k in range(3))
    flat = torch.nn.functional.pad(torch.linalg.cross(b - a, c - a), (0, 0, 0, 1))
    total = torch.zeros_like(drawn)
    for place in range(costume.faces_at.shape[1]):
        total += flat[:, costume.faces_at[:, place]]
    return torch.nn.functional.normalize(total, dim=2)
