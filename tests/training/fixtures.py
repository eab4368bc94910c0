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
Small files in exactly the published formats, with pictures rendered to fit them.

    make_data(root, pictures=4)                      all datasets, every split
    make_dataset('agora', 'train', root, scenes)     one split from scenes of one's own

Annotations are consistent with the pictures, so that a network can learn them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
import sys
from typing import Any

from mahmr_model.body.data import BodyData, load_body, OPEN_BODY
import numpy as np
from PIL import Image
from scenes import Scene, SceneMaker
import torch
from training.data.catalogue import DATASETS
from training.data.formats import CROWDPOSE_FROM_OCHUMAN
from training.data.plain_annotations import read_plain, write_plain
from training.metrics.panoptic import ACTIVITIES, H36M_FROM_PANOPTIC, PELVIS, PELVIS_SHIFT_M
from training.metrics.relative_human import CROWDPOSE

LAYER_GAP_M = 0.3


def agora(scene: Scene, number: int) -> dict[str, Any]:
    """Per picture: lists over people, one of whom may not be valid."""
    pose, translation = scene.world()
    people: list[Any] = [
        {
            'betas': scene.betas[slice(i, i + 1), : 11 if scene.kids[i] else 10],
            'global_orient': pose[slice(i, i + 1), :3],
            'body_pose': pose[slice(i, i + 1), 3:],
            'transl': translation[slice(i, i + 1)],
        }
        for i in range(len(scene))
    ]
    valid = [True] * len(scene)
    if number % 2:  # somebody without a fit
        people.append({})
        valid.append(False)
    rotation, moved = scene.extrinsics
    return {
        'isValid': np.array(valid),
        'cam_intrinsics': scene.intrinsics,
        'cam_rot': [rotation] * len(people),
        'cam_trans': [moved] * len(people),
        'smpl_gt': people,
        'kid': [*scene.kids.tolist(), False][: len(people)],
    }


def bedlam(scene: Scene, number: int) -> dict[str, Any]:
    """Per picture: arrays over people; every other file holds tensors."""
    pose, translation = scene.world()
    entry = {
        'cam_int': scene.intrinsics.astype(np.float32),
        'cam_rot': scene.extrinsics[0],
        'cam_trans': scene.extrinsics[1],
        'shape': scene.betas,
        'pose_world': pose.astype(np.float32),
        'trans_world': translation,
    }
    if number % 2:
        return {key: torch.from_numpy(value.copy()) for key, value in entry.items()}
    return entry


def threedpw(scene: Scene, number: int) -> dict[str, Any]:
    """Per picture: arrays over people."""
    pose, translation = scene.world()
    return {
        'betas': scene.betas[:, :10],
        'global_orient': pose[:, :3],
        'body_pose': pose[:, 3:],
        'transl': translation,
        'cam_intrinsics': scene.intrinsics,
        'cam_rot': np.stack([scene.extrinsics[0]] * len(scene)),
        'cam_trans': np.stack([scene.extrinsics[1]] * len(scene)),
        'genders' if number % 2 else 'gender': [g[0] for g in scene.genders],
    }


def hi4d(scene: Scene, number: int) -> list[dict[str, Any]]:
    """Per picture: a list of people."""
    pose, translation = scene.world()
    return [
        {
            'genders': scene.genders[i],
            'betas': scene.betas[i, :10],
            'global_orient': pose[i, :3],
            'body_pose': pose[i, 3:],
            'transl': translation[i],
            'cam_rot': scene.extrinsics[0],
            'cam_trans': scene.extrinsics[1],
            **_pinhole(scene),
        }
        for i in range(len(scene))
    ]


def fitted(scene: Scene, number: int) -> list[dict[str, Any]]:
    """Per picture: a list of people, fitted in the camera's frame."""
    return [
        {
            'smpl_param': {
                'shape': scene.betas[i, :10],
                'pose': scene.pose[i],
                'trans': scene.translation_m[i],
            },
            'cam_param': _pinhole(scene),
        }
        for i in range(len(scene))
    ]


def panoptic(scene: Scene, number: int) -> dict[str, Any]:
    """Per picture: 19 joints through the regressor of Human3.6M's."""
    body = _body()
    joints = np.zeros((len(scene), 19, 4))
    joints[:, list(H36M_FROM_PANOPTIC), :3] = body.h36m_regressor @ scene.vertices_m
    joints[:, PELVIS, :3] += PELVIS_SHIFT_M
    joints[:, list(H36M_FROM_PANOPTIC), 3] = 1
    height, width = scene.picture_rgb.shape[:2]
    with np.errstate(invalid='ignore'):
        pixels = np.nan_to_num(scene.project(joints[..., :3]))
    return {'kpts3d': joints, 'kpts2d': pixels, 'width': width, 'height': height}


def mupots(scene: Scene, number: int) -> list[dict[str, Any]]:
    """Per picture: a list of people, millimetres."""
    joints = _body().h36m_regressor @ scene.vertices_m
    return [
        {
            'annot_2d': scene.project(person),
            'annot_3d': 1000 * person,
            'vis': np.arange(17) != number % 17,
        }
        for person in joints
    ]


def relative_human(scene: Scene, number: int) -> list[dict[str, Any]]:
    """Per picture: a list of people; the last one's joints are of another kind each time."""
    joints = np.concatenate(
        [scene.joints_m[:, :24], _body().extra_regressor @ scene.vertices_m], axis=1
    )
    pixels = scene.project(joints[:, list(CROWDPOSE)])
    extent = scene.project(scene.vertices_m)
    layers = _depth_layers(scene.translation_m[:, 2])
    people = [
        {
            'bbox': np.concatenate([extent[i].min(0), extent[i].max(0)]),
            'kp2d': np.concatenate([pixels[i], np.full((14, 1), 2.0)], axis=1),
            'depth_id': int(layers[i]),
            'age': 2 if scene.kids[i] else 0,
        }
        for i in range(len(scene))
    ]
    last = people[-1]
    if number % 3 == 1:  # OCHuman's order
        wide = np.zeros((19, 3))
        wide[list(CROWDPOSE_FROM_OCHUMAN)] = last['kp2d']
        last['kp2d'] = wide
    elif number % 3 == 2:  # an order that nobody has published
        last['bbox_wb'] = last.pop('bbox')
        last['kp2d'] = np.ones((19, 3))
    return people


def synthetic(scene: Scene, number: int) -> dict[str, Any]:
    """Per picture: arrays over people in their camera's frame."""
    return {
        'intrinsics': scene.intrinsics,
        'pose_axis_angle': scene.pose,
        'betas': scene.betas,
        'translation_m': scene.translation_m,
    }


WITH_CHILDREN = ('agora', 'bedlam', 'rh', 'synthetic')
"""What has an eleventh shape, or no shapes at all."""

ENTRIES: dict[str, Callable[[Scene, int], Any]] = {
    'agora': agora,
    'bedlam': bedlam,
    '3dpw': threedpw,
    'hi4d': hi4d,
    'coco': fitted,
    'mpii': fitted,
    'aic': fitted,
    'insta': fitted,
    'panoptic': panoptic,
    'mupots': mupots,
    'rh': relative_human,
    'synthetic': synthetic,
}


def make_dataset(name: str, split: str, root: Path, scenes: Sequence[Scene]) -> Path:
    """Write a split below `root` and return its annotation file; BEDLAM's first is a close-up."""
    files = DATASETS[name].splits[split]
    annotations = {}
    for number, scene in enumerate(scenes):
        key = _picture_name(name, split, number)
        turned = DATASETS[name].turned(key)
        path = root / files.pictures / key
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.rot90(scene.picture_rgb) if turned else scene.picture_rgb
        Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=95)
        annotations[key] = ENTRIES[name](scene, number)
    file = root / files.annotations
    file.parent.mkdir(parents=True, exist_ok=True)
    if DATASETS[name].entries is read_plain:
        write_plain(file, annotations)
    else:
        np.savez(file, annots=np.array(annotations, dtype=object))
    return file


def make_data(
    root: Path,
    pictures: int = 4,
    seed: int = 0,
    size_wh: tuple[int, int] = (256, 192),
    names: Sequence[str] = tuple(ENTRIES),
) -> Path:
    """Write every split of the named datasets below `root`, all of the same few scenes."""
    makers = (SceneMaker(seed, size_wh), SceneMaker(seed + 1, size_wh, kids=0.5))
    scenes = [[maker.scene() for _ in range(pictures)] for maker in makers]
    for name in names:
        for split in DATASETS[name].splits:
            make_dataset(name, split, root, scenes[name in WITH_CHILDREN])
    return root


def _picture_name(name: str, split: str, number: int) -> str:
    if name == 'bedlam':
        folder = '20221019_closeup_suburb' if number == 0 else '20221010_3-10_hall'
        return f'{folder}/png/seq_{number:06d}/seq_{number:06d}_0000.png'
    if name == 'panoptic':
        return f'160422_{ACTIVITIES[number % len(ACTIVITIES)]}1/hdImgs/00_16/{number:08d}.jpg'
    if name == 'mupots':
        return f'TS{number + 1}/img_{number:06d}.jpg'
    if name == 'hi4d':
        return f'pair00/dance00/images/4/{number:06d}.jpg'
    return f'{split}_{number:06d}.jpg'


def _pinhole(scene: Scene) -> dict[str, Any]:
    matrix = scene.intrinsics
    return {'focal': matrix[[0, 1], [0, 1]], 'princpt': matrix[:2, 2]}


def _depth_layers(depth_m: np.ndarray) -> np.ndarray:
    """Return the layer of each person: a new one wherever sorted depths gap."""
    order = np.argsort(depth_m)
    layers = np.zeros(len(depth_m), np.int64)
    layers[order[1:]] = np.cumsum(np.diff(depth_m[order]) >= LAYER_GAP_M)
    return layers


def _body() -> BodyData:
    return load_body(OPEN_BODY)


if __name__ == '__main__':
    make_data(Path(sys.argv[1]))
