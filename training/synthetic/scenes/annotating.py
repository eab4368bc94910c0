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

"""A scene as an annotation, in the form that all data sets come to the trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from training.data.annotation import Annotation, Bodies
from training.synthetic.scenes.scene import Scene


def annotation_of(scene: Scene, picture: Path) -> Annotation:
    """Return a scene's people; its world is the camera's frame."""
    bodies = Bodies.in_camera_frame(
        scene.pose_axis_angle, scene.betas.astype(np.float32), scene.translation_m
    )
    return Annotation(picture, scene.intrinsics[None], bodies)
