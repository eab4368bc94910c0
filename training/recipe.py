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

"""A step of MA-HMR's training, and the model that a run begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path

from accelerate import Accelerator
from mahmr_model.body.data import BodyData, find_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.checkpoint import (
    CAMERA_BRANCH,
    load_dinov2,
    load_state,
    read_checkpoint,
    read_state,
    State,
)
from mahmr_model.config import ModelConfig
from mahmr_model.encoder.encoder import ImageEncoder
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
from mahmr_model.weights import weights_folders
import numpy as np
import torch
from torch import nn, Tensor
from training.batches import DeviceBatch, from_pictures
from training.config import RunConfig
from training.criterion import Criterion, Losses, weighted_sum
from training.crowdpose import CrowdPoseBody
from training.denoising import DenoisingDraw
from training.first_weights import set_first_weights
from training.growing import grow
from training.sampling import NumberedBatch
from training.scene_pictures import SceneBatch, SceneStudio
from training.shares import Shares, step_shares
from training.train_model import TrainingModel

logger = logging.getLogger(__name__)

EXTRAS = ('dn_enc', 'token_head')
"""What of the training model has weights beside the network's."""


@dataclass(frozen=True)
class BatchPlan:
    """What a batch needs to know of its step."""

    shares: Shares
    draw: DenoisingDraw


class MeshRecipe:
    """The published losses; see `training.losses.losses` for each of them."""

    def __init__(
        self, config: RunConfig, accelerator: Accelerator, body: BodyData | None = None
    ) -> None:
        """Take a run's settings, and the body of its scenes where it is trained on them."""
        self._config = config
        self._accelerator = accelerator
        self._body = body
        self._studio: SceneStudio | None = None
        self._criterion = Criterion(config.matched_losses, config.model.input_size)

    def start(self) -> None:
        """Make the studio of scenes, which takes some seconds."""
        if self._config.trains_on_scenes and self._studio is None:
            assert self._body is not None
            self._studio = SceneStudio(
                self._body,
                self._config.model,
                self._accelerator.device,
                mirrored=self._config.data.mirrored,
            )

    def prepare(self, batch: NumberedBatch) -> DeviceBatch:
        """Put a batch on the device; scenes are rendered there."""
        samples = batch.samples
        if isinstance(samples, SceneBatch):
            self.start()
            assert self._studio is not None
            return self._studio(samples, batch.indices)
        return from_pictures(
            samples, batch.indices, self._config.model.pad_multiple, self._accelerator.device
        )

    def plan(self, batches: Sequence[DeviceBatch], epoch: int) -> list[BatchPlan]:
        """Count what the batches of a step hold, over all processes (`training.shares`)."""
        training = self._config.training
        for batch in batches:
            batch.wait()
        shares = step_shares(
            [batch.truth for batch in batches],
            self._config.model.queries,
            self._config.denoising,
            self._gathered if self._accelerator.num_processes > 1 else None,
        )
        return [
            BatchPlan(
                share,
                DenoisingDraw(
                    share.most_people,
                    [noise_seed(training.seed, epoch, index) for index in batch.indices],
                ),
            )
            for batch, share in zip(batches, shares, strict=True)
        ]

    def losses(self, model: nn.Module, batch: DeviceBatch, plan: BatchPlan) -> Losses:
        """Return the batch's part of every loss of the step, by name."""
        output = model(batch.images, batch.truth, draw=plan.draw)
        return self._criterion(output, batch.truth, plan.shares)[0]

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum."""
        return weighted_sum(dict(losses), self._config.losses)

    def _gathered(self, counts: Tensor) -> Tensor:
        gathered: Tensor = self._accelerator.gather(counts)
        return gathered


def noise_seed(*numbers: int) -> int:
    """Return a seed that belongs to these numbers alone."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def run_body(config: RunConfig) -> Path:
    """Return the file or folder of a run's body, for `load_body`."""
    name = config.body
    if name is None:
        weights = starting_weights(config)
        own = weights is not None and weights.suffix == '.safetensors'
        name = read_checkpoint(weights).body if own and weights is not None else 'smpl'
    if name == 'open':
        return OPEN_BODY
    return find_body(None if name == 'smpl' else Path(name), weights_folders())


def build_model(config: RunConfig, body: BodyData) -> TrainingModel:
    """Build the training model of a run with the weights that it starts from."""
    torch.manual_seed(config.training.seed)
    kid = config.model.shapes == 11
    model = TrainingModel(
        new_network(config.model, body),
        CrowdPoseBody(body, kid) if config.joints == 'crowdpose' else BodyLayer(body, kid),
        config.denoising,
        teach_tokens=config.teaches_tokens,
    )
    begin(model, config)
    return model


def encoder_names(network: MAHMR) -> frozenset[str]:
    """Return the names of the parameters that make tokens, their map and their camera."""
    with torch.device('meta'):
        names = {name for name, _ in ImageEncoder(network.config).named_parameters()}
    branch = (name for name, _ in network.named_parameters() if name.startswith(CAMERA_BRANCH))
    return frozenset(names).union(branch)


def new_network(config: ModelConfig, body: BodyData) -> MAHMR:
    """Return a new network that starts from a body's mean pose and shape."""
    network = MAHMR(
        config,
        None if body.mean_pose is None else torch.from_numpy(body.mean_pose),
        None if body.mean_shape is None else torch.from_numpy(body.mean_shape),
    )
    set_first_weights(network)
    return network


def starting_weights(config: RunConfig) -> Path | None:
    """Return the first of the run's `starts_from` that exists; None where none is named."""
    for name in config.starts_from:
        if Path(name).is_file():
            return Path(name)
    if config.starts_from:
        raise UserError(
            f'The configuration {config.name!r} starts from {" or ".join(config.starts_from)}, '
            'but there is none of them; put the weights there, run the stage before, or set '
            'starts_from=PATH (starts_from=null for new weights).'
        )
    return None


def begin(model: nn.Module, config: RunConfig) -> None:
    """Give a training model, whose child `network` is a MAHMR, the weights a run starts from."""
    path = starting_weights(config)
    if path is None:
        logger.warning('%s starts from random weights', config.name)
    else:
        start_from(model, read_state(path), path)


def start_from(model: nn.Module, state: State, path: Path) -> None:
    """
    Load weights: MA-HMR's, SAT-HMR's, this project's own, or DINOv2's for the encoder alone.

    They may be of a smaller network, and what they then say stays the same (`growing`).
    `EXTRAS` are taken where the file has them in the same sizes.
    """
    network = model.get_submodule('network')
    assert isinstance(network, MAHMR)
    if 'pos_embed' in state and 'cls_token' in state:
        load_dinov2(network, state, str(path))
        logger.info('the encoder starts from %s', path)
        return
    grown, deeper = grow(network, state, str(path))
    report = load_state(network, grown, str(path), may_start_new=(*CAMERA_BRANCH, *deeper))
    logger.info('starts from %s', path)
    if grown is not state:
        logger.warning('%s is of a narrower encoder; its other channels are new', path)
    if deeper:
        logger.warning('%s is of a shallower network; these are new: %s', path, ', '.join(deeper))
    new = [name for name in report.not_in_file if not name.startswith(deeper)]
    if new:
        logger.info('new, since the file lacks them: %s', ', '.join(new))
    for name, extra in _extras(model).items():
        own = {f'{name}.{key}': value for key, value in extra.state_dict().items()}
        given = {key: state[key] for key in own if key in state}
        if given.keys() == own.keys() and all(given[k].shape == own[k].shape for k in own):
            extra.load_state_dict({k.removeprefix(f'{name}.'): v for k, v in given.items()})
        else:
            logger.info('%s is new: %s has none of this size', name, path)


def training_extras(model: nn.Module) -> State:
    """Return what a file of weights holds beside the network, so that the stage can go on."""
    return {
        f'{name}.{key}': value
        for name, extra in _extras(model).items()
        for key, value in extra.state_dict().items()
    }


def _extras(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_children() if name in EXTRAS}
