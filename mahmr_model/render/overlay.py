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

"""The meshes drawn into the picture they were found in."""

from __future__ import annotations

from mahmr_model.render.canvas import (
    draw_meshes,
    mark_untrained,
    person_colours,
    put_labels,
    top_pixels,
)
from mahmr_model.types import ImageArray, People
import numpy as np
import torch


def draw_overlay(
    image_rgb: ImageArray,
    people: People,
    opacity: float = 0.85,
    labels: bool = True,
    *,
    smooth: bool = True,
    device: torch.device | str = 'cpu',
) -> ImageArray:
    """
    Return the picture (H, W, 3) with every person's mesh in it, seen by `people.camera`.

    The picture may be a resized copy of the one that was given: the camera is resized with it.
    Labels tell id (if tracked), height and distance of the pelvis from the camera in metres.
    Without `smooth` outlines have steps, and a quarter of the pixels is drawn; `device` draws the
    meshes.
    """
    image = np.ascontiguousarray(image_rgb).copy()
    height, width = image.shape[:2]
    colours = person_colours(people)
    camera = people.camera.resized(width, height)
    rendering = draw_meshes(
        image,
        people.vertices_camera_m,
        people.faces,
        camera,
        colours,
        opacity,
        smooth=smooth,
        device=device,
    )
    if labels:
        distance_m = np.linalg.norm(people.root_m, axis=1)
        places = top_pixels(rendering, len(people))
        order = np.argsort(distance_m, kind='stable')
        texts = [_label(people, int(i), float(distance_m[i])) for i in order]
        size_px = min(max(7.0, min(height, width) / 55), 40.0)
        put_labels(image, texts, places[order], [colours[i] for i in order], size_px)
    if people.untrained:
        mark_untrained(image)
    return image


def _label(people: People, i: int, distance_m: float) -> list[str]:
    """Return the lines about one person."""
    tag = '' if people.ids is None else f'id {people.ids[i]}   '
    return [f'{tag}{people.height_m[i]:.2f} m tall', f'{distance_m:.1f} m away']
