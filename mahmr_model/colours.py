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

"""One colour per person: the same in each picture, each view and each marker."""

from __future__ import annotations

import colorsys

from mahmr_model.types import People

_GOLDEN_RATIO = 0.618033988749895
_STYLES = ((0.55, 0.92), (0.62, 0.82), (0.38, 0.96))
"""Saturation and value by turns, so that ids whose hues come close still differ."""


def identities(people: People) -> list[int]:
    """Return who each person is: the id over time or, without ids, the place from 0 on."""
    return list(range(len(people))) if people.ids is None else [int(i) for i in people.ids]


def colour_of(identity: int) -> tuple[int, int, int]:
    """
    Return the colour of a person as red, green, blue in 0…255.

    The hue goes on by the golden ratio of a turn, 222.5°, with each id: neighbours are far apart,
    and no id repeats another's hue.
    """
    saturation, value = _STYLES[identity % len(_STYLES)]
    rgb = colorsys.hsv_to_rgb((0.96 + identity * _GOLDEN_RATIO) % 1.0, saturation, value)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue
