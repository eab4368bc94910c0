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
What each token says of the person it lies on: dense lessons for an encoder that starts new.

The published recipe begins with an encoder that knows pictures (DINOv2, SAT-HMR). From random
weights, matched queries alone teach it slowly: a few people a picture. Here every token whose
centre shows a person learns that person's joints besides, as dense detectors do (FCOS, arXiv
1904.01355), and every token on somebody's outline or within it which part of a body each of nine
points shows, its centre and those of a square around it (as DensePose's segmentation, arXiv
1802.00434), and how far behind the person's root it is. The head is the training model's own;
the network has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import JOINT_NAMES_45, SMPL_JOINT_NAMES
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as functional
from training.batch_truth import BatchTruth
from training.config import TOKEN_LOSSES

STRIDE_PX = 7
"""The centres of tokens of every level lie on multiples of half a patch."""
_JOINTS = len(JOINT_NAMES_45)
_POINTS = 9
"""Of a token: three rows of three from border to border."""
_PARTS = 1 + len(SMPL_JOINT_NAMES)
"""None, or what one of the joints moves."""
TYPICAL_OFFSET, TYPICAL_M = 0.1, 0.2
"""
How large what is said usually is, relative to S and in metres. A linear layer of normalised
features says things of size 1 at first, and a step of 1e-3 moves each by up to 0.2: without these
it learns to say less for 100 steps before anything else.
"""


@dataclass(frozen=True)
class TokenPeople:
    """What T packed tokens say."""

    offsets: Tensor
    """(T, 45, 2) from the token's centre to the person's joints in the picture, relative to S."""
    joints_m: Tensor
    """(T, 45, 3) relative to the root, camera frame."""
    part_logits: Tensor
    """(T, 9, 25) of what each of a token's points shows: nothing of a body, or one of 24 parts."""
    depths_m: Tensor
    """(T, 9) how far behind their person's root they are, along the optical axis."""
    centres_px: Tensor
    """(T, 2) x, y."""
    levels: Tensor
    """(T,) as of `Tokens`."""
    picture: Tensor
    """(T,) int64."""

    @property
    def points_px(self) -> Tensor:
        """(T, 9, 2) x, y of the nine points, row by row."""
        one = torch.arange(-1, 2, device=self.levels.device)
        around = torch.cartesian_prod(one, one).flip(1)
        reach_px = STRIDE_PX * (1 << self.levels)[:, None, None]
        return self.centres_px[:, None] + around * reach_px


class TokenHead(nn.Linear):
    """A linear layer, so that the encoder itself has to do the work."""

    def __init__(self, encoder_dim: int, input_size: int) -> None:
        self._sizes = _JOINTS * 2, _JOINTS * 3, _POINTS * _PARTS, _POINTS
        super().__init__(encoder_dim, sum(self._sizes))
        self._input_size = input_size

    def forward(  # type: ignore[override]
        self, tokens: Tokens, picture: Tensor | None = None
    ) -> TokenPeople:
        """Read tokens as people; `picture` as of `TokenPeople`, where the device has it."""
        values = super().forward(tokens.features).float()
        offsets, joints, parts, depths = values.split(self._sizes, dim=1)
        if picture is None:
            counts = np.asarray(tokens.lengths)
            picture = on_device(np.repeat(np.arange(len(counts)), counts), values.device)
        return TokenPeople(
            TYPICAL_OFFSET * offsets.unflatten(1, (-1, 2)),
            TYPICAL_M * joints.unflatten(1, (-1, 3)),
            parts.unflatten(1, (-1, _PARTS)),
            TYPICAL_M * depths,
            tokens.centres_xy_norm * self._input_size,
            tokens.levels,
            picture,
        )


@dataclass(frozen=True)
class TokenTruth:
    """What T tokens should say."""

    shown: Tensor
    """(T,) bool: whether somebody is seen at a token's centre; other tokens' joints are unused."""
    joints_px: Tensor
    """(T, 45, 2)."""
    joints_m: Tensor
    """(T, 45, 3) relative to the root."""
    parts: Tensor
    """(T, 9) int64: 0 for nothing of a body, or 1 + the number of the part (`Rendered.part`)."""
    depths_m: Tensor
    """(T, 9) as of `TokenPeople`; infinite where nobody is seen who is asked for."""

    @property
    def near(self) -> Tensor:
        """(T,) bool: whether somebody is seen at any of a token's points."""
        return (self.parts > 0).any(1)


def token_losses(said: TokenPeople, truth: BatchTruth, input_size: int) -> dict[str, Tensor]:
    """
    Return the mean errors of tokens, by name.

    Summed over tokens and divided by the cells that show somebody, a quarter of which a small
    person's token is: what several batches share is then known before the network has run. All
    are 0 where nobody is asked for.
    """
    assert truth.person_map is not None
    assert truth.part_map is not None
    assert truth.depth_map is not None
    cells = (truth.scale_map[:, 0] > 0.5).sum().clamp(min=1)
    if not len(truth):
        everything = said.offsets, said.joints_m, said.part_logits, said.depths_m
        nothing = torch.stack([value.sum() for value in everything]).sum() * 0
        return dict.fromkeys(TOKEN_LOSSES, nothing)
    person = people_of_tokens(said, truth.person_map)
    row = person.clamp(min=0)
    root_relative = (truth.joints_camera_m - truth.joints_camera_m[:, :1])[row]
    true = TokenTruth(
        person >= 0,
        truth.joints_px[row],
        root_relative,
        parts_of_tokens(said, truth.part_map),
        depths_of_tokens(said, truth.depth_map),
    )
    return token_errors(said, true, cells, cells, input_size)


def token_errors(
    said: TokenPeople, true: TokenTruth, shown: Tensor, near: Tensor, input_size: int
) -> dict[str, Tensor]:
    """
    Return the sums of tokens' errors divided by a count.

    `token_j2ds` and `token_j3ds` are L1 as of `j2ds` and `j3ds`, of tokens that show somebody at
    their centre, divided by `shown`; `token_parts` is the cross entropy of those that do at any of
    their points, and `token_depths` is L1, both means of the nine points and divided by `near`.
    """
    offsets = (true.joints_px - said.centres_px[:, None]) / input_size
    j2ds = (said.offsets - offsets).abs().mean((1, 2))
    j3ds = (said.joints_m - true.joints_m).abs().mean((1, 2))
    logits = said.part_logits.transpose(1, 2)
    parts = functional.cross_entropy(logits, true.parts, reduction='none').mean(1)
    known_m = torch.where(true.depths_m.isfinite(), true.depths_m, said.depths_m)
    depths = (said.depths_m - known_m).abs().mean(1)
    return {
        'token_j2ds': torch.where(true.shown, j2ds, 0).sum() / shown,
        'token_j3ds': torch.where(true.shown, j3ds, 0).sum() / shown,
        'token_parts': torch.where(true.near, parts, 0).sum() / near,
        'token_depths': depths.sum() / near,
    }


def people_of_tokens(said: TokenPeople, person_map: Tensor) -> Tensor:
    """Return whom (T,) of a map (B, rows, columns) each token's centre shows; -1 where nobody."""
    return _seen_at(person_map, said.picture, said.centres_px, -1).long()


def parts_of_tokens(said: TokenPeople, part_map: Tensor) -> Tensor:
    """Return `TokenTruth.parts` of a map (B, rows, columns) as of `BatchTruth`."""
    return _seen_at(part_map, said.picture[:, None], said.points_px, -1).long() + 1


def depths_of_tokens(said: TokenPeople, depth_map: Tensor) -> Tensor:
    """Return `TokenTruth.depths_m` of a map (B, rows, columns) as of `BatchTruth`."""
    return _seen_at(depth_map, said.picture[:, None], said.points_px, torch.inf).float()


def _seen_at(seen: Tensor, picture: Tensor, places_px: Tensor, beyond: float) -> Tensor:
    """
    Return what a map (B, rows, columns) of every seventh pixel has at places x, y.

    `picture` (T, ...) is whose map, of places (T, ..., 2); `beyond` is what is beyond the map.
    """
    column, row = (places_px / STRIDE_PX).round().long().unbind(-1)
    rows, columns = seen.shape[1:]
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    there = seen[picture, row.clamp(0, rows - 1), column.clamp(0, columns - 1)]
    return torch.where(inside, there, beyond)
