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

"""What a dataset says about one picture, before anything is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mahmr_model.body.data import Gender
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class BrokenSampleError(Exception):
    """A picture or its annotation is unusable; the message names it and says why."""


@dataclass(frozen=True)
class Bodies:
    """P bodies in a world frame of metres, and how each gets from there to its camera."""

    pose_axis_angle: Floats
    """(P, 72) radians; joint 0 relative to the world."""
    betas: Floats
    """(P, 10), or (P, 11) with the child axis."""
    translation_m: Floats
    """(P, 3) added to the posed body's points."""
    camera_rotation: Floats
    """(P, 3, 3) world to camera (x right, y down, z forward)."""
    camera_translation_m: Floats
    """(P, 3) world to camera."""
    genders: tuple[Gender, ...]
    """Whose body each is."""

    @classmethod
    def in_camera_frame(
        cls, pose_axis_angle: Floats, betas: Floats, translation_m: Floats
    ) -> Bodies:
        """Return neutral bodies whose world is the frame of their camera."""
        count = len(betas)
        neutral: Gender = 'neutral'
        return cls(
            pose_axis_angle,
            betas,
            translation_m,
            np.broadcast_to(np.eye(3), (count, 3, 3)),
            np.zeros((count, 3)),
            (neutral,) * count,
        )


@dataclass(frozen=True)
class Keypoints:
    """K joints of P people in the dataset's own order, in pixels of the picture as it is."""

    joints_px: Floats
    """(P, K, 2)."""
    visible: Bools
    """(P, K) which are annotated and seen; the others may hold anything."""
    joints_camera: Floats | None = None
    """(P, K, 3) in the dataset's own unit (panoptic: metres, mupots: millimetres)."""


@dataclass(frozen=True)
class Annotation:
    """The P people of a picture; most datasets give bodies, some only keypoints."""

    picture: Path
    intrinsics: Floats | None = None
    """(1, 3, 3) for the picture, or (P, 3, 3) one a person, in its pixels; None if unknown."""
    bodies: Bodies | None = None
    keypoints: Keypoints | None = None
    boxes_xyxy_px: Floats | None = None
    """(P, 4)."""
    depth_layers: Ints | None = None
    """(P,) Relative Human's layers, -1 where a person has none."""
    ages: Ints | None = None
    """(P,) 0 adult, 1 teen, 2 kid, 3 baby; -1 where unknown."""
    kids: Bools | None = None
    """(P,) AGORA's children."""
    valid_3d: bool = True
    """Whether poses, shapes, 3-D joints and depths are labels."""
    detect_all_people: bool = True
    """Whether everybody in the picture is labelled."""
    quarter_turn: bool = False
    """Whether the file is to be turned by 90° clockwise before the annotation fits."""

    def __len__(self) -> int:
        """Return the number of people."""
        if self.bodies is not None:
            return len(self.bodies.pose_axis_angle)
        return 0 if self.keypoints is None else len(self.keypoints.joints_px)

    def check(self) -> None:
        """Raise BrokenSampleError where a number that a sample is made of is NaN or infinite."""
        parts: dict[str, Any] = {'intrinsics': self.intrinsics, 'boxes': self.boxes_xyxy_px}
        if self.bodies is not None:
            parts |= vars(self.bodies)
        if self.keypoints is not None:
            seen, points = self.keypoints.visible, self.keypoints.joints_camera
            parts['keypoints'] = self.keypoints.joints_px[seen]
            parts['3-D keypoints'] = None if points is None else points[seen]
        for name, values in parts.items():
            if isinstance(values, np.ndarray) and not np.isfinite(values).all():
                raise BrokenSampleError(
                    f'{self.picture}: the annotation has NaN or infinite numbers in {name}'
                )
