"""A scene as an annotation, in the form that all data sets come to the trainer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mahmr_model.body.data import Gender
from training.data.annotation import Annotation, Bodies
from training.synthetic.scenes.scene import Scene


def annotation_of(scene: Scene, picture: Path) -> Annotation:
    """Return a scene's people; its world is the camera's frame."""
    count = len(scene.betas)
    genders: tuple[Gender, ...] = tuple('neutral' for _ in range(count))
    bodies = Bodies(
        scene.pose_axis_angle,
        scene.betas.astype(np.float32),
        scene.translation_m,
        np.tile(np.eye(3), (count, 1, 1)),
        np.zeros((count, 3)),
        genders,
    )
    return Annotation(picture, scene.intrinsics[None], bodies)
