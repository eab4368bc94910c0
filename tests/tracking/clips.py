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

"""
Synthetic clips with truth: people on metric paths, seen by a network that errs.

The paths are functions of time, so that a clip is the same at every frame rate. What a detector
does to them is `Errors`; the sizes of its defaults are assumptions, of the order of what single
picture networks show (centimetres across the line of sight, a few per cent of the distance along
it, a few degrees a joint), not measurements of this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import math

from mahmr_model.types import Camera, People
import numpy as np

CAMERA = Camera(600, 600, 320, 240, 640, 480)
PlaceM = tuple[float, float, float]
Scene = Callable[[float], dict[str, PlaceM]]

BODY_M = np.array([0.25, 0.85, 0], np.float32)
"""Half of the breadth and height of everybody."""
COVERED = 0.7
"""Who is covered by more than this share by somebody nearer is hidden."""
HIDDEN_S = 1.5
"""Who was not to be seen for longer than this is somebody else to the truth: nothing tells."""


@dataclass(frozen=True)
class Errors:
    """What the detector does to the truth; standard deviations."""

    across_m: float = 0.03
    along: float = 0.03
    """Of the distance."""
    box_px: float = 3.0
    rotation_rad: float = 0.05
    shape: float = 0.3
    missed: float = 0.05
    """Share of the people in each picture that is not found."""
    false_a_picture: float = 0.1
    """How many that are nobody are found, on average."""


@dataclass(frozen=True)
class Frame:
    """One picture: who is to be seen where, and what was detected of them."""

    now_s: float
    truth: dict[str, PlaceM]
    people: People


def crossing(now_s: float) -> dict[str, PlaceM]:
    """Two walk past each other at 1.3 m/s, 0.7 m apart in depth; the far one is covered."""
    x = -2.6 + 1.3 * now_s
    return {'right': (x, 0, 4.0), 'left': (-x, 0, 4.7)}


def meeting(now_s: float) -> dict[str, PlaceM]:
    """Two come to stand 0.7 m from each other for a while, and go back where they came from."""
    apart = 0.35 + 1.2 * max(abs(now_s - 3) - 1, 0)
    return {'a': (-apart, 0, 4.0), 'b': (apart, 0, 4.2)}


def pillar(now_s: float) -> dict[str, PlaceM]:
    """Three walk behind a pillar that hides each for one second, one in the other direction."""
    x = 1.1 * (now_s - 3)
    everybody = {'a': (x, 0, 5.0), 'b': (-x, 0, 6.0), 'c': (x - 2.4, 0, 7.0)}
    return {name: place for name, place in everybody.items() if abs(place[0]) > 0.55}


def stops_while_hidden(now_s: float) -> dict[str, PlaceM]:
    """One disappears for 0.9 s at walking pace and is then found standing where they stopped."""
    x = min(1.2 * (now_s - 2), 0.4)
    shown: dict[str, PlaceM] = {'stays': (1.6, 0, 4.5), 'stops': (x, 0, 5.0)}
    if 2 < now_s < 2.9:
        del shown['stops']
    return shown


def out_and_in(now_s: float) -> dict[str, PlaceM]:
    """One leaves the picture and is back after 0.8 s; another comes back after three seconds."""
    shown: dict[str, PlaceM] = {'stays': (0, 0, 6.0)}
    if not 1.5 < now_s < 2.3:
        shown['short'] = (-1.9 + 0.3 * abs(now_s - 1.9), 0, 4.0)
    if not 1.0 < now_s < 4.0:
        shown['long'] = (1.8, 0, 4.0)
    return shown


def crowd(now_s: float, seed: int = 2897) -> dict[str, PlaceM]:
    """Six walk through a room of 5 × 5 m on paths that cross, never nearer than half a metre."""
    rng = np.random.default_rng(seed)
    shown: dict[str, PlaceM] = {}
    for i in range(6):
        phase, speed = rng.uniform(0, 2 * math.pi, 2), rng.uniform(0.25, 0.5, 2)
        x = 2.5 * math.sin(speed[0] * now_s + phase[0])
        z = 6.0 + 2.5 * math.sin(speed[1] * now_s + phase[1])
        shown[f'{i}'] = (x, 0, z)
    return shown


def turning_robot(now_s: float) -> dict[str, PlaceM]:
    """Three stand, and the camera looks left and right, up to 40 degrees a second."""
    yaw = math.radians(20) * math.sin(2 * now_s)
    sine, cosine = math.sin(yaw), math.cos(yaw)
    places = {'a': (-1.0, 3.5), 'b': (-0.2, 5.0), 'c': (1.0, 4.5)}
    return {
        name: (x * cosine - z * sine, 0, x * sine + z * cosine) for name, (x, z) in places.items()
    }


SCENES: dict[str, Scene] = {
    'crossing': crossing,
    'meeting': meeting,
    'pillar': pillar,
    'stops while hidden': stops_while_hidden,
    'out and in': out_and_in,
    'crowd': crowd,
    'turning robot': turning_robot,
}


def frames(
    scene: Scene, rate_hz: float, seed: int, errors: Errors | None = None, seconds: float = 6.0
) -> Iterator[Frame]:
    """Give the pictures of a scene, people in another order in each."""
    errors = errors or Errors()
    rng = np.random.default_rng([seed, int(rate_hz * 100)])
    seen_s: dict[str, float] = {}
    returns: dict[str, int] = {}
    for step in range(int(seconds * rate_hz) + 1):
        now_s = step / rate_hz
        truth = {}
        for name, place in visible(scene(now_s)).items():
            if now_s - seen_s.get(name, now_s) > HIDDEN_S:
                returns[name] = returns.get(name, 0) + 1
            seen_s[name] = now_s
            truth[f'{name}, {returns.get(name, 0)}'] = place
        found = [place for place in truth.values() if rng.random() >= errors.missed]
        rng.shuffle(found)
        places = [_seen(place, errors, rng) for place in found]
        for _ in range(rng.poisson(errors.false_a_picture)):
            places.append((rng.uniform(-2, 2), rng.uniform(-0.5, 0.5), rng.uniform(3, 8)))
        yield Frame(now_s, truth, people_at(places, errors, rng))


def visible(places: dict[str, PlaceM]) -> dict[str, PlaceM]:
    """Leave out who is covered by somebody nearer."""
    boxes = {name: boxes_of([place])[0] for name, place in places.items()}

    def covered(name: str) -> float:
        box = boxes[name]
        shares = [0.0]
        for other, (_, _, z) in places.items():
            if z < places[name][2]:
                low = np.maximum(box[:2], boxes[other][:2])
                high = np.minimum(box[2:], boxes[other][2:])
                shares.append(float((high - low).clip(0).prod() / (box[2:] - box[:2]).prod()))
        return max(shares)

    return {name: place for name, place in places.items() if covered(name) <= COVERED}


def boxes_of(places: list[PlaceM]) -> np.ndarray:
    """Return the boxes (N, 4) of bodies at places."""
    at = np.array(places, np.float32).reshape(len(places), 3)
    return np.concatenate([CAMERA.project(at - BODY_M), CAMERA.project(at + BODY_M)], 1)


def people_at(
    places: list[PlaceM],
    errors: Errors | None = None,
    rng: np.random.Generator | None = None,
) -> People:
    """Give people whose pelvises are at the places; `errors` go on boxes, pose and shape."""
    count = len(places)
    at = np.array(places, np.float32).reshape(count, 3)
    boxes = boxes_of(places)
    pose = np.zeros((count, 24, 3), np.float32)
    betas = np.zeros((count, 10), np.float32)
    if errors is not None and rng is not None:
        boxes = boxes + rng.normal(0, errors.box_px, boxes.shape).astype(np.float32)
        pose = rng.normal(0, errors.rotation_rad, pose.shape).astype(np.float32)
        betas = rng.normal(0, errors.shape, betas.shape).astype(np.float32)
    return standing(at, boxes, pose, betas)


def standing(at: np.ndarray, boxes: np.ndarray, pose: np.ndarray, betas: np.ndarray) -> People:
    """Make people of places (N, 3), boxes, pose and shape; all their joints are at the place."""
    count = len(at)
    joints = np.repeat(at[:, None], 45, 1)
    return People(
        confidence=np.ones(count, np.float32),
        boxes_xyxy_px=boxes,
        pose_axis_angle=pose,
        betas=betas,
        translation_m=at,
        joints_camera_m=joints,
        joints_px=CAMERA.project(joints),
        vertices_camera_m=joints[:, :3],
        height_m=np.full(count, 1.7, np.float32),
        faces=np.array([[0, 1, 2]]),
        camera=CAMERA,
        camera_source='given',
    )


def _seen(place: PlaceM, errors: Errors, rng: np.random.Generator) -> PlaceM:
    """Give a place with errors across the line of sight and, by stretching it, along it."""
    stretch = 1 + rng.normal(0, errors.along)
    across = rng.normal(0, errors.across_m, 2)
    return (
        (place[0] + across[0]) * stretch,
        (place[1] + across[1]) * stretch,
        place[2] * stretch,
    )
