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

"""Training on scenes that are drawn on the fly: numbers from workers, pictures on the device."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from mahmr_model.body.data import BodyData
from mahmr_model.body.layer import BodyLayer
from mahmr_model.config import ModelConfig
import torch
from training.batches import DeviceBatch, padded
from training.synthetic.scenes.batch import pack, Packed
from training.synthetic.scenes.draw import draw_scene, SceneConfig
from training.synthetic.scenes.look import draw_look, Look
from training.synthetic.scenes.mirror import with_mirror_images
from training.synthetic.scenes.renderer import SceneRenderer
from training.synthetic.scenes.scene import Scene
from training.synthetic.scenes.truth import SceneNumbers, SceneTruth

_MIRROR_IMAGES = 1 << 40
"""Added to a scene's number for that of its mirror image: other noise for its queries."""


@dataclass(frozen=True)
class DrawnScene:
    """A scene and its look, as a worker draws them."""

    scene: Scene
    look: Look
    name: str
    """What to call it in messages."""


@dataclass(frozen=True)
class SceneBatch:
    """B scenes, ready for the way to the device."""

    packed: Packed
    """For the renderer."""
    numbers: SceneNumbers
    """For the truth."""
    names: list[str]
    skipped: Sequence[str] = ()
    """Nothing is: no scene is broken."""

    def pin_memory(self) -> SceneBatch:
        """Return the batch where a device can fetch it by itself."""
        return SceneBatch(self.packed.pin_memory(), self.numbers.pin_memory(), self.names)


class ScenePictures:
    """`count` scenes an epoch, others in every one."""

    def __init__(self, config: SceneConfig, count: int, seed: int) -> None:
        self._config, self._count, self._seed = config, count, seed
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of scenes of an epoch."""
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next scenes of this process belong to."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> DrawnScene:
        """Return a scene by its number."""
        number = self._epoch * self._count + index
        scene = draw_scene(self._config, self._seed, number)
        name = f'scene {number} of seed {self._seed}'
        return DrawnScene(scene, draw_look(scene), name)


def collate_scenes(drawn: Sequence[DrawnScene]) -> SceneBatch:
    """Pack scenes for the way to the device."""
    scenes = [one.scene for one in drawn]
    packed = pack(scenes, [one.look for one in drawn])
    return SceneBatch(packed, SceneNumbers.of(scenes), [one.name for one in drawn])


class SceneStudio:
    """Renders batches of scenes with their truth, on CUDA beside what else the device does."""

    def __init__(
        self, body: BodyData, sizes: ModelConfig, device: torch.device, *, mirrored: bool = False
    ) -> None:
        """
        Take the open body, whose clothes the renderer knows, and the network's sizes.

        With `mirrored` a batch holds the mirror image of every scene as well.
        """
        self._mirrored = mirrored
        layer = BodyLayer(body, kid=True)
        self._device = device
        self._multiple = sizes.pad_multiple
        self._truth = SceneTruth(layer.faces, sizes.input_size, sizes.shapes)
        self._renderer = SceneRenderer(layer, device)
        # Its small operations go first, or each would wait for one of the steps'.
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == 'cuda' else None

    @torch.no_grad()
    def __call__(self, scenes: SceneBatch, indices: Sequence[int]) -> DeviceBatch:
        """
        Return pictures and truth, on the device.

        The renderer has to wait for the device a few times. On a stream of its own it does not
        wait for the step before, which the device still works on.
        """
        with self.beside():
            rendered = self._renderer.draw(scenes.packed)
            numbers = scenes.numbers.to(self._device)
            if self._mirrored:
                numbers, rendered = with_mirror_images(numbers, rendered)
                indices = [*indices, *(_MIRROR_IMAGES + index for index in indices)]
            truth = self._truth(numbers, rendered)
            images = padded(rendered.images, truth.sizes_hw, self._multiple)
            made = None
            if self._stream is not None:
                made = torch.cuda.Event()
                made.record(self._stream)
        return DeviceBatch(images, truth, indices, made=made)

    def beside(self) -> AbstractContextManager[object]:
        """Work on the stream on which scenes are rendered."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
