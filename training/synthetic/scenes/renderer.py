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

"""Scenes to pictures with exact truth, many at once, on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
import numpy as np
import torch
from torch import Tensor
from training.synthetic.scenes.batch import Batch, pack, Packed
from training.synthetic.scenes.costume import make_costume, pose, Posed
from training.synthetic.scenes.dress import thickness
from training.synthetic.scenes.frame import assemble, lenses_of, light_up, put_meshes, resolve
from training.synthetic.scenes.look import Look
from training.synthetic.scenes.paint import make_patterns
from training.synthetic.scenes.raster import rasterise
from training.synthetic.scenes.scene import Scene
from training.synthetic.scenes.sensor import expose, make_sensor_tables
from training.synthetic.scenes.shadows import Casters, corners, sky_map, sun_map
from training.synthetic.scenes.surroundings import look_around
from training.synthetic.scenes.things import make_solids, place_things, PlacedThings

_AT_ONCE_CPU, _AT_ONCE_GPU = 1, 128


@dataclass(frozen=True)
class Rendered:
    """B pictures on one canvas, each in its upper left corner, and their truth."""

    images: Tensor
    """(B, H, W, 3) uint8 RGB, black outside a picture's own size."""
    person: Tensor
    """(B, H, W) int16 which person of the scene is seen, −1 none."""
    part: Tensor
    """
    (B, H, W) int8 which part of a body is seen, −1 none: the number of the joint that moves most
    of it, 1 (the left hip) a left thigh. A skirt belongs to pelvis or hips, hair to head or spine.
    """
    depth_m: Tensor
    """(B, H, W) float32 along the optical axis, of whatever is seen; infinite in the sky."""
    vertices_camera_m: Tensor
    """(P, V, 3) skin of all people, scene by scene."""
    joints_camera_m: Tensor
    """(P, 45, 3)"""
    person_counts: tuple[int, ...]
    """How many of the P people are in each scene."""
    sizes_hw: tuple[tuple[int, int], ...]
    """Each picture's own height and width."""


class SceneRenderer:
    """
    Draws scenes: the open body dressed at random, things, surroundings, light, a camera.

    Pure tensor operations without loops over pictures, people or triangles. `body` must have the
    open body's template, whose regions are known by their place.
    """

    def __init__(
        self,
        body: BodyLayer,
        device: torch.device | str,
        colour_dtype: torch.dtype | None = None,
    ) -> None:
        """
        Prepare for a device, which takes some seconds.

        Colours are computed in half precision on a GPU and in single on a CPU, unless told
        otherwise; geometry always in single.
        """
        self._device = torch.device(device)
        if colour_dtype is None:
            colour_dtype = torch.float32 if self._device.type == 'cpu' else torch.float16
        self._costume = make_costume(body.to(self._device))
        self._patterns = make_patterns(self._device, colour_dtype)
        self._solids = make_solids(self._device)
        self._tables = make_sensor_tables(self._device, colour_dtype)

    def __call__(self, scenes: Sequence[Scene], looks: Sequence[Look] | None = None) -> Rendered:
        """Draw scenes; `looks` (`look.draw_look`) are drawn here where they are not given."""
        at_once = _AT_ONCE_CPU if self._device.type == 'cpu' else _AT_ONCE_GPU
        return self.draw(pack(scenes, looks, at_once))

    @torch.no_grad()
    def draw(self, packed: Packed) -> Rendered:
        """Draw what `batch.pack` packed; each of its batches needs about 300 bytes a pixel."""
        with torch.autocast(self._device.type, enabled=False):
            return _joined(packed, [self._draw(batch) for batch in packed.batches])

    def _draw(self, batch: Batch) -> Rendered:
        batch = batch.to(self._device)
        posed = pose(
            self._costume,
            rotation_from_axis_angle(batch.pose_axis_angle.unflatten(1, (24, 3))),
            batch.betas,
            batch.translation_m,
            thickness(self._costume, batch.cut, batch.folds),
            batch.hanging,
        )
        things = place_things(self._solids, batch)
        mesh = assemble(self._costume, posed, things, batch)
        canvas = look_around(batch)
        seen = rasterise(mesh.triangles, lenses_of(batch))
        values = resolve(seen, mesh, self._costume, batch, canvas)
        person, part = put_meshes(canvas, seen, values)
        casters = _casters(posed, things, batch)
        linear = light_up(
            canvas,
            person,
            sun_map(casters, batch.to_light),
            sky_map(casters, batch.axes),
            self._patterns,
            batch,
        )
        return Rendered(
            expose(linear, _valid(batch), batch.sensors, self._tables),
            person,
            part,
            canvas.depth_m,
            posed.truth_m,
            posed.joints_m,
            batch.person_counts,
            batch.sizes_hw,
        )


def _casters(posed: Posed, things: PlacedThings, batch: Batch) -> Casters:
    drawn = posed.drawn_m
    people = batch.person_picture[:, None]
    boxes = corners(drawn.amin(1), drawn.amax(1))
    return Casters(
        torch.cat([drawn.flatten(0, 1), things.samples_m]),
        torch.cat(
            [
                people.expand(drawn.shape[:2]).flatten(),
                batch.thing_picture[things.sample_owner],
            ]
        ),
        torch.cat([boxes.flatten(0, 1), things.corners_m.flatten(0, 1)]),
        torch.cat([people.expand(-1, 8).flatten(), batch.thing_picture.repeat_interleave(8)]),
    )


def _valid(batch: Batch) -> Tensor:
    """Return (B, H, W) bool: which pixels of the canvas are of the picture."""
    size = batch.size_px[:, :, None, None]
    return (batch.column_px < size[:, 0]) & (batch.row_px[:, None] < size[:, 1])


def _joined(packed: Packed, parts: Sequence[Rendered]) -> Rendered:
    """Bring the batches' pictures onto one canvas, and everything into the scenes' order."""
    order = [number for place in packed.places for number in place]
    counts = [count for part in parts for count in part.person_counts]
    device = parts[0].images.device
    shape = (len(order), *packed.canvas_hw)
    images = torch.zeros((*shape, 3), dtype=torch.uint8, device=device)
    person = torch.full(shape, -1, dtype=torch.int16, device=device)
    body_part = torch.full(shape, -1, dtype=torch.int8, device=device)
    depth_m = torch.full(shape, torch.inf, device=device)
    for place, part in zip(packed.places, parts, strict=True):
        where = torch.tensor(place).to(device, non_blocking=True)
        height, width = part.person.shape[1:]
        for canvas, drawn in (
            (images, part.images),
            (person, part.person),
            (body_part, part.part),
            (depth_m, part.depth_m),
        ):
            canvas[:, :height, :width].index_copy_(0, where, drawn)
    ends = np.cumsum(counts)
    back = np.argsort(order)
    people = [np.arange(ends[i] - counts[i], ends[i]) for i in back]
    index = torch.from_numpy(np.concatenate(people)).to(device, non_blocking=True)
    sizes = [size for part in parts for size in part.sizes_hw]
    return Rendered(
        images,
        person,
        body_part,
        depth_m,
        torch.cat([part.vertices_camera_m for part in parts])[index],
        torch.cat([part.joints_camera_m for part in parts])[index],
        tuple(counts[i] for i in back),
        tuple(sizes[i] for i in back),
    )
