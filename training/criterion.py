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

"""From a batch's predictions to its losses: every decoder layer, learnt and denoising queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.batch_truth import BatchTruth, packed
from training.denoising import DenoisingQueries
from training.losses.losses import confs, fov, map_losses, matched_losses, PeopleCounts
from training.matcher import PendingMatch
from training.people import LayerMatch, Match, pair, QueryPeople
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
    return _times(losses, [weights[base_name(name)] for name in losses]).sum()


def _times(losses: Losses, factors: Sequence[float]) -> Tensor:
    """Return all losses times a factor each: some 70 of them, in two operations."""
    stacked = torch.stack(list(losses.values()))
    return stacked * on_device(np.asarray(factors, np.float32), stacked.device)


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
            losses |= self._denoising_confidence(output, output.queries, truth)
        matched = pending.match()
        losses |= self._losses_of_people(output, truth, matched)
        if shares is not None:
            parts = _times(losses, [shares.of(name) for name in losses]).unbind()
            losses = dict(zip(losses, parts, strict=True))
        return losses, matched.layer(output.layers - 1)

    @torch.no_grad()
    def _pending_match(self, output: TrainingOutput, truth: BatchTruth) -> PendingMatch:
        count = output.learnt_rows.shape[1]
        shape = (output.layers, len(truth.people), -1)
        return PendingMatch(
            output.rows.confidence_logits[:, :count].float().unflatten(1, shape[1:]),
            output.rows.boxes_cxcywh_norm[:, :count].float().unflatten(1, shape[1:]),
            output.pixels(output.learnt_rows).unflatten(0, shape),
            truth,
            self.input_size,
        )

    def _denoising_confidence(
        self, output: TrainingOutput, queries: DenoisingQueries, truth: BatchTruth
    ) -> Losses:
        assert output.denoising_logits is not None
        all_count = replace(truth, detect_all_people=(True,) * len(truth.people))
        match = queries.match.in_layers(output.layers)
        values = confs(output.denoising_logits, all_count, match) / queries.groups
        return _by_layer({'confs': values}, '_dn')

    def _losses_of_people(self, output: TrainingOutput, truth: BatchTruth, match: Match) -> Losses:
        """Return the losses of matched queries, and of denoising ones that are somebody."""
        rows = output.learnt_rows.shape[1]
        queries = rows // len(truth.people)
        logits = output.rows.confidence_logits[:, :rows].float().unflatten(1, (-1, queries))
        matched = match.picture * queries + match.query
        # Both are posed in one go, and taken apart again.
        people = output.posed(np.concatenate([matched, output.denoising_rows], axis=1))
        counts = [matched.shape[1], output.denoising_rows.shape[1]]
        parts = {
            name: [
                part.flatten(0, 1)
                for part in value.unflatten(0, (output.layers, -1)).split(counts, dim=1)
            ]
            for name, value in vars(people).items()
        }
        learnt, denoised = (QueryPeople(*(p[i] for p in parts.values())) for i in range(2))
        people_counts, size = _counts(truth), self.input_size
        values = {'confs': confs(logits, truth, match)}
        values |= matched_losses(pair(learnt, truth, match), self.names, people_counts, size)
        losses = _by_layer(values, '')
        if output.queries is not None:
            pairs = pair(denoised, truth, output.queries.match.in_layers(output.layers))
            groups = output.queries.groups
            values = matched_losses(pairs, self.names, people_counts, size, groups)
            losses |= _by_layer(values, '_dn')
        return losses


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
