"""Which weights and body to use: those asked for, the official ones, or the default."""

from __future__ import annotations

from dataclasses import dataclass
import logging
import os
from pathlib import Path

from mahmr_model.body.data import BodyData, find_body, load_body, OPEN_BODY
from mahmr_model.checkpoint import load_state, read_checkpoint
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
from mahmr_model.untrained import untrained_network

logger = logging.getLogger(__name__)

OFFICIAL = ('mahmr_stage3.bin', 'mahmr_stage2.bin', 'mahmr_stage1.bin')
OPEN = 'mahmr_open.safetensors'


@dataclass(frozen=True)
class LoadedModel:
    """A network, the body it speaks of, and what to call it."""

    network: MAHMR
    body: BodyData
    name: str
    untrained: bool


def weights_folders() -> list[Path]:
    """Where weights are looked for: $MAHMR_WEIGHTS, ./weights, and the source tree's weights."""
    named = os.environ.get('MAHMR_WEIGHTS')
    folders = [Path(named)] if named else []
    folders += [Path.cwd() / 'weights', Path(__file__).resolve().parents[1] / 'weights']
    return list(dict.fromkeys(folders))


def load_model(
    weights: Path | None = None, body: Path | None = None, input_size: int | None = None
) -> LoadedModel:
    """
    Load a network and its body.

    Without `weights`: the official MA-HMR weights where they and SMPL's files lie in a weights
    folder, otherwise the open weights, otherwise a small network with random weights. `input_size`
    takes the place of the size that the network was trained with. Raises UserError where
    something that was asked for is missing or does not fit.
    """
    if weights is None:
        weights = _first_that_can_be_used(body)
    if weights is None:
        body_data = load_body(OPEN_BODY if body is None else body)
        return LoadedModel(
            untrained_network(body_data, input_size), body_data, 'random weights', True
        )

    checkpoint = read_checkpoint(weights)
    if body is None:
        body = find_body(None, weights_folders()) if checkpoint.body == 'smpl' else OPEN_BODY
    body_data = load_body(body)
    network = MAHMR(checkpoint.config.with_input_size(input_size))
    load_state(network, checkpoint.state, str(weights))
    return LoadedModel(network, body_data, weights.name, False)


def _first_that_can_be_used(body: Path | None) -> Path | None:
    for folder in weights_folders():
        for name in OFFICIAL:
            if (folder / name).is_file():
                if body is not None or _has_smpl():
                    return folder / name
                logger.warning(
                    '%s is there, but SMPL is not: going on with the built-in default. Put '
                    "SMPL's files below weights/smpl_data/smpl (https://smpl.is.tue.mpg.de).",
                    folder / name,
                )
        if (folder / OPEN).is_file():
            return folder / OPEN
    return None


def _has_smpl() -> bool:
    try:
        find_body(None, weights_folders())
    except UserError:
        return False
    return True
