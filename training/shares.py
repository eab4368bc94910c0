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
One step of many batches: what makes several processes, or accumulated batches, one large batch.

A loss is a mean over something that batches hold different amounts of: people, queries, cells,
pairs. The mean of the batches' means is therefore not the mean of the whole. So every batch's
loss is multiplied by its share: its amount over the average amount of the step's batches. The
amounts follow from the truth alone and are known before the network runs, at the price of one
small exchange between processes a step.

With the shares, the average over P processes and A accumulated batches of B pictures equals, up
to float error, the loss (and so the gradient) of one batch of P·A·B pictures. `fov` is a sum, so
that its share is P·A: its weight grows with the whole batch. The one exception: where a picture
has more people than there are queries, which people are matched decides how many pairs and 3-D
people count, and the shares, taken from all people, are approximate. A step of a single batch is
exactly the published one in every case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.batch_truth import BatchTruth
from training.config import TOKEN_LOSSES
from training.denoising import DenoisingConfig
from training.losses.losses import PAIR_LOSSES, PERSON_LOSSES
from training.people import truth_pairs

Gather = Callable[[Tensor], Tensor]
"""From a tensor (A, K) of each process to those of all of them (P·A, K)."""

_COUNTED = (
    'pictures',
    'people',
    'people_3d',
    'queries',
    'cells',
    'positive_cells',
    'most_people',
    *PAIR_LOSSES,
)

_KINDS = ('sum', *_COUNTED, *(f'{name}_dn' for name in PAIR_LOSSES))


@dataclass(frozen=True)
class Shares:
    """What each loss of one batch is multiplied by."""

    by_kind: dict[str, float]
    most_people: int
    """The most people of a picture of the whole step: as many slots a denoising group has."""

    def of(self, name: str) -> float:
        """Return the share of a loss, whatever its layer (`poses_dn.1`)."""
        return self.by_kind[_kind(name.split('.')[0])]


def step_shares(
    batches: Sequence[BatchTruth],
    queries: int,
    denoising: DenoisingConfig | None,
    gather: Gather | None = None,
) -> list[Shares]:
    """
    Return the shares of each batch of this process in a step; every process calls this.

    `gather` is None where there is a single process. A step of a single batch is all of it: then
    nothing is counted, and nothing waits for the device.
    """
    if gather is None and len(batches) == 1:
        return [Shares(dict.fromkeys(_KINDS, 1.0), max(batches[0].people))]
    own = torch.stack([_counts(truth, queries) for truth in batches])
    all_counts = (own if gather is None else gather(own)).cpu().double()
    most_people = int(all_counts[:, _COUNTED.index('most_people')].max())
    groups = 0 if denoising is None else denoising.groups(most_people)
    every = _by_kind(all_counts, groups)
    mine = _by_kind(own.cpu().double(), groups)
    parts = float(len(all_counts))
    return [
        Shares(
            {'sum': parts}
            | {
                kind: float(mine[kind][i] / values.mean()) if values.any() else 1.0
                for kind, values in every.items()
            },
            most_people,
        )
        for i in range(len(batches))
    ]


def _kind(name: str) -> str:
    """Return what a loss is a mean over."""
    base = name.removesuffix('_dn')
    if base in PERSON_LOSSES:
        return 'people_3d' if PERSON_LOSSES[base].needs_3d else 'people'
    if base in PAIR_LOSSES:
        return name
    kinds = {
        'confs': 'queries',
        'confs_dn': 'pictures',  # over all of them, and each picture has as many
        'map_confs': 'cells',
        'map_scales': 'positive_cells',
        **dict.fromkeys(TOKEN_LOSSES, 'positive_cells'),
        'fov': 'sum',
    }
    return kinds[name]


def _counts(truth: BatchTruth, queries: int) -> Tensor:
    """Return the amounts (K,) int64 that `_COUNTED` names, on the device of the truth."""
    complete = np.asarray(truth.detect_all_people, bool)
    people, cells = np.asarray(truth.people), np.asarray(truth.cells)
    present = truth.scale_map[:, 0] > 0.5
    incomplete = on_device(np.repeat(~complete, truth.cells), truth.device)
    pairs = truth_pairs(truth)
    values = {
        'pictures': len(people),
        'people': len(truth),
        'people_3d': int(truth.person_valid_3d.sum()),
        'queries': int(np.where(complete, queries, np.minimum(people, queries)).sum()),
        'cells': int(cells[complete].sum()) + (present & incomplete).sum(),
        'positive_cells': present.sum(),
        'most_people': max(truth.people),
        **{name: loss.of(pairs)[1][0] for name, loss in PAIR_LOSSES.items()},
    }
    return torch.stack([torch.as_tensor(values[name], device=truth.device) for name in _COUNTED])


def _by_kind(counts: Tensor, groups: int) -> dict[str, Tensor]:
    """Return the amounts (batches,) by kind; pairs of denoising queries follow from the others."""
    amounts = dict(zip(_COUNTED, counts.T, strict=True))
    del amounts['most_people']
    for name in PAIR_LOSSES:
        # Every person occurs once a group: pairs of two people, and of a person's occurrences.
        people = amounts['people_3d' if PAIR_LOSSES[name].needs_3d else 'people']
        own = people * groups * (groups - 1) / 2
        amounts[f'{name}_dn'] = amounts[name] * groups**2 + own
    return amounts
