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

"""Pictures of a prediction beside the truth, for TensorBoard."""

from __future__ import annotations

import cv2
from mahmr_model.body.data import BodyData
from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.rotations import rotation_from_axis_angle
from mahmr_model.network import MAHMR
from mahmr_model.predictor import Predictor
from mahmr_model.preprocess import pad_and_normalise
from mahmr_model.render import draw_birds_eye_view, draw_overlay
from mahmr_model.types import Camera, ImageArray, People
import numpy as np
import torch
from torch import Tensor
from training.data.dataset import Sample
from training.target import Target

_WIDTH_PX = 640
_JOINT = (255, 220, 60)


def draw_comparison(predictor: Predictor, body: BodyData, sample: Sample) -> ImageArray:
    """
    Return one RGB picture of a training sample: left the prediction, right the truth.

    From the top: meshes (the truth with its 2-D joints), scale map where the network has one,
    and people from above. The truth's people have the neutral body.
    """
    network = predictor.network
    predicted = predictor(sample.image.numpy())
    true = true_people(sample.target, body, network.config.shapes == 11, predictor.device)
    image = _fitted(sample.image.numpy())
    marked = draw_overlay(image, true)
    joints_px = sample.target.joints_px[sample.target.joints_mask.all(-1)]
    for x, y in (joints_px * (_WIDTH_PX / sample.target.size_hw[1])).tolist():
        cv2.circle(marked, (round(x), round(y)), 2, _JOINT, -1, cv2.LINE_AA)
    rows = [(draw_overlay(image, predicted), marked)]
    if network.config.adaptive:
        rows.append(_scale_maps(network, sample, predictor.device))
    height = round(_WIDTH_PX * 0.75)
    rows.append(
        (
            draw_birds_eye_view(predicted, _WIDTH_PX, height),
            draw_birds_eye_view(true, _WIDTH_PX, height),
        )
    )
    return np.vstack([np.hstack([_fitted(pane) for pane in row]) for row in rows])


def true_people(target: Target, body: BodyData, kid: bool, device: torch.device) -> People:
    """Return the truth of a sample as people of the neutral body; nobody without bodies."""
    height, width = target.size_hw
    camera = Camera.from_matrix(target.intrinsics[0].numpy(), width, height)
    has_bodies = bool(target.depths.any())  # keypoints alone leave zeros
    count = len(target) if has_bodies else 0
    rotations = rotation_from_axis_angle(target.pose_axis_angle[:count].view(-1, 24, 3))
    layer = BodyLayer(body, kid).to(device)
    with torch.inference_mode():
        posed = layer(rotations.to(device), target.betas[:count].to(device))
    translation = target.translation_m[:count, None]
    centre, size = target.boxes_cxcywh_norm[:count].split(2, dim=1)
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1) * max(target.size_hw)
    return People(
        confidence=np.ones(count, np.float32),
        boxes_xyxy_px=boxes.numpy(),
        pose_axis_angle=target.pose_axis_angle[:count].view(-1, 24, 3).numpy(),
        betas=target.betas[:count].numpy(),
        translation_m=target.translation_m[:count].numpy(),
        joints_camera_m=(posed.joints.cpu() + translation).numpy(),
        joints_px=target.joints_px[:count].numpy(),
        vertices_camera_m=(posed.vertices.cpu() + translation).numpy(),
        height_m=target.heights_m[:count].numpy(),
        faces=body.faces,
        camera=camera,
        camera_source='given',
    )


def _scale_maps(
    network: MAHMR, sample: Sample, device: torch.device
) -> tuple[ImageArray, ImageArray]:
    padded = pad_and_normalise(sample.image.to(device), network.config.pad_multiple)
    with torch.inference_mode():
        coarse = network.coarse_pass([padded])
    maps = (coarse.scale_map.cpu(), sample.target.scale_map)
    yx = coarse.cells.yx.cpu()
    predicted, true = (_drawn_map(sample.image.numpy(), values, yx) for values in maps)
    return predicted, true


def _drawn_map(image: ImageArray, values: Tensor, yx: Tensor) -> ImageArray:
    """Lay a map (N, 2) over a picture: red where people are, the yellower the larger."""
    rows, columns = (yx.max(0).values + 1).tolist()
    grid = np.zeros((rows, columns, 3), np.float32)
    grid[yx[:, 0], yx[:, 1], 0] = values[:, 0].numpy()
    grid[yx[:, 0], yx[:, 1], 1] = (values[:, 0] * values[:, 1]).numpy()
    cell = 28
    large = grid.repeat(cell, 0).repeat(cell, 1)[: image.shape[0], : image.shape[1]]
    return np.asarray(0.4 * image + 0.6 * 255 * large, np.uint8)


def _fitted(image: ImageArray) -> ImageArray:
    height = round(image.shape[0] * _WIDTH_PX / image.shape[1])
    return np.asarray(cv2.resize(image, (_WIDTH_PX, height), interpolation=cv2.INTER_AREA))
