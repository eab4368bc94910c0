"""From queries to metric bodies: only those that are wanted are posed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mahmr_model.body.layer import BodyLayer
from mahmr_model.geometry.placement import Lens, project, translation_m
from mahmr_model.geometry.rotations import axis_angle_from_rotation, rotation_from_6d
from mahmr_model.network import LayerPrediction


@dataclass(frozen=True)
class PosedQueries:
    """P chosen queries as bodies: metres, camera frame, pixels of the resized picture."""

    confidence: Tensor
    """(P,)."""
    boxes_cxcywh_norm: Tensor
    """(P, 4) relative to S."""
    pose_axis_angle: Tensor
    """(P, 24, 3)."""
    betas: Tensor
    """(P, S)."""
    translation_m: Tensor
    """(P, 3)."""
    joints_camera_m: Tensor
    """(P, 45, 3)."""
    joints_px: Tensor
    """(P, 45, 2)."""
    vertices_camera_m: Tensor
    """(P, V, 3)."""


def pose_queries(
    prediction: LayerPrediction,
    body: BodyLayer,
    lens: Lens,
    input_size: int,
    picture: Tensor,
    query: Tensor,
) -> PosedQueries:
    """Pose chosen queries, each given by its picture and its number (P,) int64, in float32."""

    def chosen(x: Tensor) -> Tensor:
        return x[picture, query].float()

    rotations = rotation_from_6d(chosen(prediction.pose_6d).unflatten(-1, (24, 6)))
    betas = chosen(prediction.betas)
    translation = chosen(translation_m(prediction.camera_abc.float(), lens, input_size))
    posed = body(rotations, betas)
    joints = posed.joints + translation[:, None]
    return PosedQueries(
        chosen(prediction.confidence_logits).sigmoid(),
        chosen(prediction.boxes_cxcywh_norm),
        axis_angle_from_rotation(rotations),
        betas,
        translation,
        joints,
        project(joints, lens.focal_xy_px[picture], lens.centre_xy_px[picture]),
        posed.vertices + translation[:, None],
    )
