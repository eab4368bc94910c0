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
Denoising queries (DN-DETR, arXiv 2203.01305; DINO, arXiv 2203.03605, section 3.3).

The truth, disturbed a little (positives) or more (negatives), goes through the decoder as further
queries, so that it learns to bring boxes and bodies back without a matching. They come before the
learnt queries in groups that do not see one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.decoder.query_decoder import logit
from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import nn, Tensor
from training.batch_truth import BatchTruth
from training.data.annotation import Ints
from training.losses.boxes import corners
from training.noise import signed_noise
from training.people import Match


@dataclass(frozen=True)
class DenoisingConfig:
    """How many denoising queries, and how much they are disturbed."""

    dn_number: int = 10
    """Groups; from 100 on, that many divided by twice the most people of a picture."""
    box_noise_scale: float = 0.4
    tgt_noise_scale: float = 0.2

    def groups(self, most_people: int) -> int:
        """Return the number of groups of a batch whose fullest picture has that many people."""
        if self.dn_number >= 100:
            return max(1, self.dn_number // (2 * max(most_people, 1)))
        return self.dn_number


@dataclass(frozen=True)
class DenoisingDraw:
    """What makes the queries of a batch those of the larger step that it is a part of."""

    most_people: int
    """The most people of a picture of the step."""
    seeds: Sequence[int]
    """(B,) where each picture's noise starts."""


@dataclass(frozen=True)
class DenoisingQueries:
    """The denoising queries of a batch: D = groups · 2 · P, P the most people of a picture."""

    content: Tensor
    """(B, D, d)."""
    box_logits: Tensor
    """(B, D, 4)."""
    match: Match
    """Which of them are the positives of which person, as of a single layer."""
    groups: int

    def attention_mask(self, learnt: int) -> Tensor:
        """
        Return which query (row) may see which (column), bool (D + learnt, D + learnt).

        A denoising query sees its own group and the learnt queries; these see only themselves.
        """
        count = self.content.shape[1]
        group = torch.arange(count, device=self.content.device) // (count // self.groups)
        mask = torch.zeros(count + learnt, count + learnt, dtype=torch.bool, device=group.device)
        mask[:count, :count] = group[:, None] == group[None, :]
        mask[:, count:] = True
        return mask


def denoising_queries(
    truth: BatchTruth,
    encode: nn.Linear,
    config: DenoisingConfig,
    draw: DenoisingDraw | None = None,
) -> DenoisingQueries | None:
    """
    Make the denoising queries of a batch; None where nobody is in it.

    Without a `draw` the batch stands for itself and the noise comes from torch's own state.
    """
    most = max(truth.people) if draw is None else draw.most_people
    if most == 0:
        return None
    device, groups, pictures = truth.device, config.groups(most), len(truth.people)
    number = np.arange(len(truth)) - truth.first_person[truth.picture]  # within the picture
    seeds = None if draw is None else np.asarray(draw.seeds, np.int64)[truth.picture]

    def noise(values: Tensor) -> Tensor:
        """Return ±U(0, 1) for positives, ±U(1, 2) for negatives: (P, groups, 2, n)."""
        shape = (len(truth), groups, 2, values.shape[1])
        amount = signed_noise(shape, number, seeds, device)
        far = torch.arange(2, device=device)[:, None]
        return amount + far * torch.where(amount < 0, -1, 1)

    body = torch.cat([truth.pose_axis_angle, truth.betas], dim=1)
    body = body[:, None, None] + noise(body) * config.tgt_noise_scale
    boxes = _disturbed_boxes(truth.boxes_cxcywh_norm, noise(truth.boxes_cxcywh_norm), config)
    slots = (truth.picture * groups * 2 * most + number)[:, None] + np.arange(2 * groups) * most
    places = on_device(slots.ravel(), device)

    def in_slots(values: Tensor) -> Tensor:
        empty = values.new_zeros(pictures * groups * 2 * most, values.shape[-1])
        filled = empty.index_copy(0, places, values.flatten(0, 2))
        return filled.unflatten(0, (pictures, -1))

    match = _positives(truth, groups, most)
    return DenoisingQueries(in_slots(encode(body).float()), in_slots(logit(boxes)), match, groups)


def _disturbed_boxes(boxes: Tensor, noise: Tensor, config: DenoisingConfig) -> Tensor:
    """Return boxes (P, groups, 2, 4) whose corners are moved by shares of half the sides."""
    half_sides = boxes[:, 2:].repeat(1, 2) / 2
    shift = noise * half_sides[:, None, None] * config.box_noise_scale
    low, high = (corners(boxes)[:, None, None] + shift).clamp(0, 1).split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def _positives(truth: BatchTruth, groups: int, most: int) -> Match:
    """Return which slots hold a person disturbed a little: group after group of each picture."""
    people = np.asarray(truth.people, np.int64)
    picture = np.repeat(np.arange(len(people)), people * groups)
    ends = (people * groups).cumsum()
    within: Ints = np.arange(len(picture)) - (ends - people * groups)[picture]
    group, number = np.divmod(within, people[picture])
    query = group * 2 * most + number
    return Match(picture, query[None], (truth.first_person[picture] + number)[None])
