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

"""What all protocols share: one record for each picture, gathered over processes, then a table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from mahmr_model.errors import UserError
import numpy as np
from training.metrics.types import Floats, PredictedPeople

TruthT = TypeVar('TruthT')
RecordT = TypeVar('RecordT')

PUBLISHED_THRESHOLD = 0.3


class Protocol(ABC, Generic[TruthT, RecordT]):
    """
    A published way of measuring a data set.

    Every process calls `update` with its pictures. Then one process is given the `records` of all
    the others by `merge` and asks for `result` or `table`: the same numbers as of one process,
    because a record is of one picture, is known by the picture's index in the data set (so that
    a picture that pads a batch counts once), and is summed up in the order of these indices.
    """

    name: str
    """The protocol as the table's title calls it."""

    def __init__(self, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)) -> None:
        """Measure people above each of these confidences, one after the other."""
        check_thresholds(thresholds)
        self.thresholds = tuple(dict.fromkeys(thresholds))
        self.records: dict[int, tuple[RecordT, ...]] = {}

    @property
    def needed_above(self) -> float:
        """Return the confidence above which people are measured: posing others would be waste."""
        return min(self.thresholds)

    def update(self, index: int, prediction: PredictedPeople, truth: TruthT) -> None:
        """
        Measure one picture, number `index` of the data set; one that is known changes nothing.

        `prediction` holds at least the people above `needed_above`. Raises UserError where it is
        not made of finite numbers: no protocol could tell such people from missed ones.
        """
        if index in self.records:
            return
        for name, values in prediction.arrays().items():
            self._refuse_unless_finite(name, values)
        self.records[index] = tuple(
            self._measure(self._found(prediction, threshold), truth)
            for threshold in self.thresholds
        )

    def merge(self, records: Mapping[int, tuple[RecordT, ...]]) -> None:
        """Take over the `records` of another process with the same thresholds."""
        self.records = {**records, **self.records}

    def result(self) -> dict[str, float]:
        """
        Return the numbers of the data set by name.

        With several thresholds each name ends in one, as in 'F1@0.3'. What nobody was there to
        measure is absent.
        """
        return {
            name if len(self.thresholds) == 1 else f'{name}@{threshold:g}': float(value)
            for threshold, measures in self._by_threshold().items()
            for name, value in measures.items()
        }

    def table(self) -> str:
        """Return the result as text: a line for each measure, a column for each threshold."""
        columns = self._by_threshold()
        names = list(dict.fromkeys(name for column in columns.values() for name in column))
        width = max(len(name) for name in (self.name, *names))
        lines = [
            f'{self.name:<{width}}' + ''.join(f'{f"> {key:g}":>12}' for key in columns),
            *(
                f'{name:<{width}}'
                + ''.join(_cell(column.get(name)) for column in columns.values())
                for name in names
            ),
        ]
        return '\n'.join(lines) + '\n'

    def records_of(self, threshold: float) -> list[RecordT]:
        """Return what was measured at one of the thresholds, in the data set's order."""
        column = self.thresholds.index(threshold)
        return [self.records[index][column] for index in sorted(self.records)]

    def _by_threshold(self) -> dict[float, dict[str, float]]:
        return {
            threshold: {
                'pictures': len(self.records),
                **self._summarise(self.records_of(threshold)),
            }
            for threshold in self.thresholds
        }

    def _refuse_unless_finite(self, name: str, values: Floats) -> None:
        if not np.isfinite(values).all():
            raise UserError(
                f'The evaluation ({self.name}) needs finite predictions, but {name} holds NaN or '
                'infinity; look for the checkpoint where training went wrong.'
            )

    def _found(self, prediction: PredictedPeople, threshold: float) -> PredictedPeople:
        return prediction.above(threshold)

    @abstractmethod
    def _measure(self, prediction: PredictedPeople, truth: TruthT) -> RecordT:
        """Compare the people above a threshold with the truth of their picture."""

    @abstractmethod
    def _summarise(self, records: Sequence[RecordT]) -> dict[str, float]:
        """Return the numbers of all pictures."""


def check_thresholds(thresholds: Sequence[float]) -> None:
    """Raise UserError unless there are some, and all can be of a confidence."""
    if not thresholds or not all(0 <= threshold < 1 for threshold in thresholds):
        raise UserError(
            'The evaluation needs thresholds on the confidence between 0 and 1, but they are '
            f'{list(thresholds)}; give one such as {PUBLISHED_THRESHOLD}, or a list.'
        )


def mean_of(parts: Sequence[Floats]) -> float | None:
    """Return the mean over all numbers of all parts, or None where there are none."""
    values = np.concatenate(parts) if parts else np.empty(0)
    return float(values.mean(dtype=np.float64)) if len(values) else None


def present(measures: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out the measures that had nothing to measure."""
    return {name: value for name, value in measures.items() if value is not None}


def _cell(value: float | None) -> str:
    return f'{"-":>12}' if value is None else f'{value:>12.6g}'
