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
The node with a predictor that knows its people: run as a process by the tests.

Who is in a picture is written into it: the value of its first pixel (red) is the number of
people. Faults are asked for by the first pixel's green: see `FAULTS`. Its blue moves everybody to
the right, by so many centimetres. What it saw and how long it
takes comes from environment variables, so that the node's own command line stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
import os
from pathlib import Path
import time
from typing import Any

import boards
from mahmr_model.errors import UserError
from mahmr_model.types import Camera, ImageArray, People
from mahmr_node.messages import Result
from mahmr_node.parameters import Settings
import numpy as np

DELAY_S = 'STAND_IN_DELAY_S'
LOAD_DELAY_S = 'STAND_IN_LOAD_DELAY_S'
LOAD_FAILS_WHILE = 'STAND_IN_LOAD_FAILS_WHILE'
COMPUTES = 'STAND_IN_COMPUTES'  # during the delay, instead of sleeping
LOG = 'STAND_IN_LOG'
DRAWING_DELAY_S = 'STAND_IN_DRAWING_DELAY_S'  # together with LOG
BODY = 'STAND_IN_BODY'
BOARDS = 'STAND_IN_BOARDS'  # people are where boards.py finds its boards
REFRESH_FAILS = 'STAND_IN_REFRESH_FAILS'

FAULTS = {1: 'raise', 2: 'nan', 3: 'memory of a batch', 4: 'memory'}

# Where the people stand, metres in the optical frame; they do not move.
PLACES_M = np.array(
    [[-1.5, 0.2, 4.0], [0.0, 0.3, 5.0], [1.5, 0.1, 6.0], [-0.7, 0.2, 8.0], [2, 0, 9]]
)
HEIGHTS_M = np.array([1.6, 1.7, 1.8, 1.9, 1.2])

FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
SHAPE_M = np.array([[0, -0.9, 0], [0.3, 0.9, 0.2], [-0.3, 0.9, 0.2], [0, 0.9, -0.3]])


@cache
def mesh() -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (V, 3) about the pelvis in metres and the triangles (F, 3) of a body."""
    if not os.environ.get(BODY):
        return SHAPE_M, FACES
    from mahmr_model.body.data import load_body, OPEN_BODY

    body = load_body(OPEN_BODY)
    return body.v_template * (1, -1, -1), body.faces


# The lens that this network would estimate: 60° over the longer side.
ESTIMATED_FOV_RAD = np.pi / 3


def people_in(image_rgb: ImageArray, camera: Camera | None) -> People:
    """Return the people that a picture asks for, the true camera used or an estimate."""
    height, width = image_rgb.shape[:2]
    lens = camera or Camera.from_horizontal_fov(ESTIMATED_FOV_RAD, width, height)
    if os.environ.get(BOARDS):
        roots = boards.measure(image_rgb, lens)
    else:
        wanted = min(int(image_rgb[0, 0, 0]), len(PLACES_M))
        roots = np.add(PLACES_M[:wanted], (0.01 * image_rgb[0, 0, 2], 0, 0))
    count = len(roots)
    shape_m, faces = mesh()
    joints = np.repeat(roots[:, None], 45, axis=1) + np.linspace(0, 0.5, 45)[None, :, None]
    joints[:, 0] = roots
    joints_px = lens.project(joints)
    corners = np.concatenate([joints_px.min(axis=1), joints_px.max(axis=1)], axis=1)
    pose = np.zeros((count, 24, 3), np.float32)
    pose[:, 0] = (0, np.pi / 2, 0)
    return People(
        confidence=np.linspace(0.9, 0.5, count).astype(np.float32),
        boxes_xyxy_px=corners.reshape(count, 4).astype(np.float32),
        pose_axis_angle=pose,
        betas=np.zeros((count, 10), np.float32),
        translation_m=roots.astype(np.float32),
        joints_camera_m=joints.astype(np.float32),
        joints_px=joints_px,
        vertices_camera_m=(roots[:, None] + shape_m).astype(np.float32),
        height_m=HEIGHTS_M[:count].astype(np.float32),
        faces=faces,
        camera=lens,
        camera_source='given' if camera else 'estimated',
        untrained=True,
        inference_s=float(os.environ.get(DELAY_S, '0')),
    )


def above(people: People, threshold: float) -> People:
    """Leave out whom the threshold leaves out."""
    count, sure = len(people), people.confidence > threshold
    kept = {
        field.name: value[sure]
        for field in fields(people)
        if isinstance(value := getattr(people, field.name), np.ndarray)
        and len(value) == count
        and field.name != 'faces'
    }
    return replace(people, **kept)


def compute(seconds: float) -> None:
    """Keep a core busy as a network does: in long calls that do not hold Python's lock."""
    end, matrix = time.monotonic() + seconds, np.ones((600, 600))
    while time.monotonic() < end:
        matrix = matrix @ matrix / 600


class OutOfMemoryError(RuntimeError):
    """Of the name and family of torch's own."""


class StandIn:
    """A predictor whose answers and faults the pictures themselves ask for."""

    def __init__(self, settings: Settings) -> None:
        self.confidence_threshold = settings.confidence_threshold
        self.weights_name = 'stand-in'
        self.untrained = True
        self.device = 'cpu'
        rest_vertices_m, self.faces = mesh()
        self.rest_vertices_m = rest_vertices_m.astype(np.float32)
        self._delay_s = float(os.environ.get(DELAY_S, '0'))

    def __del__(self) -> None:
        _log('freed')

    def predict_batch(
        self, images_rgb: Sequence[ImageArray], cameras: Sequence[Camera | None]
    ) -> list[People]:
        _log('entered')
        if os.environ.get(COMPUTES):
            compute(self._delay_s)
        else:
            time.sleep(self._delay_s)
        _log(f'batch {len(images_rgb)}')
        faults = {FAULTS.get(int(image[0, 0, 1])) for image in images_rgb}
        if 'raise' in faults:
            raise RuntimeError('the stand-in was asked to fail')
        if 'memory' in faults or ('memory of a batch' in faults and len(images_rgb) > 1):
            raise OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines')
        people = [
            above(people_in(image, camera), self.confidence_threshold)
            for image, camera in zip(images_rgb, cameras, strict=True)
        ]
        if 'nan' in faults:
            people[0].vertices_camera_m[...] = np.nan
        return people

    def repose(self, people: People) -> People:
        moved_m = (people.translation_m - people.root_m)[:, None]
        return replace(
            people,
            joints_camera_m=people.joints_camera_m + moved_m,
            vertices_camera_m=people.vertices_camera_m + moved_m,
        )


def load(settings: Settings) -> StandIn:
    """Load slowly, or not at all, as the environment asks for."""
    _log('loading')
    time.sleep(float(os.environ.get(LOAD_DELAY_S, '0')))
    blocker = os.environ.get(LOAD_FAILS_WHILE)
    if blocker and Path(blocker).exists():
        raise UserError('The stand-in was asked not to load.')
    return StandIn(settings)


def _log(line: str) -> None:
    path = os.environ.get(LOG)
    if path:
        with open(path, 'a') as file:
            file.write(line + '\n')


def log_what_is_built() -> None:
    """Write into the log each message that the node builds."""
    from mahmr_node.camera_output import CameraOutput

    build, draw = CameraOutput._build, CameraOutput._draw

    def logged(self: CameraOutput, topic: str, *args: Any) -> Any:
        _log(f'built {topic}')
        return build(self, topic, *args)

    def logged_drawing(self: CameraOutput, result: Result) -> Any:
        _log('built overlay')
        time.sleep(float(os.environ.get(DRAWING_DELAY_S, '0')))
        return draw(self, result)

    CameraOutput._build = logged  # type: ignore[method-assign]
    CameraOutput._draw = logged_drawing  # type: ignore[method-assign]


def fail_in_a_callback() -> None:
    """Let a timer's callback of the active node raise each time."""
    from mahmr_node.camera_input import CameraInput

    def refresh(self: CameraInput) -> None:
        raise RuntimeError('the stand-in was asked to fail')

    CameraInput.refresh = refresh  # type: ignore[method-assign]


if __name__ == '__main__':
    from mahmr_node.main import main

    if os.environ.get(LOG):
        log_what_is_built()
    if os.environ.get(REFRESH_FAILS):
        fail_in_a_callback()
    main(load=load)
