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

"""The same people from the side and from above, on a metric grid."""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
from mahmr_model.render.canvas import (
    Colour,
    draw_meshes,
    mark_untrained,
    person_colours,
    put_labels,
    put_text,
    text_size,
    top_pixels,
)
from mahmr_model.render.rasteriser import Orthographic
from mahmr_model.types import FloatArray, ImageArray, People
import numpy as np
import numpy.typing as npt

_BACKGROUND: Colour = (24, 27, 33)
_IN_VIEW: Colour = (36, 41, 50)
_GRID: Colour = (58, 65, 77)
_EDGE: Colour = (96, 108, 126)
_TEXT: Colour = (150, 160, 174)
_GROUND: Colour = (150, 132, 92)
_CAMERA: Colour = (240, 200, 90)

_MARGIN_M = 0.6
_TEXT_PX = 9.0
_HEADROOM_PX = 48
"""What titles and labels of the farthest people need."""

# Rows: where right, down and away from the viewer point, in the camera frame.
_FROM_THE_SIDE = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
_FROM_ABOVE = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class _Scene:
    """The people a view shows, turned into its frame (x right, y down, z away, metres)."""

    vertices_m: FloatArray
    colours: list[Colour]
    tags: list[list[str]]
    left_out: str
    """What to say about those who are not shown."""


def draw_side_view(people: People, width: int, height: int) -> ImageArray:
    """
    Return a picture (height, width, 3) of the people from the camera's right-hand side.

    Depth grows to the right, the camera looks from the left edge. The heights at the grid are
    metres above the camera; the ground is the line through the people's lowest points.
    """
    scene = _scene(people, _FROM_THE_SIDE)
    low_m, high_m = _extent(scene, [[0, -0.5], [4, 1.2]])
    scale = _scale(low_m, high_m, width, height)
    middle = (low_m[1] + high_m[1]) / 2
    lens = Orthographic(scale, -low_m[0] * scale, height / 2 - middle * scale, width, height)
    camera = people.camera
    up = math.atan2(camera.cy, camera.fy)
    down = math.atan2(camera.height - camera.cy, camera.fy)
    image = _stage(lens, (-up, down))
    _draw_grid(image, lens)
    _draw_ground(image, lens, scene)
    return _finish(image, lens, scene, people, 0.0)


def draw_birds_eye_view(people: People, width: int, height: int) -> ImageArray:
    """
    Return a picture (height, width, 3) of the people from above.

    The camera stands at the lower edge and looks up the picture: depth grows upwards, the
    camera's right is right.
    """
    scene = _scene(people, _FROM_ABOVE)
    low_m, high_m = _extent(scene, [[-1.5, -4], [1.5, 0]])
    scale = _scale(low_m, high_m, width, height)
    middle = (low_m[0] + high_m[0]) / 2
    lens = Orthographic(
        scale, width / 2 - middle * scale, height - high_m[1] * scale, width, height
    )
    camera = people.camera
    left, right = math.atan2(camera.cx, camera.fx), math.atan2(camera.width - camera.cx, camera.fx)
    image = _stage(lens, (-math.pi / 2 - left, -math.pi / 2 + right))
    _draw_grid(image, lens)
    return _finish(image, lens, scene, people, -math.pi / 2)


def _scene(people: People, rotation: npt.NDArray[np.float32]) -> _Scene:
    """Turn the people into a view, without those so far away that the others would vanish."""
    distance_m = np.linalg.norm(people.vertices_camera_m, axis=2).max(1, initial=0.0)
    finite = np.isfinite(people.vertices_camera_m).all((1, 2))
    limit_m = 3 * float(np.median(distance_m[finite])) + 5 if finite.any() else 0.0
    kept = finite & (distance_m <= limit_m)
    far = distance_m[finite & ~kept]
    left_out = f'{len(far)} more, up to {far.max():.0f} m away' if len(far) else ''
    turned_m = people.vertices_camera_m[kept] @ rotation.T
    if turned_m.size:
        # Depth along the view counts from its nearest point.
        turned_m[..., 2] -= turned_m[..., 2].min()
    colours = person_colours(people)
    tags = [[] if people.ids is None else [f'id {people.ids[i]}'] for i in np.flatnonzero(kept)]
    return _Scene(turned_m, [colours[i] for i in np.flatnonzero(kept)], tags, left_out)


def _extent(
    scene: _Scene, least_m: list[list[float]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the lower and the upper corner, in metres, of what the view must show."""
    points_m = np.concatenate([scene.vertices_m[..., :2].reshape(-1, 2), np.array(least_m)])
    return points_m.min(0) - _MARGIN_M, points_m.max(0) + _MARGIN_M


def _scale(
    low_m: npt.NDArray[np.float64], high_m: npt.NDArray[np.float64], width: int, height: int
) -> float:
    """Return the pixels of a metre with which the extent fits into the picture."""
    room = np.array([width, max(height - _HEADROOM_PX, height / 2)])
    return float(min(room / (high_m - low_m)))


def _stage(lens: Orthographic, wedge_rad: tuple[float, float]) -> ImageArray:
    """Return the empty picture with what the camera sees a little lighter."""
    image: ImageArray = np.full((lens.height, lens.width, 3), _BACKGROUND, np.uint8)
    origin = np.array([lens.cx, lens.cy])
    reach = 2.0 * (lens.width + lens.height)
    angles = np.linspace(*wedge_rad, 33)
    rim = origin + reach * np.stack([np.cos(angles), np.sin(angles)], 1)
    outline = np.concatenate([origin[None], rim]).round().astype(np.int32)
    cv2.fillPoly(image, [outline], _IN_VIEW)
    cv2.polylines(image, [outline], True, _EDGE, 1, cv2.LINE_AA)
    return image


def _draw_grid(image: ImageArray, lens: Orthographic) -> None:
    """Draw lines at whole steps from the camera and label them: right and up count as positive."""
    step_m = _round_up(7 * _TEXT_PX / lens.px_per_m)
    step_px = step_m * lens.px_per_m
    for axis, (centre, size) in enumerate(((lens.cx, lens.width), (lens.cy, lens.height))):
        for i in range(math.ceil(-centre / step_px), math.floor((size - centre) / step_px) + 1):
            at = round(centre + i * step_px)
            line = image[:, slice(at, at + 1)] if axis == 0 else image[slice(at, at + 1)]
            line[:] = _GRID
            text = f'{(i if axis == 0 else -i) * step_m:g} m'
            wide, high = text_size(text, _TEXT_PX)
            if axis == 0 and 8 * _TEXT_PX < at < size - wide / 2:
                put_text(image, text, at - wide / 2, lens.height - 1.6 * high, _TEXT_PX, _TEXT)
            elif axis == 1 and 3 * _TEXT_PX < at < size - 3 * _TEXT_PX:
                put_text(image, text, 0.6 * high, at - high / 2, _TEXT_PX, _TEXT)


def _round_up(length_m: float) -> float:
    """Return the next of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … that is no smaller."""
    power = 10.0 ** math.floor(math.log10(length_m))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= length_m * 0.999)


def _draw_ground(image: ImageArray, lens: Orthographic, scene: _Scene) -> None:
    """Draw the line through the lowest points; it leans where the camera looks up or down."""
    if not len(scene.vertices_m):
        return
    lowest = scene.vertices_m[..., 1].argmax(1)
    feet_m = scene.vertices_m[np.arange(len(lowest)), lowest]
    first, second = np.triu_indices(len(feet_m), 1)
    apart_m = feet_m[second] - feet_m[first]
    apart_m = apart_m[np.abs(apart_m[:, 0]) > 0.5]
    # The median of the slopes between two (Theil and Sen): who sits or jumps does not tilt it.
    slope = float(np.median(apart_m[:, 1] / apart_m[:, 0])) if len(apart_m) else 0.0
    height_m = float(np.median(feet_m[:, 1] - slope * feet_m[:, 0]))
    ends_px = []
    for u in (0, lens.width):
        y_m = height_m + slope * (u - lens.cx) / lens.px_per_m
        v = y_m * lens.px_per_m + lens.cy
        ends_px.append((u, round(float(np.clip(v, -lens.height, 2 * lens.height)))))
    cv2.line(image, ends_px[0], ends_px[1], _GROUND, 2, cv2.LINE_AA)
    wide, high = text_size('ground', _TEXT_PX)
    put_text(image, 'ground', lens.width - wide - high, ends_px[1][1] + high, _TEXT_PX, _GROUND)


def _finish(
    image: ImageArray, lens: Orthographic, scene: _Scene, people: People, looks_rad: float
) -> ImageArray:
    """Put camera, people, labels and notes on top of the grid."""
    _draw_camera(image, lens, looks_rad)
    rendering = draw_meshes(image, scene.vertices_m, people.faces, lens, scene.colours, 1.0)
    places = top_pixels(rendering, len(scene.tags))
    put_labels(image, scene.tags, places, scene.colours, _TEXT_PX)
    if scene.left_out:
        wide, high = text_size(scene.left_out, _TEXT_PX)
        put_text(
            image,
            scene.left_out,
            lens.width - wide - high,
            lens.height - 5 * high,
            _TEXT_PX,
            _CAMERA,
        )
    if people.untrained:
        mark_untrained(image)
    return image


def _draw_camera(image: ImageArray, lens: Orthographic, looks_rad: float) -> None:
    """Draw a small camera at the origin: a body with a lens that opens forward."""
    forward = np.array([math.cos(looks_rad), math.sin(looks_rad)])
    side = np.array([-forward[1], forward[0]])
    origin = np.array([lens.cx, lens.cy])
    shapes = (
        [(-13, -6), (-13, 6), (-4, 6), (-4, -6)],
        [(-4, 0), (3, -6), (3, 6)],
    )
    for shape in shapes:
        corners = [origin + f * forward + s * side for f, s in shape]
        cv2.fillPoly(image, [np.array(corners).round().astype(np.int32)], _CAMERA, cv2.LINE_AA)
