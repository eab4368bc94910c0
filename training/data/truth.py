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

"""What an evaluation compares with, in the pixels of the picture as the dataset has it."""

from __future__ import annotations

from mahmr_model.body.joints import SMPL_JOINT_NAMES
import numpy as np
import torch
from training.data.annotation import Annotation, BrokenSampleError, Keypoints
from training.data.camera import projected
from training.data.placing import Placed
from training.data.sample import SampleMaker
from training.metrics.panoptic import ACTIVITIES
from training.metrics.types import MeshTruth, MupotsTruth, PanopticTruth, RelativeHumanTruth

Truth = MeshTruth | PanopticTruth | MupotsTruth | RelativeHumanTruth


def truth_of(dataset: str, annotation: Annotation, placed: Placed, maker: SampleMaker) -> Truth:
    """
    Return the truth of one of the evaluation's protocols; `placed` without augmentation.

    Raises BrokenSampleError where the protocol cannot be applied to the picture.
    """
    if dataset == 'panoptic':
        return _panoptic(annotation, _keypoints(annotation))
    if dataset == 'mupots':
        points = _keypoints(annotation)
        assert points.joints_camera is not None
        return MupotsTruth(points.joints_px, points.joints_camera, points.visible)
    if dataset == 'rh':
        points = _keypoints(annotation)
        assert annotation.depth_layers is not None
        assert annotation.ages is not None
        return RelativeHumanTruth(
            points.joints_px, points.visible, annotation.depth_layers, annotation.ages
        )
    return _mesh_truth(annotation, placed, maker)


def _keypoints(annotation: Annotation) -> Keypoints:
    assert annotation.keypoints is not None
    return annotation.keypoints


def _panoptic(annotation: Annotation, points: Keypoints) -> PanopticTruth:
    name = annotation.picture.as_posix().lower()
    activity = max(ACTIVITIES, key=name.rfind)  # a folder further up may have such a name too
    if activity not in name:
        raise BrokenSampleError(
            f'{annotation.picture}: its name says none of the activities {", ".join(ACTIVITIES)}'
        )
    assert points.joints_camera is not None
    return PanopticTruth(activity, points.joints_camera, points.visible)


def _mesh_truth(annotation: Annotation, placed: Placed, maker: SampleMaker) -> MeshTruth:
    """Return people with their meshes; each is of their own gender."""
    assert annotation.intrinsics is not None
    intrinsics = np.asarray(annotation.intrinsics, np.float64)
    heights = maker.bodies.heights(torch.from_numpy(placed.betas), placed.genders)
    kids = annotation.kids
    joints = placed.joints_camera_m[:, : len(SMPL_JOINT_NAMES)]
    return MeshTruth(
        joints,
        projected(joints, intrinsics),
        maker.meshes_camera_m(placed).transpose(1, 2).contiguous().numpy(),
        heights.numpy(),
        np.array(np.broadcast_to(intrinsics[:, 0, 0], len(placed))),
        np.zeros(len(placed), bool) if kids is None else kids,
    )
