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

"""Markers beside what else shows the same people."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.render.canvas import person_colours
from mahmr_node.markers import markers_of
from mahmr_node.messages import human_array
import numpy as np
import pytest
from test_cdr import result_of, settings


@pytest.mark.parametrize('ids', [None, [7, 4, 9]], ids=['untracked', 'tracked'])
def test_a_person_has_one_colour_and_one_number(ids: list[int] | None) -> None:
    """In markers, in HumanArray and in pictures, with tracking and without."""
    result = result_of(3)
    if ids is not None:
        result = replace(result, people=result.people.with_ids(np.array(ids)))
    markers = [m for m, _ in markers_of(result, 'camera', settings(draw_labels=True), 1.0)][1:]
    numbers = [human.id for human in human_array(result, vertices=False).humans]
    assert numbers == (ids or [0, 1, 2])
    assert [marker.id for marker in markers] == [i for i in numbers for _ in range(2)]
    for mesh, label, number, colour in zip(
        markers[0::2], markers[1::2], numbers, person_colours(result.people), strict=True
    ):
        rgb = (mesh.color.r, mesh.color.g, mesh.color.b)
        assert tuple(round(255 * channel) for channel in rgb) == colour
        assert label.text.startswith(f'{number}: ')
