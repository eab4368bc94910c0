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

"""Rendered scenes as samples with nobody left out: to be evaluated on, or looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mahmr_model.body.data import load_body
from mahmr_model.body.layer import BodyLayer
import numpy as np
import torch
from training.data.annotation import Bools, Floats
from training.data.dataset import Sample, Source
from training.data.placing import Placed
from training.data.posing import WorkerBodies
from training.data.sample import MAIN_JOINTS, SampleConfig, SampleMaker
from training.synthetic.scenes.annotating import annotation_of
from training.synthetic.scenes.renderer import SceneRenderer
from training.synthetic.scenes.scene import Scene


@dataclass(frozen=True)
class SceneSample:
    """A rendered scene with everybody in it."""

    sample: Sample
    placed: Placed
    seen: Bools
    """(P, 22) which main joints are in the picture, and on a pixel that shows their person."""


class SceneSamples:
    """Makes samples of scenes on a device."""

    def __init__(self, body: Path, input_size: int, shapes: int, device: torch.device) -> None:
        """Take the open body's file and the sizes of a network."""
        self._maker = SampleMaker(
            WorkerBodies(body, ('neutral',)), SampleConfig(input_size, shapes)
        )
        self._renderer = SceneRenderer(BodyLayer(load_body(body), kid=True), device)

    def __call__(self, scenes: Sequence[Scene], names: Sequence[str]) -> list[SceneSample]:
        """Render scenes; `names` are what to call them."""
        rendered = self._renderer(scenes)
        images, persons = rendered.images.cpu().numpy(), rendered.person.cpu().numpy()
        samples = []
        for scene, name, image, person in zip(scenes, names, images, persons, strict=True):
            height, width = scene.size_hw
            picture = np.ascontiguousarray(image[:height, :width])
            annotation = annotation_of(scene, Path(name))
            resized, target, placed = self._maker.plain_sample(picture, annotation)
            sample = Sample(resized, target, Source('scenes', Path(name), scene.size_hw, None))
            rate = width / target.size_hw[1]
            joints_px = placed.joints_px[:, :MAIN_JOINTS] * rate
            samples.append(SceneSample(sample, placed, _seen(joints_px, person[:height, :width])))
        return samples


def _seen(joints_px: Floats, person: np.ndarray) -> Bools:
    """Return which joints (P, K, 2) are on a pixel (H, W) of their person."""
    height, width = person.shape
    inside: Bools = np.all((joints_px >= 0) & (joints_px < (width, height)), axis=-1)
    x, y = np.where(inside[..., None], joints_px, 0).astype(np.int64).transpose(2, 0, 1)
    own: Bools = person[y, x] == np.arange(len(joints_px))[:, None]
    return inside & own
