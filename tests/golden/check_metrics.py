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

"""The layout of golden numbers of the evaluation: matching, joint errors, two protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import json
from typing import Any

from golden_tools import Arrays, error_in_tolerances, EXACT, Tolerance
import numpy as np
from training.metrics.detection import Detections
from training.metrics.joints import mean_distance, mean_distance_procrustes
from training.metrics.matching import match_by_joints
from training.metrics.mupots import correct_shares, joint_errors_mm, match_by_near_joints
from training.metrics.relative_human import (
    measure_picture,
    published_report,
    RelativeHumanRecord,
)
from training.metrics.types import RelativeHumanTruth

NUMBERS = Tolerance(1e-6, 1e-9)
"""Millimetres and shares, computed in float64 on both sides; rounded numbers are equal."""


def check_metrics(arrays: Arrays, meta: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Measure what the file holds; yield every number's error in tolerances."""
    for ours, tolerance in (
        (matching(arrays), EXACT),
        (errors(arrays), NUMBERS),
        (relative_human(arrays), EXACT),
        (mupots(arrays), NUMBERS),
    ):
        for name, value in ours.items():
            exact = value.dtype.kind in 'iu'
            yield name, error_in_tolerances(value, arrays[name], EXACT if exact else tolerance)
    text = published_report(relative_human_records(arrays))
    same = text == str(arrays['relative_human/report'])
    yield 'relative_human/report', 0.0 if same else float('inf')


def matching(arrays: Arrays) -> dict[str, np.ndarray]:
    """Match people by their joints; count precision, recall and F1."""
    pairs = match_by_joints(arrays['match/pred'], arrays['match/gt'])
    return {
        'match/of_gt': pairs.of_truth,
        'match/false_positives': np.array(pairs.detections.false_positives),
        'match/precision_recall_f1': np.array(pairs.detections.precision_recall_f1()),
    }


def errors(arrays: Arrays) -> dict[str, np.ndarray]:
    """Measure joints given in metres, as they are and after the best similarity, in mm."""
    joints = arrays['error/pred'], arrays['error/gt']
    metres = [mean_distance(*joints), mean_distance_procrustes(*joints)]
    return {'error/mean_and_procrustes_mm': 1000 * np.array(metres)}


def relative_human(arrays: Arrays) -> dict[str, np.ndarray]:
    """Count Relative Human's precision, recall and F1."""
    counts = Detections.sum(record.detections for record in relative_human_records(arrays))
    return {'relative_human/precision_recall_f1': np.array(counts.precision_recall_f1())}


def relative_human_records(arrays: Arrays) -> list[RelativeHumanRecord]:
    """Measure every picture of the two JSON texts; one without an entry has no predictions."""
    truth = json.loads(str(arrays['relative_human/annotations_json']))
    predictions = json.loads(str(arrays['relative_human/predictions_json']))
    records = []
    for name, people in truth.items():
        joints = np.array([person['kp2d'] for person in people]).reshape(-1, 14, 3)
        found = predictions.get(name, {'kp2ds': [], 'trans': []})
        picture = RelativeHumanTruth(
            joints_px=joints[..., :2],
            visible=joints[..., 2] > 0,
            depth_layer=np.array([person['depth_id'] for person in people]),
            age=np.array([person['age'] for person in people]),
        )
        joints_px = np.array(found['kp2ds']).reshape(-1, 14, 2)
        depth_m = np.array(found['trans']).reshape(-1, 3)[:, 2]
        records.append(measure_picture(joints_px, depth_m, picture))
    return records


def mupots(arrays: Arrays) -> dict[str, np.ndarray]:
    """Match, measure and count MuPoTS' people, given in MPI's order and in mm."""
    given = {
        name: arrays[f'mupots/{name}']
        for name in ('gt_2d', 'pred_2d', 'gt_3d_mm', 'pred_3d_mm', 'visible')
    }
    pairs = match_by_near_joints(given['pred_2d'], given['gt_2d'])
    joint_errors = joint_errors_mm(given['pred_3d_mm'], given['gt_3d_mm'], pairs)
    shares = correct_shares(joint_errors, given['visible'])
    return {
        'mupots/pair_of_gt': pairs.of_truth,
        'mupots/joint_errors_mm': joint_errors,
        'mupots/pck_all': shares.mean(),
        'mupots/pck_matched': shares[pairs.truth_index].mean(),
    }
