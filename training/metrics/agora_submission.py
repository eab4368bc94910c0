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

"""Predictions on AGORA's test pictures as its leaderboard takes them: a zip of pickles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import io
from pathlib import Path, PurePosixPath
import pickle
from typing import Any
import zipfile

from mahmr_model.files import written_beside
import numpy as np
from training.metrics.joints import SMPL_JOINTS
from training.metrics.protocol import Protocol
from training.metrics.types import Floats, PredictedPeople

FULL_WIDTH_PX = 3840
"""Width of the pictures that the leaderboard's 2-D joints are in, whichever were looked at."""
SMALL_PICTURE = '_1280x720'
"""Ending of the names of the smaller pictures; the leaderboard knows those of the full ones."""
KID_SHAPES = 11


@dataclass(frozen=True)
class AgoraSubmissionRecord:
    """The people of one picture."""

    stem: str
    """The picture's name without folder, ending and size."""
    joints_full_px: Floats
    """(N, 24, 2) in pixels of a picture 3840 wide."""
    pose_axis_angle: Floats
    """(N, 24, 3) radians."""
    betas: Floats
    """(N, 10) or (N, 11)."""


class AgoraSubmission(Protocol[str, AgoraSubmissionRecord]):
    """Gathers predictions in place of measuring them; the truth of a picture is its name."""

    name = 'agora test'

    def write(self, path: Path, threshold: float) -> None:
        """Write the zip of the people above one of the thresholds, whole or not at all."""
        with (
            written_beside(path) as temporary,
            zipfile.ZipFile(temporary, 'w', zipfile.ZIP_DEFLATED) as archive,
        ):
            for record in self.records_of(threshold):
                for person in range(len(record.betas)):
                    name = f'predictions/{record.stem}_personId_{person}.pkl'
                    archive.writestr(name, _pickled(_entry(record, person)))

    def _measure(self, prediction: PredictedPeople, truth: str) -> AgoraSubmissionRecord:
        rate = FULL_WIDTH_PX / prediction.camera.width
        return AgoraSubmissionRecord(
            stem=PurePosixPath(truth).stem.removesuffix(SMALL_PICTURE),
            joints_full_px=rate * prediction.joints_px[:, :SMPL_JOINTS],
            pose_axis_angle=prediction.pose_axis_angle,
            betas=prediction.betas,
        )

    def _summarise(self, records: Sequence[AgoraSubmissionRecord]) -> dict[str, float]:
        return {'predictions': sum(len(record.betas) for record in records)}


def _entry(record: AgoraSubmissionRecord, person: int) -> dict[str, Any]:
    """Return a person as the leaderboard's dictionary; it does not judge translations."""
    betas = record.betas[person, None]
    pose = record.pose_axis_angle[person].reshape(1, -1)
    return {
        'pose2rot': True,
        'gender': 'neutral',
        'age': 'kid' if betas.shape[1] == KID_SHAPES else 'adult',
        'num_betas': betas.shape[1],
        'joints': record.joints_full_px[person].astype(np.float32),
        'params': {
            'transl': np.zeros((1, 3), np.float32),
            'betas': betas.astype(np.float32),
            'global_orient': pose[:, :3].astype(np.float32),
            'body_pose': pose[:, 3:].astype(np.float32),
        },
    }


class _PortablePickler(pickle.Pickler):
    """Names `numpy.array` alone: the arrays of numpy 2 cannot be unpickled by an older one."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.array, (value.tolist(), value.dtype.str)
        return NotImplemented


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    _PortablePickler(buffer, protocol=4).dump(value)
    return buffer.getvalue()
