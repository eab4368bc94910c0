"""From a batch's predictions to its losses: every decoder layer, learnt and denoising queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from training.batch_truth import BatchTruth, packed
from training.losses.losses import confs, fov, map_losses, matched_losses, PeopleCounts
from training.matcher import PendingMatch
from training.people import LayerMatch, Match, pair
from training.shares import Shares
from training.target import Target
from training.token_people import token_losses
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
        self,
        output: TrainingOutput,
        targets: Sequence[Target] | BatchTruth,
        shares: Shares | None = None,
    ) -> tuple[Losses, LayerMatch]:
        """
        Return all losses by name, and the last layer's match.

        `shares` says what part of a larger step this batch is; None, that it is all of it.
        """
        truth = packed(targets)
        pending = self._pending_match(output, truth)
        losses: Losses = {}
        # What needs no match comes first: the device does it while the host is matching.
        if output.scale_logits is not None:
            losses |= map_losses(output.scale_logits, truth)
        if output.fov_rad is not None:
            losses['fov'] = fov(output.fov_rad, truth)
        if output.token_people is not None:
            losses |= token_losses(output.token_people, truth, self.input_size)
        if output.queries is not None:
            losses |= self._denoising_losses(output, truth)
        matched = pending.match()
        losses |= self._learnt_losses(output, truth, matched)
        if shares is not None:
            losses = {name: value * shares.of(name) for name, value in losses.items()}
        return losses, matched.layer(output.layers - 1)

    @torch.no_grad()
    def _pending_match(self, output: TrainingOutput, truth: BatchTruth) -> PendingMatch:
        people = output.posed(output.learnt_rows)
        shape = (output.layers, len(truth.people), -1)
        return PendingMatch(people.each(lambda v: v.unflatten(0, shape)), truth, self.input_size)

    def _learnt_losses(self, output: TrainingOutput, truth: BatchTruth, match: Match) -> Losses:
        rows = output.learnt_rows.shape[1]
        queries = rows // len(truth.people)
        logits = output.rows.confidence_logits[:, :rows].float().unflatten(1, (-1, queries))
        values = {'confs': confs(logits, truth, match)}
        pairs = pair(output.posed(match.picture * queries + match.query), truth, match)
        values |= matched_losses(pairs, self.names, _counts(truth), self.input_size)
        return _by_layer(values, '')

    def _denoising_losses(self, output: TrainingOutput, truth: BatchTruth) -> Losses:
        assert output.queries is not None
        assert output.denoising_logits is not None
        groups = output.queries.groups
        match = output.queries.match.in_layers(output.layers)
        all_count = replace(truth, detect_all_people=(True,) * len(truth.people))
        values = {'confs': confs(output.denoising_logits, all_count, match) / groups}
        pairs = pair(output.posed(output.denoising_rows), truth, match)
        values |= matched_losses(pairs, self.names, _counts(truth), self.input_size, groups)
        return _by_layer(values, '_dn')


def _by_layer(values: Mapping[str, Tensor], suffix: str) -> Losses:
    """Return losses (L,) one by one; the last layer's have no number."""
    losses: Losses = {}
    for name, of_layers in values.items():
        *auxiliary, last = of_layers.unbind()
        losses[name + suffix] = last
        losses |= {f'{name}{suffix}.{i}': value for i, value in enumerate(auxiliary)}
    return losses


def _counts(truth: BatchTruth) -> PeopleCounts:
    return PeopleCounts(max(1, len(truth)), max(1, int(truth.person_valid_3d.sum())))
