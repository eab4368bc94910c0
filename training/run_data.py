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

"""The data of a run, opened by its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast, Protocol

from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.pictures import list_pictures, read_picture
from mahmr_model.preprocess import resize
from mahmr_model.types import ImageArray
import numpy as np
import torch
from training.config import DataSource, RunConfig
from training.data.dataset import (
    build_dataset,
    Item,
    join,
    JoinedDatasets,
    PictureDataset,
    Sample,
)
from training.data.posing import GENDERS, WorkerBodies
from training.data.sample import SampleConfig
from training.metrics.types import ScenesTruth
from training.scene_pictures import ScenePictures
from training.scene_samples import SceneSample, SceneSamples
from training.synthetic.scenes.draw import draw_scene, held_out_scene, HELD_OUT_SCENES, SceneConfig
from training.synthetic.scenes.scene import Scene

GENDERED = ('3dpw', 'hi4d')
"""The datasets whose bodies are of men and women; the others do with the neutral body."""


def training_data(config: RunConfig, body: Path) -> JoinedDatasets | ScenePictures:
    """Open all training data of a run; `body` is for `load_body`."""
    sources = config.data.training
    if config.trains_on_scenes:
        scenes = SceneConfig(config.model.input_size)
        return ScenePictures(scenes, sources[0].count or 0, config.training.seed)
    bodies = worker_bodies(sources, body)
    samples = SampleConfig(config.model.input_size, config.model.shapes, config.data.augmentation)
    return join([_open(config, source, bodies, samples) for source in sources])


@dataclass(frozen=True)
class EvaluationPicture:
    """A picture to be measured."""

    index: int
    """Its number in the data set."""
    image_rgb: ImageArray
    """(H', W', 3), the longer side S."""
    original_hw: tuple[int, int]
    truth: Any
    """What its protocol compares with."""


class EvaluationPictures(Protocol):
    """The pictures of an evaluation by number; a broken one is the reason why, as text."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def __getitem__(self, index: int, /) -> EvaluationPicture | str:
        """Return a picture."""


def held_out_pictures(
    config: RunConfig, source: DataSource, body: Path, sizes: ModelConfig, device: torch.device
) -> RenderedScenes:
    """Open the held-out scenes for a network of these sizes."""
    if source.split != 'held_out':
        raise UserError(
            f"Evaluation on scenes is of the split 'held_out', which nothing is trained on, not "
            f'{source.split!r}; correct the configuration {config.name!r}.'
        )
    count = min(source.count or HELD_OUT_SCENES, HELD_OUT_SCENES)
    make = partial(SceneSamples, body, sizes.input_size, sizes.shapes, device)
    return RenderedScenes(make, range(0, count, source.keep_every))


class RenderedScenes:
    """Scenes of the held-out set, or of a seed, rendered as they are asked for."""

    def __init__(
        self, make: Callable[[], SceneSamples], numbers: range, seed: int | None = None
    ) -> None:
        """Take what makes the maker of samples, which takes some seconds."""
        self._make, self._numbers, self._seed = make, numbers, seed

    def batches(self, first: int, step: int, size: int) -> Iterator[list[EvaluationPicture | str]]:
        """Yield every `step`-th picture from the first on, some at a time."""
        mine, samples = list(self._numbers[first::step]), self._make()
        for start in range(0, len(mine), size):
            numbers = mine[slice(start, start + size)]
            scenes = [self._draw(number) for number in numbers]
            names = [f'scene {number}' for number in numbers]
            yield [
                EvaluationPicture(
                    number, made.sample.image.numpy(), scene.size_hw, _scene_truth(scene, made)
                )
                for number, scene, made in zip(
                    numbers, scenes, samples(scenes, names), strict=True
                )
            ]

    def _draw(self, number: int) -> Scene:
        config = SceneConfig()  # the same for every network, whatever its size
        if self._seed is None:
            return held_out_scene(config, number)
        return draw_scene(config, self._seed, number)


def _scene_truth(scene: Scene, made: SceneSample) -> ScenesTruth:
    rate = scene.size_hw[1] / made.sample.target.size_hw[1]
    joints_px = made.placed.joints_px * rate
    return ScenesTruth(
        made.placed.joints_camera_m[:, : len(SMPL_JOINT_NAMES)],
        joints_px[:, : len(SMPL_JOINT_NAMES)],
        np.ptp(joints_px[..., 1], axis=1),
        made.seen.mean(1),
        float(scene.intrinsics[1, 1]),
    )


def example_samples(
    config: RunConfig,
    data: JoinedDatasets | ScenePictures,
    body: Path,
    device: torch.device,
    most: int,
) -> list[Sample]:
    """Return samples from all over the training data, to look at."""
    numbers = [number * len(data) // most for number in range(min(most, len(data)))]
    if isinstance(data, ScenePictures):
        drawn = [data[number] for number in numbers]
        sizes = config.model
        make = SceneSamples(body, sizes.input_size, sizes.shapes, device)
        made = make([one.scene for one in drawn], [one.name for one in drawn])
        return [one.sample for one in made]
    items = [cast('Item', data[number]) for number in numbers]
    return [item.sample for item in items if item.sample is not None]


def evaluation_data(
    config: RunConfig, source: DataSource, body: Path, sizes: ModelConfig
) -> EvaluationPictures:
    """Open one of a run's sets of evaluation for a network of these sizes."""
    if is_agora_test(source):
        return _AgoraTest(Path(config.data.root), sizes.input_size, source.keep_every)
    samples = SampleConfig(sizes.input_size, sizes.shapes, None)
    return _Annotated(_open(config, source, worker_bodies([source], body), samples))


def is_agora_test(source: DataSource) -> bool:
    """Return whether a data set has pictures alone: its leaderboard has the truth."""
    return (source.name, source.split) == ('agora', 'test')


class _Annotated:
    """The annotations of a data set, as a loader draws them."""

    def __init__(self, data: PictureDataset) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int, /) -> EvaluationPicture | str:
        sample, skipped = self._data[index]
        if sample is None:
            return skipped[0]
        source = sample.source
        return EvaluationPicture(index, sample.image.numpy(), source.original_hw, source.truth)


class _AgoraTest:
    """AGORA's test pictures; the truth of one is its name."""

    def __init__(self, root: Path, input_size: int, keep_every: int) -> None:
        self._paths = list_pictures([root / 'agora' / 'test'])[::keep_every]
        self._input_size = input_size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> EvaluationPicture | str:
        path = self._paths[index]
        try:
            picture = read_picture(path)
        except UserError as error:
            return str(error)
        resized = resize(picture, self._input_size)
        return EvaluationPicture(index, resized, picture.shape[:2], path.name)


def worker_bodies(sources: Sequence[DataSource], body: Path) -> WorkerBodies:
    """Load the bodies of the genders that datasets need."""
    gendered = any(source.name in GENDERED for source in sources)
    return WorkerBodies(body, GENDERS if gendered else ('neutral',))


def _open(
    config: RunConfig, source: DataSource, bodies: WorkerBodies, samples: SampleConfig
) -> PictureDataset:
    return build_dataset(
        source.name,
        source.split,
        Path(config.data.root),
        bodies,
        samples,
        keep_every=source.keep_every,
        seed=config.training.seed,
    )
