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

"""How many people were found: precision, recall and F1 as published."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Detections:
    """Counts over pictures; every one is of people."""

    people: int
    """What precision and recall are taken of: the truth, but see `relative_human`."""
    missed: int
    false_positives: int

    @classmethod
    def sum(cls, pictures: Iterable[Detections]) -> Detections:  # noqa: A003
        """Add up the counts of many pictures."""
        people = missed = false_positives = 0
        for picture in pictures:
            people += picture.people
            missed += picture.missed
            false_positives += picture.false_positives
        return cls(people, missed, false_positives)

    def precision_recall_f1(self) -> tuple[float, float, float]:
        """
        Return the three, each rounded to two digits as published; 0 where there is no such share.

        With tp = people − missed: tp / (tp + fp), tp / (tp + missed), tp / (tp + (fp + missed)/2).
        F1 comes from the counts, not from the rounded other two.
        """
        found, wrong, missed = self.people - self.missed, self.false_positives, self.missed
        return (
            _rounded_share(found, wrong),
            _rounded_share(found, missed),
            _rounded_share(found, (wrong + missed) / 2),
        )


def _rounded_share(part: float, rest: float) -> float:
    return round(part / (part + rest), 2) if part + rest > 0 else 0.0
