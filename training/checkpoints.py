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

"""Checkpoints of a run: Accelerate's whole state and where the run stands, whole or not at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
import json
import logging
import os
from pathlib import Path
from pickle import UnpicklingError
import shutil

from accelerate import Accelerator
from mahmr_model.errors import UserError
from safetensors import SafetensorError

logger = logging.getLogger(__name__)

CHECKPOINTS = 'checkpoints'
"""The folder of checkpoints below that of a run."""
PROGRESS = 'progress.json'
"""Written last: a folder that has it is a whole checkpoint."""
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    UnpicklingError,
    SafetensorError,
)
"""What a file that is damaged, or of another network, makes its readers raise."""
_PREFIX = 'checkpoint_'
_UNFINISHED = '.unfinished_'


@dataclass(frozen=True)
class Progress:
    """Where a run stands: what comes next."""

    epoch: int = 0
    step: int = 0
    """Steps done in that epoch."""
    total_steps: int = 0
    """Steps done since the beginning."""


def save_checkpoint(accelerator: Accelerator, folder: Path, progress: Progress) -> Path:
    """
    Write a checkpoint below `folder`; every process calls this.

    It is written under another name, brought to the disk and then renamed, so that whatever
    stops the run leaves either the whole checkpoint or none. Raises UserError where the disk is
    full.
    """
    final = folder / f'{_PREFIX}{progress.total_steps:08d}'
    temporary = folder / f'{_UNFINISHED}{final.name}'
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(temporary))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (temporary / PROGRESS).write_text(json.dumps(asdict(progress)) + '\n')
            for file in temporary.rglob('*'):
                _to_disk(file)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            _to_disk(folder)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk has all of these
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(
            f'{final}: the checkpoint cannot be written ({error}); free some space and go on '
            'with --resume from the one before.'
        ) from error
    accelerator.wait_for_everyone()
    return final


def find_checkpoint(folder: Path, wanted: str) -> Path:
    """
    Return the newest whole checkpoint below `folder`, or the one that is `wanted`.

    `wanted`: 'newest', a name below `folder`, or a path. Raises UserError where there is none.
    """
    if wanted == 'newest':
        whole = list_checkpoints(folder)
        if not whole:
            raise UserError(f'{folder}: there is no checkpoint to resume from; start without it.')
        return whole[-1]
    for path in (folder / wanted, Path(wanted)):
        if (path / PROGRESS).is_file():
            return path
    raise UserError(
        f'There is no whole checkpoint {wanted!r}; there are '
        f'{", ".join(path.name for path in list_checkpoints(folder)) or "none"} in {folder}.'
    )


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints below a folder, the oldest first."""
    return sorted(path.parent for path in folder.glob(f'{_PREFIX}*/{PROGRESS}'))


def load_checkpoint(accelerator: Accelerator, path: Path) -> Progress:
    """Bring everything that Accelerate holds back to a checkpoint; returns where it stood."""
    try:
        progress = Progress(**json.loads((path / PROGRESS).read_text()))
        accelerator.load_state(str(path))
    except _UNREADABLE as error:
        raise UserError(
            f'{path}: this checkpoint cannot be read, or is of another network ({error}); resume '
            'from another one by its name.'
        ) from error
    logger.info('resumed from %s', path)
    return progress


def _to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that a loss of power spares it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
