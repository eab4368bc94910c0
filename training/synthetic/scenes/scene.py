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

"""What a synthetic scene is: people, things, ground, lens and light, before it is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.data.annotation import Floats

ThingShape = Literal['box', 'cylinder', 'ellipsoid']


@dataclass(frozen=True)
class Thing:
    """A solid that stands in the scene and may hide people."""

    shape: ThingShape
    centre_m: Floats
    """(3,) in the camera frame."""
    half_sides_m: Floats
    """(3,) along its own axes; a cylinder's axis is its second."""
    rotation: Floats
    """(3, 3) from its own axes to the camera frame."""


@dataclass(frozen=True)
class Scene:
    """
    One picture's worth of world in the camera frame: metres, x right, y down, z forward.

    Small (a few kB), made of numpy alone, so that workers can draw it at random and a device can
    render many at once. Everything about looks (colours, textures, background, sensor) follows
    from `look_seed`.
    """

    size_hw: tuple[int, int]
    """(H, W) of the picture in pixels."""
    intrinsics: Floats
    """(3, 3), in the picture's pixels."""
    pose_axis_angle: Floats
    """(P, 72) radians; joint 0 relative to the camera frame."""
    betas: Floats
    """(P, 11) of the open body, the child axis last."""
    translation_m: Floats
    """(P, 3) added to the posed body's points, camera frame."""
    things: tuple[Thing, ...]
    ground_normal: Floats
    """(3,) unit vector in the camera frame, away from the ground (up in the world)."""
    ground_offset_m: float
    """Points x of the ground have normal·x + offset = 0, so it is the camera's height above it."""
    light_direction: Floats
    """(3,) unit vector in the camera frame, from the scene towards the light."""
    look_seed: int
