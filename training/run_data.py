"""The data of a run, opened by its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.pictures import list_pictures, read_picture
from mahmr_model.preprocess import resize
from mahmr_model.types import ImageArray
from training.config import DataSource, RunConfig
from training.data.dataset import build_dataset, join, JoinedDatasets, PictureDataset
from training.data.posing import GENDERS, WorkerBodies
from training.data.sample import SampleConfig

GENDERED = ('3dpw', 'hi4d')
"""The datasets whose bodies are of men and women; the others do with the neutral body."""


def training_data(config: RunConfig, body: Path) -> JoinedDatasets:
    """Open all training data of a run; `body` is for `load_body`."""
    sources = config.data.training
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
