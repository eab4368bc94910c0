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

"""The protocols of pictures with true bodies: AGORA and BEDLAM, 3DPW and Hi4D."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from training.metrics.detection import Detections
from training.metrics.joints import (
    H36M_14,
    H36M_ROOT,
    HIPS,
    mean_distance,
    mean_distance_procrustes,
    regress,
    relative_to,
    SMPL_JOINTS,
)
from training.metrics.matching import match_by_joints, Matching
from training.metrics.protocol import mean_of, present, Protocol, PUBLISHED_THRESHOLD
from training.metrics.types import Bools, Floats, Ints, MeshTruth, PredictedPeople

_MM = 1000.0


@dataclass(frozen=True)
class MeshRecord:
    """What was measured in one picture."""

    detections: Detections
    errors: Mapping[str, Floats]
    """Each measure's errors (M,) of the people who were found."""
    kid_found: Bools
    """(M,) who of them is a child."""
    kids: int
    """Children in the truth."""


class Agora(Protocol[MeshTruth, MeshRecord]):
    """
    AGORA's and BEDLAM's validation: joints and body vertices relative to the middle of the hips.

    MPJPE and MVE in mm over the people found, NMJE and NMVE the same over F1 as rounded (Patel
    et al., AGORA, CVPR 2021), and the children among them by themselves where there are any.
    """

    name = 'agora, bedlam'

    def __init__(
        self, body_vertex_ids: Ints, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)
    ) -> None:
        """Take the vertices (K,) that count: the body without head and hands."""
        super().__init__(thresholds)
        self._vertex_ids = body_vertex_ids

    def _measure(self, prediction: PredictedPeople, truth: MeshTruth) -> MeshRecord:
        matching = _match(prediction, truth)
        ours, theirs = matching.prediction_index, matching.truth_index
        joints = (
            prediction.joints_camera_m[ours, :SMPL_JOINTS],
            truth.joints_camera_m[theirs, :SMPL_JOINTS],
        )
        vertices = (
            prediction.vertices_camera_m[ours][:, self._vertex_ids],
            truth.vertices_camera_m[theirs][:, self._vertex_ids],
        )
        roots = [points[:, HIPS].mean(1) for points in joints]
        errors = {
            'MPJPE_mm': _MM * mean_distance(*map(relative_to, joints, roots)),
            'MVE_mm': _MM * mean_distance(*map(relative_to, vertices, roots)),
        }
        return _record(matching, errors, prediction, truth)

    def _summarise(self, records: Sequence[MeshRecord]) -> dict[str, float]:
        measures = _detection_measures(records)
        errors = _mean_errors(records)
        measures |= errors
        for normalised, plain in (('NMJE_mm', 'MPJPE_mm'), ('NMVE_mm', 'MVE_mm')):
            if plain in errors and measures['F1'] > 0:
                measures[normalised] = errors[plain] / measures['F1']
        return measures | _kid_measures(records)


class H36MJoints(Protocol[MeshTruth, MeshRecord]):
    """
    3DPW and Hi4D: 14 of Human3.6M's joints, and all vertices, relative to its pelvis.

    MPJPE, PA-MPJPE, MVE and PA-MVE in mm over the people found, and recall; not everybody in
    these pictures is in the truth, so that there is no precision.
    """

    name = '3dpw, hi4d'

    def __init__(
        self, h36m_regressor: Floats, thresholds: Sequence[float] = (PUBLISHED_THRESHOLD,)
    ) -> None:
        """Take the regressor (17, V) of Human3.6M's joints."""
        super().__init__(thresholds)
        self._regressor = h36m_regressor

    def _measure(self, prediction: PredictedPeople, truth: MeshTruth) -> MeshRecord:
        matching = _match(prediction, truth)
        vertices = [
            prediction.vertices_camera_m[matching.prediction_index],
            truth.vertices_camera_m[matching.truth_index],
        ]
        regressed = [regress(self._regressor, points) for points in vertices]
        roots = [points[:, H36M_ROOT] for points in regressed]
        joints = [relative_to(p[:, H36M_14], r) for p, r in zip(regressed, roots, strict=True)]
        vertices = [relative_to(p, r) for p, r in zip(vertices, roots, strict=True)]
        errors = {
            'MPJPE_mm': _MM * mean_distance(*joints),
            'PA-MPJPE_mm': _MM * mean_distance_procrustes(*joints),
            'MVE_mm': _MM * mean_distance(*vertices),
            'PA-MVE_mm': _MM * mean_distance_procrustes(*vertices),
        }
        return _record(matching, errors, prediction, truth)

    def _summarise(self, records: Sequence[MeshRecord]) -> dict[str, float]:
        detection = _detection_measures(records)
        return {
            **{name: detection[name] for name in ('people', 'missed', 'recall')},
            **_mean_errors(records),
        }


def placement_errors(
    prediction: PredictedPeople, truth: MeshTruth, ours: Ints, theirs: Ints
) -> dict[str, Floats]:
    """
    Return the errors (M,) of focal, field of view, height and depth of the pairs `ours`, `theirs`.

    Absolute, in pixels of the picture as the data set has it, degrees over the picture's height,
    metres, and metres of the pelvis along z.
    """
    focal = np.full(len(ours), prediction.camera.fx)
    focal_truth = truth.focal_px[theirs].astype(np.float64)
    half_height = prediction.camera.height / 2
    fov, fov_truth = (2 * np.degrees(np.arctan(half_height / f)) for f in (focal, focal_truth))
    depth = prediction.joints_camera_m[ours, 0, 2].astype(np.float64)
    height = prediction.height_m[ours].astype(np.float64)
    return {
        'focal_error_px': np.abs(focal - focal_truth),
        'fov_error_deg': np.abs(fov - fov_truth),
        'height_error_m': np.abs(height - truth.height_m[theirs]),
        'root_depth_error_m': np.abs(depth - truth.joints_camera_m[theirs, 0, 2]),
    }


def _match(prediction: PredictedPeople, truth: MeshTruth) -> Matching:
    return match_by_joints(
        prediction.joints_px[:, :SMPL_JOINTS], truth.joints_px[:, :SMPL_JOINTS], minimum_iou=0.1
    )


def _record(
    matching: Matching,
    errors: Mapping[str, Floats],
    prediction: PredictedPeople,
    truth: MeshTruth,
) -> MeshRecord:
    ours, theirs = matching.prediction_index, matching.truth_index
    return MeshRecord(
        detections=matching.detections,
        errors={**errors, **placement_errors(prediction, truth, ours, theirs)},
        kid_found=truth.kid[theirs],
        kids=int(truth.kid.sum()),
    )


def _detection_measures(records: Sequence[MeshRecord]) -> dict[str, float]:
    counts = Detections.sum(record.detections for record in records)
    precision, recall, f1 = counts.precision_recall_f1()
    return {
        'people': counts.people,
        'missed': counts.missed,
        'false_positives': counts.false_positives,
        'precision': precision,
        'recall': recall,
        'F1': f1,
    }


def _mean_errors(records: Sequence[MeshRecord]) -> dict[str, float]:
    names = records[0].errors if records else ()
    return present({name: mean_of([record.errors[name] for record in records]) for name in names})


def _kid_measures(records: Sequence[MeshRecord]) -> dict[str, float]:
    kids = sum(record.kids for record in records)
    if not kids:
        return {}
    found = sum(int(record.kid_found.sum()) for record in records)
    errors = {
        f'kid_{name}': mean_of([record.errors[name][record.kid_found] for record in records])
        for name in ('MPJPE_mm', 'MVE_mm')
    }
    recall = Detections(kids, kids - found, 0).precision_recall_f1()[1]
    return {'kid_people': kids, 'kid_recall': recall, **present(errors)}
