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

"""What the evaluation is given: the people found in a picture, and the truth of each protocol."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from mahmr_model.types import Camera, People
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PredictedPeople:
    """
    The N people found in one picture, metric, in the camera frame (x right, y down, z forward).

    N may be 0. V is the number of vertices, S that of shape parameters. Pixels are those of the
    picture as the dataset has it, not of the resized one.
    """

    confidence: Floats
    """(N,) in 0…1."""
    joints_camera_m: Floats
    """(N, 45, 3) SMPL's 24 joints, then 21 picked vertices."""
    joints_px: Floats
    """(N, 45, 2) the same, projected with `camera`."""
    vertices_camera_m: Floats
    """(N, V, 3) the mesh."""
    translation_m: Floats
    """(N, 3) what was added to the posed body."""
    pose_axis_angle: Floats
    """(N, 24, 3) radians; joint 0 relative to the camera frame."""
    betas: Floats
    """(N, S) shape parameters."""
    height_m: Floats
    """(N,) stature at zero pose."""
    camera: Camera
    """The lens that placed them, in pixels of the picture as the dataset has it."""

    @classmethod
    def from_people(cls, people: People) -> PredictedPeople:
        """Take what the evaluation needs of a predictor's result."""
        return cls(**{field.name: getattr(people, field.name) for field in fields(cls)})

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.confidence)

    def above(self, threshold: float) -> PredictedPeople:
        """Return the people whose confidence is above `threshold`."""
        found = self.confidence > threshold
        arrays = {name: values[found] for name, values in self.arrays().items()}
        return PredictedPeople(camera=self.camera, **arrays)

    def arrays(self) -> dict[str, Floats]:
        """Return every array by its name; the first axis is the person."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != 'camera'
        }


@dataclass(frozen=True)
class MeshTruth:
    """The P people of a picture with bodies (agora, bedlam, 3dpw, hi4d); frames as predicted."""

    joints_camera_m: Floats
    """(P, 24 or more, 3) SMPL's joints first."""
    joints_px: Floats
    """(P, 24 or more, 2) in pixels of the picture as the dataset has it."""
    vertices_camera_m: Floats
    """(P, V, 3)."""
    height_m: Floats
    """(P,) stature at zero pose."""
    focal_px: Floats
    """(P,) fx of each person's camera, for the picture as the dataset has it."""
    kid: Bools
    """(P,) who is a child (AGORA's training split; False elsewhere)."""


@dataclass(frozen=True)
class PanopticTruth:
    """The P people of a picture of CMU Panoptic."""

    activity: str
    """One of `panoptic.ACTIVITIES`."""
    joints_camera_m: Floats
    """(P, 19, 3) in the dataset's order."""
    visible: Bools
    """(P, 19)."""


@dataclass(frozen=True)
class MupotsTruth:
    """The P people of a picture of MuPoTS-3D, 17 joints in Human3.6M's order."""

    joints_px: Floats
    """(P, 17, 2)."""
    joints_camera_mm: Floats
    """(P, 17, 3) in millimetres."""
    visible: Bools
    """(P, 17)."""


@dataclass(frozen=True)
class RelativeHumanTruth:
    """The P people of a picture of Relative Human."""

    joints_px: Floats
    """(P, 14, 2) CrowdPose's joints; those that are not visible may hold anything."""
    visible: Bools
    """(P, 14)."""
    depth_layer: Ints
    """(P,) a lower one is nearer; -1 where a person has none."""
    age: Ints
    """(P,) index into `relative_human.AGES`."""


@dataclass(frozen=True)
class ScenesTruth:
    """The P people of a synthetic scene."""

    joints_camera_m: Floats
    """(P, 24, 3) SMPL's joints."""
    joints_px: Floats
    """(P, 24, 2)."""
    height_px: Floats
    """(P,) how tall they are in the picture: the vertical extent of all 45 joints."""
    seen: Floats
    """(P,) 0…1 the share of their main joints that is seen."""
    focal_px: float
