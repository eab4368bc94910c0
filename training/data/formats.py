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
The published annotation formats: one function each, from a picture's entry to an annotation.

Entries are what `published.read_annotations` yields. Functions raise KeyError, ValueError and
their like where an entry is not as published; the store keeps that as the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, NamedTuple

from mahmr_model.body.data import Gender
import numpy as np
from training.data.annotation import Annotation, Bodies, Bools, Floats, Keypoints
from training.data.posing import GENDERS

SHAPES = 11
"""What shapes are padded to by zeros."""
CROWDPOSE_JOINTS = 14
CROWDPOSE_FROM_OCHUMAN = (3, 0, 4, 1, 5, 2, 9, 6, 10, 7, 11, 8, 12, 13)
"""CrowdPose's joints among OCHuman's 19 (right side first, then head and neck, then the face)."""

Entry = Any


def agora(name: str, entry: Entry) -> Annotation:
    """AGORA: a list of people, of whom some are not valid; one camera."""
    valid = np.flatnonzero(np.asarray(entry['isValid']).reshape(-1))
    people = [entry['smpl_gt'][i] for i in valid]
    everybody = len(entry['smpl_gt'])
    kid = np.asarray(entry.get('kid', np.zeros(everybody)), bool).reshape(-1)
    rotation, translation = (
        _each(entry[key], everybody, shape)[valid]
        for key, shape in (('cam_rot', (3, 3)), ('cam_trans', (3,)))
    )
    bodies = _bodies(
        [_parameters(person) for person in people],
        rotation,
        translation,
    )
    intrinsics = _cameras(entry['cam_intrinsics'], everybody)
    if len(intrinsics) == everybody != 1:
        intrinsics = intrinsics[valid]
    return Annotation(Path(name), intrinsics, bodies, kids=kid[valid])


def bedlam(name: str, entry: Entry) -> Annotation:
    """BEDLAM: arrays over people; one camera."""
    pose = _array(entry['pose_world']).reshape(-1, 72)
    bodies = Bodies(
        pose,
        _padded(_array(entry['shape']).reshape(len(pose), -1)),
        _each(entry['trans_world'], len(pose), (3,)),
        _each(entry['cam_rot'], len(pose), (3, 3)),
        _each(entry['cam_trans'], len(pose), (3,)),
        _neutral(len(pose)),
    )
    return Annotation(Path(name), _cameras(entry['cam_int'], len(pose)), bodies)


def threedpw(name: str, entry: Entry) -> Annotation:
    """3DPW: arrays over people, with genders; one camera."""
    root = _array(entry['global_orient']).reshape(-1, 3)
    count = len(root)
    bodies = Bodies(
        np.concatenate([root, _array(entry['body_pose']).reshape(count, 69)], axis=1),
        _padded(_array(entry['betas']).reshape(count, -1)),
        _each(entry['transl'], count, (3,)),
        _each(entry['cam_rot'], count, (3, 3)),
        _each(entry['cam_trans'], count, (3,)),
        _genders(entry['genders'] if 'genders' in entry else entry['gender'], count),
    )
    return Annotation(Path(name), _cameras(entry['cam_intrinsics'], count), bodies)


def hi4d(name: str, entry: Entry) -> Annotation:
    """Hi4D: a list of people, each with gender and camera."""
    genders = [_genders(p['genders'], 1)[0] for p in entry]
    bodies = _bodies(
        [_parameters(person) for person in entry],
        np.concatenate([_each(p['cam_rot'], 1, (3, 3)) for p in entry]),
        np.concatenate([_each(p['cam_trans'], 1, (3,)) for p in entry]),
        tuple(genders),
    )
    return Annotation(Path(name), _pinholes(entry), bodies)


def fitted(name: str, entry: Entry) -> Annotation:
    """COCO, MPII, AI Challenger, InstaVariety: people fitted in their cameras' own frame."""
    fits = [p['smpl_param'] for p in entry]
    parameters = [
        _Parameters(
            _array(fit['pose']).reshape(72),
            _array(fit['shape']).reshape(-1),
            _array(fit['trans']).reshape(3),
        )
        for fit in fits
    ]
    count = len(fits)
    bodies = _bodies(
        parameters,
        np.broadcast_to(np.eye(3), (count, 3, 3)),
        np.zeros((count, 3)),
    )
    return Annotation(Path(name), _pinholes([p['cam_param'] for p in entry]), bodies)


def panoptic(name: str, entry: Entry) -> Annotation:
    """CMU Panoptic: 19 joints in metres with their visibility as a fourth number."""
    joints = _array(entry['kpts3d']).reshape(-1, 19, 4)
    pixels = _array(entry['kpts2d']).reshape(len(joints), 19, -1)[..., :2]
    keypoints = Keypoints(pixels, joints[..., 3] > 0, joints[..., :3])
    return Annotation(Path(name), keypoints=keypoints)


def mupots(name: str, entry: Entry) -> Annotation:
    """MuPoTS-3D: 17 joints in Human3.6M's order, in millimetres."""
    keypoints = Keypoints(
        np.stack([_columns(p['annot_2d'], 2) for p in entry]),
        np.stack([np.asarray(p['vis']).reshape(17) > 0 for p in entry]),
        np.stack([_columns(p['annot_3d'], 3) for p in entry]),
    )
    return Annotation(Path(name), keypoints=keypoints)


def relative_human(name: str, entry: Entry) -> Annotation:
    """Relative Human: CrowdPose's 14 joints, a box, a depth layer and an age each."""
    pixels, visible = zip(*(_crowdpose(p) for p in entry), strict=True)
    boxes = np.stack([_array(p['bbox' if 'bbox' in p else 'bbox_wb'])[:4] for p in entry])
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise ValueError(f'boxes should be left, top, right, bottom, not {boxes.tolist()}')
    return Annotation(
        Path(name),
        keypoints=Keypoints(np.stack(pixels), np.stack(visible)),
        boxes_xyxy_px=boxes,
        depth_layers=_whole(entry, 'depth_id'),
        ages=_whole(entry, 'age'),
    )


def synthetic(name: str, entry: Entry) -> Annotation:
    """Scenes of `training.synthetic`: bodies of the open body in their camera's own frame."""
    count = len(entry['betas'])
    bodies = Bodies.in_camera_frame(
        _array(entry['pose_axis_angle']).reshape(count, 72),
        _padded(_array(entry['betas'])),
        _array(entry['translation_m']).reshape(count, 3),
    )
    return Annotation(Path(name), _cameras(entry['intrinsics'], count), bodies)


def _crowdpose(person: Mapping[str, Any]) -> tuple[Floats, Bools]:
    """
    Return CrowdPose's joints (14, 2) and which are annotated (14,).

    Of the two kinds of 19 joints, those of people with `bbox` are OCHuman's. The order of the
    other kind is not published: such people have a box, a depth layer and no joints.
    """
    points = person.get('kp2d')
    if points is None or (len(points) == 19 and 'bbox' not in person):
        return np.zeros((CROWDPOSE_JOINTS, 2)), np.zeros(CROWDPOSE_JOINTS, bool)
    joints = _array(points)
    if len(joints) == 19:
        joints = joints[list(CROWDPOSE_FROM_OCHUMAN)]
    joints = joints.reshape(CROWDPOSE_JOINTS, -1)
    visible = joints[:, 2] > 0 if joints.shape[1] > 2 else joints.min(1) > 0
    return joints[:, :2], visible


class _Parameters(NamedTuple):
    """Pose (72,), shape (B,) and translation (3,) of a person."""

    pose: Floats
    betas: Floats
    translation: Floats


def _parameters(person: Mapping[str, Any]) -> _Parameters:
    root = _array(person['global_orient']).reshape(3)
    return _Parameters(
        np.concatenate([root, _array(person['body_pose']).reshape(69)]),
        _array(person['betas']).reshape(-1),
        _array(person['transl']).reshape(3),
    )


def _bodies(
    people: Sequence[_Parameters],
    rotation: Floats,
    translation: Floats,
    genders: tuple[Gender, ...] | None = None,
) -> Bodies:
    count = len(people)
    pose = np.array([person.pose for person in people]).reshape(count, 72)
    betas = np.zeros((count, SHAPES))
    for row, person in zip(betas, people, strict=True):
        row[: len(person.betas)] = person.betas
    moved = np.array([person.translation for person in people]).reshape(count, 3)
    return Bodies(pose, betas, moved, rotation, translation, genders or _neutral(count))


def _array(value: Any) -> Floats:
    return np.asarray(value, np.float64)


def _padded(betas: Floats) -> Floats:
    """Return shapes (P, 11), those of 10 with a 0."""
    result = np.zeros((len(betas), SHAPES))
    result[:, : betas.shape[1]] = betas
    return result


def _each(value: Any, count: int, shape: tuple[int, ...]) -> Floats:
    """Return (count, *shape) from as many, or from one for all."""
    array = _array(value).reshape(-1, *shape)
    if len(array) not in (1, count):
        raise ValueError(f'{len(array)} of {shape} for {count} people')
    result: Floats = np.broadcast_to(array, (count, *shape))
    return result


def _cameras(value: Any, count: int) -> Floats:
    """Return intrinsics (1, 3, 3), or as many as there are people."""
    array = _array(value).reshape(-1, 3, 3)
    if len(array) not in (1, count):
        raise ValueError(f'{len(array)} cameras for {count} people')
    return array


def _pinholes(cameras: Sequence[Mapping[str, Any]]) -> Floats:
    """Return intrinsics (P, 3, 3) from `focal` (1 or 2 numbers) and `princpt`."""
    result = np.zeros((len(cameras), 3, 3))
    for matrix, camera in zip(result, cameras, strict=True):
        matrix[[0, 1], [0, 1]] = _array(camera['focal']).reshape(-1)
        matrix[:2, 2] = _array(camera['princpt']).reshape(2)
        matrix[2, 2] = 1
    return result


def _genders(value: Any, count: int) -> tuple[Gender, ...]:
    names = {'m': 'male', 'f': 'female', 'n': 'neutral'}
    texts = [str(v) for v in np.asarray(value).reshape(-1)]
    result = tuple(names.get(text, text) for text in texts)
    if len(result) != count or not set(result) <= set(GENDERS):
        raise ValueError(f'genders {texts} for {count} people')
    return cast('tuple[Gender, ...]', result)


def _columns(value: Any, width: int) -> Floats:
    """Return 17 joints (17, width), also from the transposed array."""
    array = _array(value)
    return (array.T if array.shape == (width, 17) else array).reshape(17, width)


def _neutral(count: int) -> tuple[Gender, ...]:
    return tuple(GENDERS[0] for _ in range(count))


def _whole(entry: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    values = [person.get(key) for person in entry]
    return np.array([-1 if value is None else int(value) for value in values], np.int64)
