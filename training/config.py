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

"""What a run is: everything that can be set, in a YAML file or on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import math
from pathlib import Path
from typing import Any, Literal

from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from training.data.augmentation import AugmentationConfig
from training.denoising import DenoisingConfig
from training.losses.losses import PAIR_LOSSES, PERSON_LOSSES
from training.metrics.protocol import check_thresholds
from training.schema import as_plain, build, unknown_key
import yaml

FOLDER = Path(__file__).with_name('configs')
STAGES = {
    '1': 'train_chmr',
    '2': 'train_chmr_fov_continue',
    '3': 'train_chmr_fov_opt_mloss',
    '3dpw_ft': '3dpw_ft',
    'hi4d_ft': 'hi4d_ft',
    'panoptic_ft': 'panoptic_ft',
    'rh_ft': 'rh_ft',
}
"""`--stage` and the configuration it means."""

SCENES = 'scenes'
"""The data set that is drawn on the fly: split `train`, or `held_out` for evaluation."""

MAP_LOSSES = ('map_confs', 'map_scales')
TOKEN_LOSSES = ('token_j2ds', 'token_j3ds', 'token_parts', 'token_depths')
"""What tokens learn of the people they show, on scenes alone (`training.token_people`)."""
OTHER_LOSSES = ('confs', *MAP_LOSSES, 'fov', *TOKEN_LOSSES)
"""The losses that are not on matched people."""

Precision = Literal['float32', 'bfloat16', 'float16']
MixedPrecision = Literal['no', 'bf16', 'fp16']


@dataclass(frozen=True)
class DataSource:
    """A part of a data set."""

    name: str
    split: str
    keep_every: int = 1
    """Of how many pictures one is kept."""
    count: int | None = None
    """
    Of `scenes`, which are drawn on the fly: how many an epoch has (or the first so many of the
    held-out ones). Their training seed is training.seed.
    """


@dataclass(frozen=True)
class DataConfig:
    """Where data is and what of it is used."""

    root: str = 'data'
    training: tuple[DataSource, ...] = ()
    evaluation: tuple[DataSource, ...] = ()
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    workers: int = 8
    """Processes that prepare pictures, beside each training process; 0 prepares in line."""
    mirrored: bool = False
    """
    Whether every scene comes with its mirror image, as rendering costs half as much then: in the
    same batch, which has twice training.batch_size pictures, or in the pool of recorded steps.
    """
    rounds: int = 1
    """
    How many times recorded steps learn from a rendered scene, on average: worth it where rendering
    takes as long as learning.
    """
    kept_scenes: int = 1024
    """How many scenes a process keeps for that, with their mirror images."""
    skip_limit: int = 100
    """Pictures that may be missing, damaged or badly annotated before the run stops."""


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is optimised; the defaults are the published ones."""

    batch_size: int = 32
    """Pictures in a process at a time."""
    accumulation: int = 1
    """Batches that make an optimiser's step."""
    epochs: int = 6
    optimiser: Literal['adamw', 'muon'] = 'adamw'
    """
    What makes the steps. Muon (arXiv 2502.16982) takes the matrices within blocks and leaves the
    rest to AdamW; it learns more from a picture where weights are new.
    """
    learning_rate: float = 1e-5
    encoder_learning_rate: float = 1e-5
    """That of every parameter whose name contains `encoder`."""
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    warmup_steps: int = 0
    """Steps in which the learning rates rise from near 0 (published: none)."""
    minutes: float | None = None
    """
    Minutes of training, evaluations not counted, after which a run ends as after its last epoch,
    if it is not through before: the learning rates follow the clock then. A run that is resumed
    has used up what it had before.
    """
    seed: int = 42
    recorded: bool = False
    """
    Whether all steps are of one shape, recorded once and repeated, on scenes alone and without
    denoising queries (`training.recorded`): many times as many. Without losses of queries
    the encoder alone is trained. They end after `minutes`, nothing is evaluated, and the weights
    are all that is saved (every `checkpoint_every` steps): a run that was cut off begins again.
    """
    compile: bool = False  # noqa: A003
    """
    Whether parts of the model are compiled, on CUDA: faster steps after a slow beginning. Worth it
    where a run makes thousands of steps.
    """
    log_every: int = 10
    """Steps between two entries of the losses."""
    checkpoint_every: int = 0
    """Steps between further checkpoints within an epoch; 0 for none but that of its end."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How people are found and compared with the truth."""

    thresholds: tuple[float, ...] = (0.3,)
    batch_size: int = 4
    precision: Precision = 'float32'
    vis: int = 0
    """Of how many pictures one is drawn; 0 for none."""
    every: int = 1
    """Epochs of training between two evaluations; 0 for none."""
    examples: int = 4
    """Training pictures that are drawn with predictions and truth after each epoch."""


@dataclass(frozen=True)
class RunConfig:
    """A run of the trainer: what `--cfg` names and what is saved beside its results."""

    name: str
    out: str | None = None
    """Folder of the run; runs/NAME where it is null."""
    starts_from: tuple[str, ...] = ()
    """
    Weights: the first of these files that exists. They may be of fewer blocks or layers, or of a
    narrower encoder, than the model has (`training.growing`), but for DINOv2's. Training without
    any starts from nothing; evaluation and inference then take what lies in the weights folder.
    """
    body: str | None = None
    """
    'smpl' (looked for in the weights folders), 'open', or a path; null for the body that the
    weights are of, which is SMPL unless they say otherwise.
    """
    joints: Literal['body', 'crowdpose'] = 'body'
    """The joints of training: 45 of the body, or CrowdPose's 14."""
    mixed_precision: MixedPrecision = 'no'
    model: ModelConfig = field(default_factory=ModelConfig)
    denoising: DenoisingConfig | None = None
    losses: dict[str, float] = field(default_factory=dict)
    """The weight of each loss; it holds for all decoder layers and for denoising queries."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    pictures: str = 'demo'
    """Folder of the pictures that inference goes through."""

    def __post_init__(self) -> None:
        """Refuse losses that there are not, and numbers that no run can have."""
        known = (*PERSON_LOSSES, *PAIR_LOSSES, *OTHER_LOSSES)
        for name in self.losses:
            if name not in known:
                raise unknown_key(f'losses.{name}', known, name)
        training, data = self.training, self.data
        for name, value, least in (
            ('training.batch_size', training.batch_size, 1),
            ('training.accumulation', training.accumulation, 1),
            ('training.epochs', training.epochs, 1),
            ('training.log_every', training.log_every, 1),
            ('training.checkpoint_every', training.checkpoint_every, 0),
            ('training.learning_rate', training.learning_rate, 0),
            ('training.encoder_learning_rate', training.encoder_learning_rate, 0),
            ('training.weight_decay', training.weight_decay, 0),
            ('training.clip_norm', training.clip_norm, 0),
            ('training.warmup_steps', training.warmup_steps, 0),
            ('training.minutes', 1 if training.minutes is None else training.minutes, 1e-3),
            ('training.seed', training.seed, 0),
            ('evaluation.batch_size', self.evaluation.batch_size, 1),
            ('evaluation.vis', self.evaluation.vis, 0),
            ('evaluation.every', self.evaluation.every, 0),
            ('evaluation.examples', self.evaluation.examples, 0),
            ('data.workers', data.workers, 0),
            ('data.rounds', data.rounds, 1),
            ('data.kept_scenes', data.kept_scenes, 1),
            ('data.skip_limit', data.skip_limit, 0),
            ('denoising.dn_number', self.denoising.dn_number if self.denoising else 1, 1),
            *((f'losses.{name}', weight, 0) for name, weight in self.losses.items()),
            *((f'{s.name}.keep_every', s.keep_every, 1) for s in data.training + data.evaluation),
            *((f'{s.name}.count', s.count or 1, 1) for s in data.training + data.evaluation),
        ):
            if not least <= value < math.inf:
                raise UserError(f'The key {name!r} should be at least {least}, not {value}.')
        check_thresholds(self.evaluation.thresholds)

    def check_training(self) -> None:
        """Refuse a run that has nothing to learn from, or too few weights of losses."""
        if not self.data.training:
            raise UserError(
                f'The configuration {self.name!r} names no training data (data.training); '
                f'it is not one for --mode train. Those are {", ".join(STAGES.values())}.'
            )
        self._check_scenes()
        for source in self.data.training:
            joints = 'crowdpose' if source.name == 'rh' else 'body'
            if self.joints != joints:
                raise UserError(
                    f'The dataset {source.name} is trained on with joints={joints}, but the '
                    f'configuration {self.name!r} has joints={self.joints}; set the key, or train '
                    'on it in a run of its own.'
                )
        recorded = self.training.recorded
        for wrong, expected in (
            (self.denoising is not None, 'denoising: null'),
            ('depths_re' in self.query_losses, 'no weight of depths_re'),
            (not self.trains_on_scenes, 'scenes in data.training'),
            (self.training.minutes is None, 'training.minutes, which end them'),
            (self.training.accumulation > 1, 'training.accumulation=1'),
            (self.mixed_precision == 'fp16', 'mixed_precision no or bf16, not fp16'),
            (
                self.model.levels < 3 or not self.model.camera_branch,
                'levels: 3 and a camera_branch',
            ),
            (
                self.model.input_size % self.model.pad_multiple,
                f'an input_size that is a multiple of {self.model.pad_multiple}, '
                f'not {self.model.input_size}',
            ),
        ):
            if recorded and wrong:
                raise UserError(
                    f'Recorded steps need {expected}; correct the configuration {self.name!r}.'
                )
        if self.data.rounds > 1 and not recorded:
            raise UserError(
                f'The configuration {self.name!r} has {self.data.rounds} data.rounds, but only '
                'recorded steps (training.recorded) keep scenes for further ones; leave it at 1, '
                'and set training.epochs instead.'
            )
        needed = {'confs'} if self.query_losses or not recorded else set()
        needed |= set(MAP_LOSSES) if self.model.adaptive else set()
        needed |= {'fov'} if self.model.camera_branch else set()
        needed |= set(TOKEN_LOSSES) if self.teaches_tokens or recorded else set()
        missing = sorted(needed - set(self.losses))
        if missing:
            raise UserError(
                f'The configuration {self.name!r} gives no weight to {", ".join(missing)}, which '
                'belongs to what it trains; add them below losses (0 leaves one out of the sum).'
            )

    def _check_scenes(self) -> None:
        """Refuse scenes beside pictures, of another body, or without a number of them."""
        sources = self.data.training
        if not self.trains_on_scenes:
            if self.teaches_tokens:
                raise UserError(
                    f'The configuration {self.name!r} gives {" or ".join(TOKEN_LOSSES)} a '
                    'weight, but only scenes tell which person a token shows; leave them out.'
                )
            return
        for wrong, expected in (
            (len(sources) > 1, 'scenes alone in data.training: they are rendered on the device'),
            (sources[0].count is None, 'a count of scenes an epoch in data.training'),
            (sources[0].split != 'train', f"the split 'train', not {sources[0].split!r}"),
            (self.body != 'open', 'body=open, which the scenes are of'),
            (self.joints != 'body', 'joints=body'),
        ):
            if wrong:
                raise UserError(
                    f'Training on scenes needs {expected}; correct the configuration '
                    f'{self.name!r}.'
                )

    @property
    def trains_on_scenes(self) -> bool:
        """Whether the training pictures are drawn on the fly."""
        return any(source.name == SCENES for source in self.data.training)

    @property
    def teaches_tokens(self) -> bool:
        """Whether every token learns of the person it shows."""
        return any(self.losses.get(name) for name in TOKEN_LOSSES)

    @property
    def folder(self) -> Path:
        """Return the folder of the run."""
        return Path(self.out) if self.out else Path('runs') / self.name

    @property
    def query_losses(self) -> list[str]:
        """Return the losses on queries that have a weight."""
        return [
            name
            for name, weight in self.losses.items()
            if weight and (name == 'confs' or name not in OTHER_LOSSES)
        ]

    @property
    def matched_losses(self) -> list[str]:
        """Return the losses on matched people that are measured, if only at a weight of 0."""
        return [name for name in self.losses if name not in OTHER_LOSSES]

    def save(self, path: Path) -> None:
        """Write everything, defaults included, as YAML."""
        with written_beside(path) as temporary:
            temporary.write_text(yaml.safe_dump(as_plain(self), sort_keys=False))


def load_config(name: str, overrides: Sequence[str] = ()) -> RunConfig:
    """
    Read a configuration by its published name, or a YAML file by its path.

    `overrides` are of the form `group.key=value`, the value in YAML. Raises UserError.
    """
    values = _read(name)
    for override in overrides:
        _override(values, override)
    values.setdefault('name', Path(name).stem)
    return build(RunConfig, values)


def config_names() -> list[str]:
    """Return the names that `load_config` knows."""
    return sorted(path.stem for path in FOLDER.glob('*.yaml') if not path.stem.endswith('base'))


def _read(name: str) -> dict[str, Any]:
    """Read a file over the ones it is `based_on`."""
    path = Path(name) if name.endswith(('.yaml', '.yml')) else FOLDER / f'{name}.yaml'
    if not path.is_file():
        raise UserError(
            f'There is no configuration {name!r}; take one of {", ".join(config_names())}, or the '
            'path of a YAML file.'
        )
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: this is no YAML: {error}') from error
    if not isinstance(values, dict):
        raise UserError(f'{path}: expected keys and values, got {type(values).__name__}.')
    below = values.pop('based_on', None)
    return values if below is None else _merged(_read(str(below)), values)


def _merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the keys of `above` in their places, group by group."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if both and isinstance(old, dict) else value
    return result


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition('=')
    if not equals or not key:
        raise UserError(f'Expected key=value on the command line, got {override!r}.')
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f'The value in {override!r} cannot be read: {error}') from error
    *groups, last = key.split('.')
    inner = values
    for group in groups:
        below = inner.get(group)
        inner[group] = dict(below) if isinstance(below, dict) else {}
        inner = inner[group]
    inner[last] = value
