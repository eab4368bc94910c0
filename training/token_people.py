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
1904.01355). The head is the training model's own; the network has no part in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.body.joints import JOINT_NAMES_45
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
from training.batch_truth import BatchTruth

STRIDE_PX = 7
"""The centres of tokens of every level lie on multiples of half a patch."""
_JOINTS = len(JOINT_NAMES_45)
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
    centres_px: Tensor
    """(T, 2) x, y."""
    picture: Tensor
    """(T,) int64."""


class TokenHead(nn.Linear):
    """A linear layer, so that the encoder itself has to do the work."""

    def __init__(self, encoder_dim: int, input_size: int) -> None:
        super().__init__(encoder_dim, _JOINTS * 5)
        self._input_size = input_size

    def forward(  # type: ignore[override]
        self, tokens: Tokens, picture: Tensor | None = None
    ) -> TokenPeople:
        """Read tokens as people; `picture` as of `TokenPeople`, where the device has it."""
        values = super().forward(tokens.features).float()
        offsets, joints = values.split([_JOINTS * 2, _JOINTS * 3], dim=1)
        if picture is None:
            counts = np.asarray(tokens.lengths)
            picture = on_device(np.repeat(np.arange(len(counts)), counts), values.device)
        return TokenPeople(
            TYPICAL_OFFSET * offsets.unflatten(1, (-1, 2)),
            TYPICAL_M * joints.unflatten(1, (-1, 3)),
            tokens.centres_xy_norm * self._input_size,
            picture,
        )


def token_losses(said: TokenPeople, truth: BatchTruth, input_size: int) -> dict[str, Tensor]:
    """
    Return `token_j2ds` and `token_j3ds`: L1 as of `j2ds` and `j3ds`, of tokens that show somebody.

    Summed over these tokens and divided by the cells that show somebody, four of which a small
    person's token makes: what several batches share is then known before the network has run.
    """
    assert truth.person_map is not None
    cells = (truth.scale_map[:, 0] > 0.5).sum().clamp(min=1)
    if not len(truth):
        nothing = (said.offsets.sum() + said.joints_m.sum()) * 0
        return {'token_j2ds': nothing, 'token_j3ds': nothing}
    person = people_of_tokens(said, truth)
    shown, row = person >= 0, person.clamp(min=0)
    root_relative = (truth.joints_camera_m - truth.joints_camera_m[:, :1])[row]
    return token_errors(said, truth.joints_px[row], root_relative, shown, cells, input_size)


def token_errors(
    said: TokenPeople,
    joints_px: Tensor,
    joints_m: Tensor,
    shown: Tensor,
    count: Tensor,
    input_size: int,
) -> dict[str, Tensor]:
    """
    Return the sums of `token_losses` divided by a count.

    Each token's person has joints_px (T, 45, 2) and joints_m (T, 45, 3), relative to the root;
    shown (T,) says which tokens show somebody.
    """
    offsets = (joints_px - said.centres_px[:, None]) / input_size
    j2ds = (said.offsets - offsets).abs().mean((1, 2))
    j3ds = (said.joints_m - joints_m).abs().mean((1, 2))
    return {
        'token_j2ds': torch.where(shown, j2ds, 0).sum() / count,
        'token_j3ds': torch.where(shown, j3ds, 0).sum() / count,
    }


def people_of_tokens(said: TokenPeople, truth: BatchTruth) -> Tensor:
    """Return whom (T,) each token's centre shows; -1 where nobody, or beyond the picture."""
    assert truth.person_map is not None
    sizes = on_device(np.asarray(truth.sizes_hw, np.int64), truth.device)[said.picture]
    inside = (said.centres_px < sizes.flip(1)).all(1)
    column, row = (said.centres_px / STRIDE_PX).round().long().unbind(1)
    _, rows, columns = truth.person_map.shape
    place = said.picture, row.clamp(max=rows - 1), column.clamp(max=columns - 1)
    return torch.where(inside, truth.person_map[place].long(), -1)
