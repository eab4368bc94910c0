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

"""What is drawn by chance for a sample: step 2 of the recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mahmr_model.errors import UserError
import numpy as np


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly samples are augmented; the defaults are those of stages 1 to 3."""

    rotation_deg: tuple[float, float] = (-15.0, 15.0)
    scale: tuple[float, float] = (0.8, 1.8)
    """1…2 in fine-tunes, 0.8…2 in panoptic_ft."""
    flip: float = 0.5
    """Probability, like the next two."""
    crop: float = 0.8
    """1 in panoptic_ft, 0 in the other fine-tunes."""
    occlusion: float = 0.6
    """That a person gets a rectangle of random colours."""
    jitter: float = 0.2
    """Largest relative change of brightness, contrast and saturation."""

    def __post_init__(self) -> None:
        """Refuse ranges and probabilities that nothing can be drawn from."""
        for name, (low, high), least, most in (
            ('rotation_deg', self.rotation_deg, -180, 180),
            ('scale', self.scale, 0.01, 100),
            ('flip', (0, self.flip), 0, 1),
            ('crop', (0, self.crop), 0, 1),
            ('occlusion', (0, self.occlusion), 0, 1),
            ('jitter', (0, self.jitter), 0, 1),
        ):
            if not least <= low <= high <= most:
                value = getattr(self, name)
                order = ', the smaller one first' if isinstance(value, tuple) else ''
                raise UserError(
                    f'The key data.augmentation.{name} should be from {least} to {most}{order}, '
                    f'not {value}.'
                )


@dataclass(frozen=True)
class Draw:
    """One augmentation of the geometry; the default changes nothing."""

    rotation_deg: float = 0.0
    """Turns the picture's content and the camera; counter-clockwise as OpenCV has it."""
    scale: float = 1.0
    flip: bool = False
    """Mirror left and right."""
    crop: float | None = None
    """None, or a Beta(2, 5) number: the share of the free rows below the shoulders to keep."""

    def upright(self) -> Draw:
        """Return the same without rotation and scale, the last resort of step 7."""
        return replace(self, rotation_deg=0.0, scale=1.0)


def draw_augmentation(rng: np.random.Generator, config: AugmentationConfig) -> Draw:
    """Draw rotation and scale uniformly, flip and crop by their probabilities (step 2)."""
    rotation = rng.uniform(*config.rotation_deg)
    scale = rng.uniform(*config.scale)
    flip = rng.random() < config.flip
    crop = rng.beta(2.0, 5.0) if rng.random() < config.crop else None
    return Draw(float(rotation), float(scale), bool(flip), None if crop is None else float(crop))
