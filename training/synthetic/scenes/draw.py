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

"""Draws whole scenes: the same seed and index give the same scene in any process."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mahmr_model.errors import UserError
import numpy as np
from training.data.annotation import Bools, Floats
from training.synthetic.scenes.camera import draw_view, View
from training.synthetic.scenes.people import draw_people, People
from training.synthetic.scenes.placing import FEWEST_JOINTS, place, Placed
from training.synthetic.scenes.rotations import heading, matrices, rotvec
from training.synthetic.scenes.scene import Scene
from training.synthetic.scenes.seats import carriers, draw_bed_heights
from training.synthetic.scenes.solids import Crowd, in_view, LENS_CLEAR_M, scatter, Solid
from training.synthetic.scenes.spheres import hidden_by_people, RADII_M, sphere_centres

HELD_OUT_SEED = 20_260_000
"""The seed of the scenes that nothing is ever trained on; `draw_scene` refuses it elsewhere."""
HELD_OUT_SCENES = 500

_COUNT_CHANCES = (0.15, 0.17, 0.16, 0.13, 0.11, 0.09, 0.07, 0.05, 0.04, 0.03)
_EMPTY_CHANCE = 0.04
"""That nobody is there: what only looks like somebody is learnt. Never in what is held out."""
_MAIN_JOINTS = 22
_CLEAR_JOINTS, _UNCLEAR_CHANCE = 12, 0.2
"""Somebody shows so many of the main joints, but in a few scenes."""
_ATTEMPTS = 60


@dataclass(frozen=True)
class SceneConfig:
    """What all scenes of a run share."""

    input_size: int = 560
    """The longer side of the pictures in pixels."""


def draw_scene(config: SceneConfig, seed: int, index: int) -> Scene:
    """
    Draw scene `index` of a training run's `seed`: any number but that of the held-out set.

    One in twenty-five has nobody in it. Raises UserError for the seed of the held-out set.
    """
    if seed == HELD_OUT_SEED:
        raise UserError(
            f'The seed {seed} belongs to the held-out scenes, which nothing may be trained on; '
            'take another one.'
        )
    generator = np.random.default_rng([seed, index])
    scene = _draw(config, generator)
    return _deserted(scene) if generator.random() < _EMPTY_CHANCE else scene


def held_out_scene(config: SceneConfig, index: int) -> Scene:
    """Return scene `index` of the held-out set."""
    if not 0 <= index < HELD_OUT_SCENES:
        raise UserError(
            f'The held-out set has the scenes 0 to {HELD_OUT_SCENES - 1}, not {index}.'
        )
    return _draw(config, np.random.default_rng([HELD_OUT_SEED, index]))


def _draw(config: SceneConfig, generator: np.random.Generator) -> Scene:
    for _ in range(_ATTEMPTS):
        scene = _attempt(config, generator)
        if scene is not None:
            return scene
    raise RuntimeError(f'no scene came of {_ATTEMPTS} attempts')


def _deserted(scene: Scene) -> Scene:
    """Return a scene without its people; what they sat on stays."""
    return replace(
        scene,
        pose_axis_angle=scene.pose_axis_angle[:0],
        betas=scene.betas[:0],
        translation_m=scene.translation_m[:0],
    )


def _attempt(config: SceneConfig, generator: np.random.Generator) -> Scene | None:
    view = draw_view(config.input_size, generator)
    chances = np.array(_COUNT_CHANCES)
    count = 1 + int(generator.choice(len(chances), p=chances / chances.sum()))
    people = draw_people(count, generator)
    beds = draw_bed_heights(people, generator)
    placed = place(people, view, beds, generator)
    if len(placed.rows) == 0:
        return None
    joints = _joints(people, placed)
    spheres = sphere_centres(joints)
    own = [
        carriers(people, row, beds[row], yaw, feet, generator)
        for row, yaw, feet in zip(placed.rows, placed.yaw, placed.feet_m, strict=True)
    ]
    main = joints[:, :_MAIN_JOINTS]
    crowd = Crowd(spheres, main, in_view(main, view))
    kept = _unharmed(own, spheres, view)
    solids = [s for mine, keep in zip(own, kept, strict=True) if keep for s in mine]
    kept &= _noticeable(crowd, solids, view)
    most = crowd.in_picture[kept].sum(1).max(initial=0)
    if most == 0 or (most < _CLEAR_JOINTS and generator.random() > _UNCLEAR_CHANCE):
        return None
    solids = [s for mine, keep in zip(own, kept, strict=True) if keep for s in mine]
    crowd = Crowd(spheres[kept], main[kept], crowd.in_picture[kept])
    solids += scatter(view, crowd, solids, generator)
    placed = Placed(placed.rows[kept], placed.yaw[kept], placed.feet_m[kept])
    return _scene(people, placed, solids, view, generator)


def _joints(people: People, placed: Placed) -> Floats:
    """Return the joints (P, 45, 3) of those placed, in the world."""
    turned = people.joints_m[placed.rows] @ heading(placed.yaw).swapaxes(1, 2)
    moved: Floats = turned + placed.feet_m[:, None]
    return moved


def _unharmed(own: list[list[Solid]], spheres_m: Floats, view: View) -> Bools:
    """Say who (P,) sits or lies on nothing that runs through another or into the lens."""
    kept = np.ones(len(own), bool)
    for person, mine in enumerate(own):
        others = spheres_m[kept & (np.arange(len(own)) != person)]
        kept[person] = not any(
            solid.distance_m(view.eye_m) < LENS_CLEAR_M
            or (solid.distance_m(others) < RADII_M).any()
            for solid in mine
        )
    return kept


def _noticeable(crowd: Crowd, solids: list[Solid], view: View) -> Bools:
    """Say who (P,) still shows some joints behind all others and their seats."""
    hidden = hidden_by_people(view.to_camera(crowd.joints_m), view.to_camera(crowd.spheres_m))
    for solid in solids:
        hidden |= solid.hides(crowd.joints_m, view.eye_m)
    shown = (crowd.in_picture & ~hidden).sum(1)
    enough = np.minimum(FEWEST_JOINTS, crowd.in_picture.sum(1))
    return (shown >= enough) & (shown > 0)


def _scene(
    people: People, placed: Placed, solids: list[Solid], view: View, generator: np.random.Generator
) -> Scene:
    rotvecs = people.rotvecs[placed.rows].copy()
    turns = view.rotation @ heading(placed.yaw) @ matrices(rotvecs[:, 0])
    rotvecs[:, 0] = [rotvec(t) for t in turns]
    root = people.root_m[placed.rows]
    joints = _joints(people, placed)
    up = view.rotation @ (0.0, 1.0, 0.0)
    return Scene(
        size_hw=view.size_hw,
        intrinsics=view.intrinsics,
        pose_axis_angle=rotvecs.reshape(-1, 72),
        betas=people.betas[placed.rows],
        translation_m=view.to_camera(joints[:, 0]) - root,
        things=tuple(s.thing(view) for s in solids),
        ground_normal=up,
        ground_offset_m=view.height_m,
        light_direction=view.rotation @ _light(generator),
        look_seed=int(generator.integers(2**31)),
    )


def _light(generator: np.random.Generator) -> Floats:
    """Return a direction (3,) of the world from the ground to the sun or a lamp."""
    high, around = np.deg2rad(generator.uniform(15, 85)), generator.uniform(-np.pi, np.pi)
    flat = np.cos(high)
    return np.array([flat * np.sin(around), np.sin(high), flat * np.cos(around)])
