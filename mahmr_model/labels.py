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

"""What is written over people's heads in markers, by the node and by `mahmr bag`."""

from __future__ import annotations

from dataclasses import dataclass

from mahmr_model.colours import identities
from mahmr_model.types import People
import numpy as np

LETTER_M = 0.15
"""Height of its capitals."""
_ABOVE_HEAD_M = 0.15


@dataclass(frozen=True)
class Label:
    """A text and where it stands."""

    text: str
    """Id, height, distance."""
    place_m: tuple[float, float, float]
    """In the camera's frame, above the highest point of the mesh."""


def label_of(people: People, index: int) -> Label:
    """Return what is written over one of the people."""
    vertices_m = people.vertices_camera_m[index]
    x, y, z = vertices_m[vertices_m[:, 1].argmin()].tolist()  # y is down
    distance_m = float(np.linalg.norm(people.root_m[index]))
    untrained = ' UNTRAINED' if people.untrained else ''
    who, height_m = identities(people)[index], people.height_m[index]
    text = f'{who}: {height_m:.2f} m tall, {distance_m:.1f} m{untrained}'
    return Label(text, (x, y - _ABOVE_HEAD_M, z))
