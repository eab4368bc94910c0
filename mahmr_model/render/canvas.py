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

"""What every picture needs: blending, text that stays inside, and the mark of random weights."""

from __future__ import annotations

from collections.abc import Sequence
import math

import cv2
from mahmr_model.colours import colour_of, identities
from mahmr_model.render.meshes import render_meshes, Rendering
from mahmr_model.render.rasteriser import Orthographic
from mahmr_model.types import Camera, FloatArray, ImageArray, IntArray, People
import numpy as np
import numpy.typing as npt
import torch

Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_HEIGHT_PX = 22
"""Height of this font's capitals at scale 1."""
_SMOOTH_BELOW_PX = 2_500_000
"""Pictures of fewer pixels have their outlines smoothed; in larger ones no step is seen."""
_MOST_COVERED_PX = 30e6
"""Pixels of all triangles together that are drawn in full detail; bodies cover some millions."""
_UNTRAINED = 'UNTRAINED: random weights'
_ALARM: Colour = (206, 44, 32)
_WHITE: Colour = (255, 255, 255)


def person_colours(people: People) -> list[Colour]:
    """Return the colour of each person."""
    return [colour_of(identity) for identity in identities(people)]


def draw_meshes(
    image: ImageArray,
    vertices_m: FloatArray,
    faces: IntArray,
    lens: Camera | Orthographic,
    colours: Sequence[Colour],
    opacity: float,
    *,
    smooth: bool = True,
    device: torch.device | str = 'cpu',
) -> Rendering:
    """
    Draw N meshes (N, V, 3), in metres in the frame of `lens`, into an RGB image, in place.

    With `smooth`, small pictures are rendered at twice their size and averaged; and what no body
    is (triangles that together cover the picture hundreds of times) coarsely. `device` does the
    rendering, which is returned.
    """
    height, width = image.shape[:2]
    factor = 2.0 if smooth and height * width < _SMOOTH_BELOW_PX else 1.0
    covered_px = _covered_px(vertices_m, faces, lens)
    factor = min(factor, math.sqrt(_MOST_COVERED_PX / max(covered_px, 1.0)))
    large = lens.resized(max(1, round(width * factor)), max(1, round(height * factor)))
    paint = np.array(colours, np.uint8).reshape(-1, 3)
    rendering = render_meshes(vertices_m, faces, large, paint, device)
    covered = (rendering.person >= 0).astype(np.float32)
    shrink = cv2.INTER_AREA if factor >= 1 else cv2.INTER_LINEAR
    alpha = cv2.resize(covered, (width, height), interpolation=shrink)
    # Empty pixels are black, so the average is already weighted by what is covered.
    colour = cv2.resize(rendering.colour, (width, height), interpolation=shrink)
    touched = alpha > 0
    mixed = image[touched] * (1 - opacity * alpha[touched, None]) + opacity * colour[touched]
    image[touched] = mixed.round().astype(np.uint8)
    return rendering


def _covered_px(vertices_m: FloatArray, faces: IntArray, lens: Camera | Orthographic) -> float:
    """Return about how many pixels all triangles cover, each at most the whole picture."""
    corners = lens.project(vertices_m)[:, faces].astype(np.float64)
    a, b = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    areas = np.abs(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]) / 2
    return float(np.minimum(np.nan_to_num(areas), lens.width * lens.height).sum())


def top_pixels(rendering: Rendering, people: int) -> npt.NDArray[np.float64]:
    """Return (N, 2) where each person's topmost pixel is, as 0…1 of width and height, or NaN."""
    height, width = rendering.person.shape
    flat = rendering.person.ravel()
    pixel = np.flatnonzero(flat >= 0)
    first = np.full(people, -1)
    # The last write of several to one place stays: going backwards, that is the first pixel.
    first[flat[pixel[::-1]]] = pixel[::-1]
    places = np.stack([(first % width + 0.5) / width, first // width / height], 1)
    places[first < 0] = np.nan
    return places


def text_size(text: str, size_px: float) -> tuple[int, int]:
    """Return width and height of a line whose capitals are `size_px` high."""
    (width, _), _ = cv2.getTextSize(text, _FONT, size_px / _FONT_HEIGHT_PX, 1)
    return width, round(size_px)


def put_text(
    image: ImageArray, text: str, left: float, top: float, size_px: float, colour: Colour
) -> None:
    """Write ASCII text into the image, its capitals `size_px` high, in place."""
    thickness = max(1, round(size_px / 11))
    bottom_left = (round(left), round(top + size_px))
    scale = size_px / _FONT_HEIGHT_PX
    cv2.putText(image, text, bottom_left, _FONT, scale, colour, thickness, cv2.LINE_AA)


def put_label(
    image: ImageArray,
    lines: Sequence[str],
    left: float,
    top: float,
    size_px: float,
    colour: Colour,
) -> None:
    """Write lines on a darkened ground with a bar of the colour at its left, in place."""
    width, height = label_size(lines, size_px)
    x, y = max(0, round(left)), max(0, round(top))
    ground = image[slice(y, y + height), slice(x, x + width)]
    ground[:] = ground // 4
    image[slice(y, y + height), slice(x, x + max(2, round(size_px / 4)))] = colour
    for i, line in enumerate(lines):
        put_text(image, line, x + size_px * 0.8, y + size_px * (0.5 + 1.6 * i), size_px, _WHITE)


def label_size(lines: Sequence[str], size_px: float) -> tuple[int, int]:
    """Return width and height that `put_label` takes."""
    width = max(text_size(line, size_px)[0] for line in lines)
    return round(width + size_px * 1.4), round(size_px * (1.6 * len(lines) + 0.5))


def put_labels(
    image: ImageArray,
    texts: Sequence[Sequence[str]],
    places: npt.NDArray[np.float64],
    colours: Sequence[Colour],
    size_px: float,
) -> None:
    """
    Label people above their topmost pixels, in place; the first ones get the best places.

    `places` (N, 2) are those of `top_pixels`; who is not seen (NaN) gets no label.
    """
    height, width = image.shape[:2]
    taken: list[tuple[float, float, float, float]] = []
    for lines, place, colour in zip(texts, places, colours, strict=True):
        if not lines or np.isnan(place).any():
            continue
        w, h = label_size(lines, size_px)
        left = float(np.clip(place[0] * width - w / 2, 0, max(0, width - w)))
        best = place[1] * height - h - size_px / 2
        for step in (0, -1, -2, -3, 1, 2, 3, 4):
            top = float(np.clip(best + step * (h + 1), 0, max(0, height - h)))
            box = (left, top, left + w, top + h)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        put_label(image, lines, left, top, size_px, colour)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def mark_untrained(image: ImageArray) -> None:
    """Say along the upper edge, and by a frame, that the weights are random; in place."""
    height, width = image.shape[:2]
    size_px = min(max(8.0, min(height, width) / 32), 24.0)
    size_px *= min(1.0, 0.9 * width / text_size(_UNTRAINED, size_px)[0])
    image[: round(size_px * 2)] = _ALARM
    left = (width - text_size(_UNTRAINED, size_px)[0]) / 2
    put_text(image, _UNTRAINED, left, size_px / 2, size_px, _WHITE)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), _ALARM, max(1, round(size_px / 5)))
