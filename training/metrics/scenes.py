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
The protocol of synthetic scenes, which this project made: everything in metres, truth exact.

What counts is who can be expected to be found: people at least 80 pixels tall, half of whose main
joints are seen. Others are neither missed nor, when found, wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from training.metrics.joints import (
    mean_distance,
    mean_distance_procrustes,
    relative_to,
    SMPL_JOINTS,
)
from training.metrics.matching import match_by_joints
from training.metrics.protocol import Protocol
from training.metrics.types import Floats, PredictedPeople, ScenesTruth

SMALLEST_PX = 80.0
SMALLEST_SEEN = 0.5
LAYER_M = 0.2
"""Two people are at the same depth when they differ by less (PCDR@0.2, BEV, arXiv 2112.08274)."""
_MM = 1000.0


@dataclass(frozen=True)
class ScenesRecord:
    """What was measured in one picture."""

    people: int
    """Those that count."""
    found: int
    """Those of them that were found."""
    false_positives: int
    errors_mm: Floats
    """(M, 2) joint errors of those found, relative to the pelvis: as they are, and aligned."""
    depth_errors: Floats
    """
    (M, 2) relative errors of the pelvis's depth, above 0 where it is too far: with the estimated
    and with the true camera.
    """
    depth_orders: int
    """Pairs of those found."""
    right_orders: int
    fov_error_deg: float
    """Above 0 where the lens is taken for too wide."""


class Scenes(Protocol[ScenesTruth, ScenesRecord]):
    """
    Precision, recall and F1 of people who count; joints, depth and lens of those found.

    Matched greedily by projected joints as AGORA's evaluation does, everybody in the picture
    taking part. Errors of joints over SMPL's 24, relative to the pelvis. PCDR over every two
    people found: at one depth (closer than 0.2 m) when they are, else in the right order by more.
    """

    name = 'scenes'

    def _measure(self, prediction: PredictedPeople, truth: ScenesTruth) -> ScenesRecord:
        matching = match_by_joints(
            prediction.joints_px[:, :SMPL_JOINTS], truth.joints_px, minimum_iou=0.1
        )
        counts = (truth.height_px >= SMALLEST_PX) & (truth.seen >= SMALLEST_SEEN)
        both = counts & (matching.of_truth >= 0)
        ours, theirs = matching.of_truth[both], np.flatnonzero(both)
        joints = [
            prediction.joints_camera_m[ours, :SMPL_JOINTS].astype(np.float64),
            truth.joints_camera_m[theirs].astype(np.float64),
        ]
        centred = [relative_to(points, points[:, 0]) for points in joints]
        errors = [mean_distance(*centred), mean_distance_procrustes(*centred)]
        z, z_true = (points[:, 0, 2] for points in joints)
        # What a query says of depth is relative to the focal length (`geometry.placement`).
        rate = truth.focal_px / prediction.camera.fy - 1
        z_known = z + prediction.translation_m[ours, 2] * rate
        depth_errors = [(depth - z_true) / z_true for depth in (z, z_known)]
        pairs, right = _orders(z, z_true)
        return ScenesRecord(
            people=int(counts.sum()),
            found=len(theirs),
            false_positives=len(prediction) - int((matching.of_truth >= 0).sum()),
            errors_mm=_MM * np.stack(errors, axis=1),
            depth_errors=np.stack(depth_errors, axis=1),
            depth_orders=pairs,
            right_orders=right,
            fov_error_deg=_fov_deg(prediction.camera.fy, prediction.camera.height)
            - _fov_deg(truth.focal_px, prediction.camera.height),
        )

    def _summarise(self, records: Sequence[ScenesRecord]) -> dict[str, float]:
        people, found = sum(r.people for r in records), sum(r.found for r in records)
        wrong = sum(r.false_positives for r in records)
        orders = sum(r.depth_orders for r in records)
        measures: dict[str, float] = {
            'people': people,
            'missed': people - found,
            'false_positives': wrong,
            'precision': found / max(found + wrong, 1),
            'recall': found / max(people, 1),
            'F1': 2 * found / max(people + found + wrong, 1),
        }
        if found:
            mpjpe, aligned = np.concatenate([r.errors_mm for r in records]).mean(0)
            depths = np.abs(np.concatenate([r.depth_errors for r in records]))
            depth, known = np.median(depths, axis=0)
            measures |= {
                'MPJPE_mm': mpjpe,
                'PA-MPJPE_mm': aligned,
                'depth_error_percent': 100 * depth,
                'depth_error_true_camera_percent': 100 * known,
            }
        if orders:
            measures['PCDR_0.2_percent'] = 100 * sum(r.right_orders for r in records) / orders
        if records:
            measures['fov_error_deg'] = float(np.mean([abs(r.fov_error_deg) for r in records]))
        return measures


def _orders(z: Floats, z_true: Floats) -> tuple[int, int]:
    """Return how many pairs of people there are, and of how many the order in depth is right."""
    i, j = np.triu_indices(len(z), 1)
    ours, true = z[i] - z[j], z_true[i] - z_true[j]
    same = np.abs(true) < LAYER_M
    right = np.where(same, np.abs(ours) < LAYER_M, ours * np.sign(true) >= LAYER_M)
    return len(i), int(right.sum())


def _fov_deg(focal_px: float, height_px: int) -> float:
    """Return the vertical field of view."""
    return float(2 * np.degrees(np.arctan(height_px / (2 * focal_px))))
