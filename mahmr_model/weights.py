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

"""Which weights and body to use: those asked for, the official ones, or the default."""

from __future__ import annotations

from dataclasses import dataclass
import logging
import os
from pathlib import Path

from mahmr_model.body.data import BodyData, BodyKind, find_body, load_body, OPEN_BODY
from mahmr_model.checkpoint import load_state, read_checkpoint
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
from mahmr_model.untrained import untrained_network

logger = logging.getLogger(__name__)

OFFICIAL = ('mahmr_stage3.bin', 'mahmr_stage2.bin', 'mahmr_stage1.bin')
OPEN = 'mahmr_open.safetensors'
_BODIES: dict[BodyKind, str] = {'smpl': "SMPL's body", 'open': 'the open body'}
INSTALLED = 4
"""How far the prefix of an installation is above this file."""


@dataclass(frozen=True)
class LoadedModel:
    """A network, the body it speaks of, and what to call it."""

    network: MAHMR
    body: BodyData
    name: str
    untrained: bool


def weights_folders() -> list[Path]:
    """
    Return where weights are looked for: $MAHMR_WEIGHTS, ./weights, and those that came along.

    These are the source tree's or, of what pip or colcon installed, in share/mahmr/weights.

    Raises UserError where the variable names no folder.
    """
    named = os.environ.get('MAHMR_WEIGHTS')
    if named and not Path(named).is_dir():
        raise UserError(f'MAHMR_WEIGHTS names {named}, which is no folder; correct or unset it.')
    folders = [Path(named)] if named else []
    folders.append(Path.cwd() / 'weights')
    # PREFIX/lib/pythonX.Y/site-packages/mahmr_model/weights.py, or ROOT/mahmr_model/weights.py.
    above = Path(__file__).resolve().parents
    folders.append(above[1] / 'weights')
    if len(above) > INSTALLED:
        folders.append(above[INSTALLED] / 'share' / 'mahmr' / 'weights')
    return list(dict.fromkeys(folders))


def load_model(
    weights: Path | None = None, body: Path | None = None, input_size: int | None = None
) -> LoadedModel:
    """
    Load a network and its body.

    Without `weights`: the official MA-HMR weights where they and SMPL's files lie in a weights
    folder, otherwise the open weights, otherwise a small network with random weights. Without
    `body`: the one whose shapes the weights speak. `input_size` takes the place of the size that
    the network was trained with. Raises UserError where something that was asked for is missing
    or does not fit.
    """
    if weights is None:
        weights = _official(body) or _first(OPEN)
    if weights is None:
        body_data = load_body(OPEN_BODY if body is None else body)
        network = untrained_network(body_data, input_size)
        return LoadedModel(network, body_data, 'random weights', True)

    checkpoint = read_checkpoint(weights)
    if body is None:
        body = find_body(None, weights_folders()) if checkpoint.body == 'smpl' else OPEN_BODY
    body_data = load_body(body)
    if body_data.kind != checkpoint.body:
        raise UserError(
            f'{weights} was trained with {_BODIES[checkpoint.body]}, but {body} is '
            f'{_BODIES[body_data.kind]}: its shapes would mean nothing. Name another body, or '
            'none.'
        )
    network = MAHMR(checkpoint.config.with_input_size(input_size))
    load_state(network, checkpoint.state, str(weights))
    return LoadedModel(network, body_data, weights.name, False)


def _first(*names: str) -> Path | None:
    """Return the first of these files that lies in a weights folder."""
    places = (folder / name for folder in weights_folders() for name in names)
    return next((place for place in places if place.is_file()), None)


def _official(body: Path | None) -> Path | None:
    """Return the official weights, if a body for them is there, too."""
    weights = _first(*OFFICIAL)
    if weights is None or body is not None:
        return weights
    try:
        find_body(None, weights_folders())
    except UserError:
        logger.warning(
            '%s is there, but SMPL, which it needs, is not: going on without it. Put the files '
            'below weights/smpl_data/smpl (https://smpl.is.tue.mpg.de).',
            weights,
        )
        return None
    return weights
