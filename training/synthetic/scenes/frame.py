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

"""From meshes and rays to the linear light of every pixel."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
import torch.nn.functional as functional
from training.synthetic.scenes.batch import Batch
from training.synthetic.scenes.costume import Costume, Posed
from training.synthetic.scenes.dress import parts, texture_place
from training.synthetic.scenes.look import Light
from training.synthetic.scenes.outfit import PARTS
from training.synthetic.scenes.paint import colours, PatternTable, surface_rows
from training.synthetic.scenes.raster import Lenses, Seen, Triangles
from training.synthetic.scenes.shadows import covered, in_shadow, ShadowMap
from training.synthetic.scenes.surroundings import Canvas
from training.synthetic.scenes.tables import rows_at
from training.synthetic.scenes.things import PlacedThings

_HAZE_M = [field.name for field in fields(Light)].index('haze_m')


@dataclass(frozen=True)
class Mesh:
    """All triangles of a batch: first people's, then things'."""

    attributes: Tensor
    """(N, 8) of vertices: normal, then place at rest (of a thing: s, t, 0), then two 0."""
    triangles: Triangles
    people_faces: int
    """How many of the T are people's."""
    thing_owner: Tensor
    """(T − people_faces + 1,) which thing, and a 0."""


def assemble(costume: Costume, posed: Posed, things: PlacedThings, batch: Batch) -> Mesh:
    """Make one mesh of all people and things."""
    people, vertices = posed.drawn_m.shape[:2]
    device = posed.drawn_m.device
    first = torch.arange(people, device=device)[:, None, None] * vertices
    own = (costume.faces + first).flatten(0, 1)
    faces = torch.cat([own, things.faces + people * vertices])
    points_m = torch.cat([posed.drawn_m.flatten(0, 1), things.points_m])
    rest = costume.rest_m.expand(people, -1, -1)
    attributes = torch.cat(
        [
            torch.cat([posed.normal, rest], 2).flatten(0, 1),
            torch.cat([things.normals, things.texture_m], 1),
        ]
    )
    attributes = functional.pad(attributes, (0, 2))
    per_person = len(costume.faces)
    drawn = (batch.present[:, costume.face_kind.long()] > 0).flatten()
    hung = (costume.face_kind > 0).expand(people, -1).flatten()
    always = torch.ones(len(things.faces), dtype=torch.bool, device=device)
    triangles = Triangles(
        points_m,
        faces,
        torch.cat(
            [
                batch.person_picture.repeat_interleave(per_person, output_size=len(own)),
                batch.thing_picture[things.owner],
            ]
        ),
        torch.cat([drawn, always]),
        torch.cat([hung, ~always]),
    )
    # One more than there are, so that there is always one.
    owner = functional.pad(things.owner, (0, 1))
    return Mesh(attributes, triangles, len(own), owner)


def put_meshes(canvas: Canvas, seen: Seen, values: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """
    Write what pixels see of meshes, `values` of `resolve`, into the canvas.

    Returns (B, H, W) int16 who is seen, −1 nobody, and int8 which part of the body, −1 none.
    """
    whose = torch.full_like(canvas.depth_m, -1, dtype=torch.int16)
    which = torch.full_like(canvas.depth_m, -1, dtype=torch.int8)
    planes = (
        whose,
        which,
        canvas.surface,
        canvas.s,
        canvas.t,
        canvas.px_m,
        canvas.sun,
        canvas.up,
    )
    for plane, value in zip(planes, values, strict=True):
        plane.view(-1)[seen.pixel] = value
    canvas.depth_m.view(-1)[seen.pixel] = seen.depth_m
    return whose, which


def lenses_of(batch: Batch) -> Lenses:
    """Return the cameras of a batch."""
    k = batch.intrinsics
    focal = torch.stack([k[:, 0, 0], k[:, 1, 1]], 1)
    return Lenses(focal, k[:, :2, 2], batch.size_px, batch.height, batch.width)


def resolve(
    seen: Seen, mesh: Mesh, costume: Costume, batch: Batch, canvas: Canvas
) -> tuple[Tensor, ...]:
    """
    Tell (K,) what pixels see of meshes.

    Who (int16) and which part of the body (int8), and as `Canvas`: surface, s, t, px_m, sun, up.
    """
    faces = mesh.triangles.faces[seen.triangle]
    values = rows_at(mesh.attributes, faces[:, 0]) * seen.weights[:, :1]
    for corner in (1, 2):
        values = torch.addcmul(
            values, rows_at(mesh.attributes, faces[:, corner]), seen.weights[:, corner, None]
        )
    normal, rest = functional.normalize(values[:, :3], dim=1), values[:, 3:6]
    row = torch.div(seen.pixel, batch.width, rounding_mode='floor')
    picture = torch.div(row, batch.height, rounding_mode='floor')
    eye_x = canvas.x[picture, 0, seen.pixel - row * batch.width]
    eye_y = canvas.y[picture, row - picture * batch.height, 0]
    slope = normal[:, 0] * eye_x + normal[:, 1] * eye_y + normal[:, 2]
    slope = slope * torch.rsqrt(eye_x * eye_x + eye_y * eye_y + 1)
    normal = torch.where(slope[:, None] > 0, -normal, normal)  # what hangs has two sides
    number, body_part, surface, s, t = _identify(seen.triangle, rest, mesh, costume, batch)
    px_m = seen.depth_m * torch.rsqrt(slope.abs().clamp(min=0.1))
    return (
        number,
        body_part,
        surface,
        s,
        t,
        px_m / batch.intrinsics[picture, 0, 0],
        (normal * batch.to_light[picture]).sum(1),
        (normal * batch.axes[picture, 1]).sum(1),
    )


def _identify(
    triangle: Tensor, rest: Tensor, mesh: Mesh, costume: Costume, batch: Batch
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """
    Tell (K,) what pixels see.

    Who (int16), which part of the body (int8), the surface's row (int32), s and t of its texture.
    """
    surfaces = batch.surroundings.shape[0] * batch.surroundings.shape[1]
    thing = mesh.thing_owner[(triangle - mesh.people_faces).clamp(min=0)]
    surface, s, t = surfaces + thing, rest[:, 0], rest[:, 1]
    if len(batch.betas) == 0:
        nobody = torch.full_like(triangle, -1)
        return nobody.short(), nobody.to(torch.int8), surface.int(), s, t
    is_person = triangle < mesh.people_faces
    per_person = len(costume.faces)
    person = torch.div(triangle, per_person, rounding_mode='floor')
    person = person.clamp(max=len(batch.betas) - 1)
    face = triangle % per_person
    part = parts(rest, costume.face_kind[face], batch.cut[person])
    worn = surfaces + len(batch.thing_surface) + person * len(PARTS) + part
    cloth_s, cloth_t = texture_place(rest)
    return (
        batch.person_number[person].masked_fill(~is_person, -1).short(),
        costume.face_part[face].masked_fill(~is_person, -1),
        torch.where(is_person, worn, surface).int(),
        torch.where(is_person, cloth_s, s),
        torch.where(is_person, cloth_t, t),
    )


def light_up(
    canvas: Canvas,
    person: Tensor,
    sun: ShadowMap,
    sky: ShadowMap,
    patterns: PatternTable,
    batch: Batch,
) -> Tensor:
    """Return (B, 3, H, W) linear light of what the pixels see, in light, shadow and haze."""
    taken = in_shadow(sun, canvas.x, canvas.y, canvas.depth_m)
    below = covered(sky, canvas.x, canvas.y, canvas.depth_m)
    # Upright surfaces still see half of the sky.
    below.mul_(canvas.up.abs() * 0.6 + 0.4)
    linear = _shade(canvas, patterns, taken, below, batch)
    return _smooth_edges(linear, person, canvas.depth_m)


def _shade(
    canvas: Canvas, patterns: PatternTable, taken: Tensor, below: Tensor, batch: Batch
) -> Tensor:
    """
    Return (B, 3, H, W) linear light.

    `taken` and `below` (B, H, W) are the shares of the sun's and the sky's light that something
    takes away.
    """
    dtype = patterns.texels.dtype
    table = torch.cat(
        [batch.surroundings.flatten(0, 1), batch.thing_surface, batch.clothes.flatten(0, 1)]
    )
    rows = surface_rows(table, dtype)
    surface = canvas.surface.flatten()
    colour, opened = colours(
        patterns, rows, surface, canvas.s.flatten(), canvas.t.flatten(), canvas.px_m.flatten()
    )
    shape = canvas.depth_m.shape
    colour, opened = colour.view(*shape, 3), opened.view(*shape, 1)
    lit = rows.lit.index_select(0, surface).view(*shape, 1)
    light = Light(*(number[:, None, None, None].to(dtype) for number in batch.light.unbind(1)))
    direct = canvas.sun.clamp(min=0).mul_(1 - taken).to(dtype)[..., None]
    ambient = torch.addcmul(
        light.rgb('bounce'),
        light.rgb('sky') - light.rgb('bounce'),
        (0.5 + 0.5 * canvas.up).to(dtype)[..., None],
    )
    ambient.mul_(
        torch.addcmul(torch.ones_like(lit), light.cover, below.to(dtype)[..., None], value=-1)
    )
    # What shines by itself, the sky, needs no light: lit = 0.
    glow = ambient.addcmul_(direct, light.rgb('sun')).sub_(1).mul_(lit).add_(1)
    colour.mul_(glow)
    # The sky pales towards the horizon; far things take its colour.
    pale = torch.exp(-4 * _elevation(canvas, batch).clamp(min=0)).to(dtype)[..., None]
    sky = batch.surroundings[:, None, None, 0, :3].to(dtype)
    behind = torch.addcmul(sky, light.rgb('haze') - sky, pale)
    haze_m = batch.light[:, _HAZE_M, None, None]
    hazy = 1 - torch.exp(canvas.depth_m.clamp(max=1e5).div_(-haze_m)).to(dtype)[..., None]
    hazy = torch.maximum(torch.lerp(pale, hazy, lit), opened)
    linear = colour.lerp_(behind, hazy).mul_(_gradient(light, batch))
    return linear.permute(0, 3, 1, 2).contiguous()


def _elevation(canvas: Canvas, batch: Batch) -> Tensor:
    """Return (B, H, W) sine of each ray's angle above the horizon."""
    a = batch.axes[:, 1, :, None, None]
    length = torch.rsqrt(canvas.x * canvas.x + canvas.y * canvas.y + 1)
    return (a[:, 0] * canvas.x + (a[:, 1] * canvas.y + a[:, 2])).mul_(length)


def _gradient(light: Light[Tensor], batch: Batch) -> Tensor:
    """Return (B, H, W, 1) light that changes across the picture."""
    dtype = light.gradient_x.dtype
    x = batch.column_px / batch.size_px[:, :1]
    y = batch.row_px / batch.size_px[:, 1:]
    x, y = (2 * x - 1).to(dtype)[:, None, :, None], (2 * y - 1).to(dtype)[:, :, None, None]
    return 1 + light.gradient_x * x + light.gradient_y * y


def _smooth_edges(linear: Tensor, person: Tensor, depth_m: Tensor) -> Tensor:
    """
    Blend pixels at outlines with their neighbours, as each pixel of a lens gathers an area.

    `linear` (B, 3, H, W); outlines are where the person changes or the depth by over 5 %.
    """
    key = torch.log2(depth_m.clamp(max=1e5)) + 100.0 * person
    key = key[:, None]
    high = functional.max_pool2d(key, 3, 1, 1)
    low = -functional.max_pool2d(-key, 3, 1, 1)
    edge = ((high - low) > 0.07).to(linear.dtype) * 0.75
    mean = functional.avg_pool2d(functional.pad(linear, (1, 1, 1, 1), mode='replicate'), 3, 1)
    return torch.lerp(linear, mean, edge)
