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

"""One picture that shows everything: input, meshes, side view and bird's-eye view."""

from __future__ import annotations

import math

import cv2
from mahmr_model.render.canvas import Colour, put_label, put_text, text_size
from mahmr_model.render.overlay import draw_overlay
from mahmr_model.render.views import draw_birds_eye_view, draw_side_view
from mahmr_model.types import ImageArray, People
import numpy as np

_GAP_PX = 8
_BAR_PX = 40
_TEXT_PX = 13.0
_LARGEST_PX = (948, 720)
"""A pane's largest width and height: two beside each other stay within 1920."""
_LEAST_PX = (480, 360)

_FRAME: Colour = (12, 14, 18)
_TEXT: Colour = (232, 236, 242)
_ALARM: Colour = (255, 96, 80)
_SOURCES = {
    'given': 'given by the caller',
    'estimated': 'estimated from the picture',
    'assumed': 'assumed',
}


def draw_panel(image_rgb: ImageArray, people: People) -> ImageArray:
    """
    Return one RGB picture: input and meshes, below them side view and bird's-eye view.

    It is at most 1920 wide whatever the size of the input (H, W, 3), which is shrunk to fit, or
    enlarged where it is tiny.
    """
    picture = _fitted(image_rgb)
    height, width = picture.shape[:2]
    pane_width, pane_height = max(width, _LEAST_PX[0]), max(height, _LEAST_PX[1])
    rows = (
        (height, {'input': picture, 'meshes': draw_overlay(picture, people)}),
        (
            pane_height,
            {
                'side view': draw_side_view(people, pane_width, pane_height),
                "bird's-eye view": draw_birds_eye_view(people, pane_width, pane_height),
            },
        ),
    )
    shape = (_BAR_PX + height + pane_height + 2 * _GAP_PX, 2 * pane_width + 3 * _GAP_PX, 3)
    panel: ImageArray = np.full(shape, _FRAME, np.uint8)
    top = _BAR_PX
    for row_height, panes in rows:
        left = _GAP_PX
        for name, pane in panes.items():
            x = left + (pane_width - pane.shape[1]) // 2
            panel[slice(top, top + row_height), slice(x, x + pane.shape[1])] = pane
            put_label(panel, [name], left, top, 10.0, _TEXT)
            left += pane_width + _GAP_PX
        top += row_height + _GAP_PX
    _draw_title(panel, people)
    return panel


def _fitted(image_rgb: ImageArray) -> ImageArray:
    """Return the picture resized to a pane, its shape kept as far as whole pixels allow."""
    height, width = image_rgb.shape[:2]
    shrink = min(_LARGEST_PX[0] / width, _LARGEST_PX[1] / height)
    enlarge = min(_LEAST_PX[0] / width, _LEAST_PX[1] / height)
    factor = min(shrink, max(1.0, enlarge))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    resized = cv2.resize(np.ascontiguousarray(image_rgb), size, interpolation=way)
    return resized.astype(np.uint8, copy=False)


def _draw_title(panel: ImageArray, people: People) -> None:
    """Write how many people there are and through which lens, shrunk to fit the width."""
    camera = people.camera
    count = '1 person' if len(people) == 1 else f'{len(people)} people'
    fov_deg = math.degrees(camera.horizontal_fov_rad)
    title = (
        f'{count}    focal length {camera.fx:.0f} px, {fov_deg:.0f} deg wide, '
        f'{_SOURCES[people.camera_source]}'
    )
    mark = 'UNTRAINED    ' if people.untrained else ''
    room = panel.shape[1] - 4 * _GAP_PX
    size_px = _TEXT_PX * min(1.0, room / text_size(mark + title, _TEXT_PX)[0])
    top = (_BAR_PX - size_px) / 2
    put_text(panel, mark, 2 * _GAP_PX, top, size_px, _ALARM)
    put_text(panel, title, 2 * _GAP_PX + text_size(mark, size_px)[0], top, size_px, _TEXT)
