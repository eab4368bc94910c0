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

"""Clothes on bodies: how far they stand off the skin, and which part a point is of."""

from __future__ import annotations

import torch
from torch import Tensor
from training.synthetic.scenes.costume import Costume
from training.synthetic.scenes.outfit import Cut, PARTS

_NUMBER = {part: number for number, part in enumerate(PARTS)}
_TURN = 0.8
"""How steeply the hair's edge falls from the forehead to the nape."""


def _ramp(value: Tensor, width: float) -> Tensor:
    """Return 0 below 0, 1 above `width`, a ramp between."""
    return (value / width).clamp(0, 1)


def thickness(costume: Costume, cut: Tensor, folds: Tensor) -> Tensor:
    """Return (P, V) metres that what people wear stands off their skin."""
    rest = costume.rest_m[: len(costume.normal)]
    x, y, z = (rest[:, axis][None] for axis in range(3))
    sideways = x.abs()
    c = Cut(*cut[:, :, None].unbind(1))
    fold = (folds @ costume.field.T) * c.fold
    arm = _ramp(sideways - 0.17, 0.05) * (y > 0.25)
    trunk = (1 - arm) * (y < c.collar)
    above_hem = _ramp(y - c.hem, 0.008)
    torso = trunk * above_hem
    # Cloth hangs from chest and belly instead of following the waist.
    waist = torch.exp(-(((y - 0.1) / 0.12) ** 2)) + 0.7 * torch.exp(-(((y - c.hem) / 0.1) ** 2))
    off = torso * (c.top_off * _ramp(c.collar - y, 0.1) + c.top_drape * waist + fold)
    sleeve = arm * _ramp(c.sleeve - sideways, 0.01)
    hang = 0.5 + _ramp(sideways - 0.2, 0.3)
    off = off + sleeve * (c.sleeve_off * hang + 0.5 * fold)
    legs = (1 - above_hem) * _ramp(y - c.leg_end, 0.008)
    wide = c.bottom_off + c.flare * _ramp(-0.3 - y, 0.6)
    off = off + legs * (wide + 0.5 * fold) * _ramp(-0.05 - y, 0.3).clamp(min=0.3)
    off = off + 0.008 * _ramp(c.shoe_top - y, 0.01)
    off = torch.maximum(off, 0.1 * c.top_off)
    height = y - 0.568 - _TURN * z - c.hair_line
    scalp = _ramp(height, 0.05) * (y > 0.5) * c.hair_off * (0.8 + 0.3 * costume.field[:, 0])
    hat = 0.012 + 0.03 * _ramp(y - 0.68, 0.03)
    scalp = torch.where(y > c.hat_line + 0.25 * z, hat, scalp)
    return torch.where(y > 0.49, scalp, off)


def parts(rest: Tensor, kind: Tensor, cut: Tensor) -> Tensor:
    """
    Return (K,) int8 which of PARTS points are of.

    `rest` (K, 3) where they are in the mean T-pose, `kind` (K,) `Costume.face_kind`, `cut`
    (K, CUTS) of their person.
    """
    x, y, z = rest.unbind(1)
    sideways = x.abs()
    c = Cut(*cut.unbind(1))
    arm = (sideways > 0.2) & (y > 0.25)

    def put(part: Tensor, where: Tensor, name: str) -> Tensor:
        return part.masked_fill_(where, _NUMBER[name])

    part = torch.full_like(kind, _NUMBER['bottom'])
    part = put(part, y > c.hem, 'top')
    width = c.opening * (1.3 - 1.2 * (y - 0.1))
    part = put(part, (y > c.hem) & (z > 0) & (sideways < width), 'inner')
    part = put(
        part, (y - c.vee * sideways > c.neck) & (torch.hypot(x, 0.8 * z) < c.neck_radius), 'skin'
    )
    part = put(part, y > c.collar, 'skin')
    part = put(part, arm & (sideways > c.sleeve), 'skin')
    part = put(part, y < c.leg_end, 'skin')
    part = put(part, y < c.shoe_top, 'shoes')
    part = put(part, (y < -0.962) & (c.shoe_top > -0.95), 'sole')
    face = z > 0.085
    part = put(part, (y > 0.49) & (y < c.beard) & (z > 0.02), 'hair')
    part = put(part, face & (torch.hypot(sideways / 0.024, (y - 0.533) / 0.0065) < 1), 'mouth')
    part = put(
        part, face & (torch.hypot((sideways - 0.03) / 0.013, (y - 0.602) / 0.006) < 1), 'eye'
    )
    part = put(
        part, face & (torch.hypot((sideways - 0.031) / 0.019, (y - 0.621) / 0.0045) < 1), 'hair'
    )
    part = put(part, (y > 0.5) & (y - 0.568 - _TURN * z > c.hair_line), 'hair')
    part = put(part, y > c.hat_line + 0.25 * z, 'hat')
    hung = [part, c.skirt_part.to(part.dtype), *(torch.full_like(part, _NUMBER[n]) for n in _HUNG)]
    for number, other in enumerate(hung[1:], 1):
        part = torch.where(kind == number, other, part)
    return part


_HUNG = ('hair', 'hair', 'hat', 'bag', 'bag')
"""Parts of `HANGINGS` after the skirt."""


def texture_place(rest: Tensor) -> tuple[Tensor, Tensor]:
    """Return (K,) where cloth's texture is looked up, metres: along sleeves, up the rest."""
    x, y, z = rest.unbind(1)
    arm = (x.abs() > 0.2) & (y > 0.25)
    return torch.where(arm, y + 0.6 * z, x + 0.4 * z), torch.where(arm, x.abs(), y)
