"""From a batch's predictions to its losses: every decoder layer, learnt and denoising queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.losses.losses import (
    confidence,
    confs,
    fov,
    map_losses,
    matched_losses,
    PeopleCounts,
)
from training.matcher import match
from training.people import Match, pair
from training.shares import Shares
from training.target import Target
from training.train_model import TrainingOutput

Losses = dict[str, Tensor]


def weighted_sum(losses: Losses, weights: Mapping[str, float]) -> Tensor:
    """
    Return what is minimised.

    A loss of another layer or of denoising queries (`poses.0`, `poses_dn.1`) has the weight of
    its name without suffixes.
    """
    return torch.stack([weights[base_name(name)] * value for name, value in losses.items()]).sum()


def base_name(name: str) -> str:
    """Return the name of a loss without layer and without denoising suffix."""
    return name.split('.')[0].removesuffix('_dn')


class Criterion:
    """Matches queries with people and computes the named losses."""

    def __init__(self, names: Sequence[str], input_size: int) -> None:
        self.names = names
        self.input_size = input_size

    def __call__(
        self, output: TrainingOutput, targets: Sequence[Target], shares: Shares | None = None
    ) -> tuple[Losses, Match]:
        """
        Return all losses by name, and the last layer's match.

        `shares` says what part of a larger step this batch is; None, that it is all of it.
        """
        counts = _counts(targets)
        losses: Losses = {}
        last = len(output.learnt) - 1
        for layer, people in enumerate(output.learnt):
            suffix = '' if layer == last else f'.{layer}'
            matched = match(people, targets, self.input_size)
            values = {'confs': confs(people, targets, matched)}
            pairs = pair(people, targets, matched)
            values |= matched_losses(pairs, self.names, counts, self.input_size)
            losses |= {name + suffix: value for name, value in values.items()}
        for layer, people in enumerate(output.denoising):
            suffix = '_dn' if layer == last else f'_dn.{layer}'
            assert output.queries is not None
            positives, groups = output.queries.match, output.queries.groups
            labels = torch.zeros_like(people.confidence_logits)
            labels[positives.picture, positives.query] = 1
            all_queries = confidence(people.confidence_logits, labels)
            values = {'confs': all_queries.mean() / groups}
            pairs = pair(people, targets, positives)
            values |= matched_losses(pairs, self.names, counts, self.input_size, groups)
            losses |= {name + suffix: value for name, value in values.items()}
        if output.scale_logits is not None:
            losses |= map_losses(output.scale_logits, targets)
        if output.fov_rad is not None:
            losses['fov'] = fov(output.fov_rad, targets)
        if shares is not None:
            losses = {name: value * shares.of(name) for name, value in losses.items()}
        return losses, matched


def _counts(targets: Sequence[Target]) -> PeopleCounts:
    with_3d = sum(len(target) for target in targets if target.valid_3d)
    return PeopleCounts(max(1, sum(len(target) for target in targets)), max(1, with_3d))
