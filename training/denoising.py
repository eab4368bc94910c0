"""
Denoising queries (DN-DETR, arXiv 2203.01305; DINO, arXiv 2203.03605, section 3.3).

The truth, disturbed a little (positives) or more (negatives), goes through the decoder as further
queries, so that it learns to bring boxes and bodies back without a matching. They come before the
learnt queries in groups that do not see one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn, Tensor

from mahmr_model.decoder.query_decoder import logit
from training.losses.boxes import corners
from training.people import Match
from training.target import Target


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
    """Which of them are the positives of which person."""
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
    targets: Sequence[Target],
    encode: nn.Linear,
    config: DenoisingConfig,
    draw: DenoisingDraw | None = None,
) -> DenoisingQueries | None:
    """
    Make the denoising queries of a batch; None where nobody is in it.

    Without a `draw` the batch stands for itself and the noise comes from torch's own state.
    """
    most = max(len(target) for target in targets) if draw is None else draw.most_people
    if most == 0:
        return None
    device, groups = encode.weight.device, config.groups(most)
    content = torch.zeros(len(targets), groups, 2, most, encode.out_features, device=device)
    box_logits = torch.zeros(len(targets), groups, 2, most, 4, device=device)
    slots = torch.arange(groups * 2 * most, device=device).view(groups, 2, most)
    pictures: list[Tensor] = []
    queries: list[Tensor] = []
    persons: list[Tensor] = []
    first = 0
    for index, target in enumerate(targets):
        count = len(target)
        noise = _Noise((groups, 2, count), None if draw is None else draw.seeds[index])
        content[index, :, :, :count] = encode(_disturbed_body(target, noise, config))
        box_logits[index, :, :, :count] = logit(_disturbed_boxes(target, noise, config))
        positives = slots[:, 0, :count].flatten()
        pictures.append(torch.full_like(positives, index))
        queries.append(positives)
        persons.append(first + torch.arange(count, device=device).repeat(groups))
        first += count
    match = Match(torch.cat(pictures), torch.cat(queries), torch.cat(persons))
    return DenoisingQueries(content.flatten(1, 3), box_logits.flatten(1, 3), match, groups)


class _Noise:
    """Draws ±U(0, 1) for positives and ±U(1, 2) for negatives, on the CPU for equal numbers."""

    def __init__(self, shape: tuple[int, int, int], seed: int | None) -> None:
        self._shape = shape
        self._generator = None if seed is None else torch.Generator().manual_seed(seed)

    def __call__(self, like: Tensor) -> Tensor:
        """Return noise (groups, 2, P, n) for values (P, n)."""
        shape = (*self._shape, like.shape[1])
        amount = torch.rand(shape, generator=self._generator)
        amount[:, 1] += 1
        sign = torch.randint(0, 2, shape, generator=self._generator) * 2 - 1
        return (amount * sign).to(like.device, non_blocking=True)


def _disturbed_boxes(target: Target, noise: _Noise, config: DenoisingConfig) -> Tensor:
    boxes = target.boxes_cxcywh_norm
    half_sides = boxes[:, 2:].repeat(1, 2) / 2
    shift = noise(boxes) * half_sides * config.box_noise_scale
    shifted = (corners(boxes) + shift).clamp(0, 1)
    low, high = shifted.split(2, dim=-1)
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def _disturbed_body(target: Target, noise: _Noise, config: DenoisingConfig) -> Tensor:
    body = torch.cat([target.pose_axis_angle, target.betas], dim=1)
    return body + noise(body) * config.tgt_noise_scale
