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

"""The trainer's command line, and what each mode does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
import errno
import gc
import logging
import sys
import warnings

from accelerate import Accelerator, DistributedDataParallelKwargs
from mahmr_model.body.data import load_body
from mahmr_model.errors import UserError
from mahmr_model.weights import load_model
import torch
from torch.utils.tensorboard import SummaryWriter
from training.checkpoints import CHECKPOINTS, find_checkpoint, list_checkpoints
from training.compiling import compile_parts
from training.config import config_names, load_config, RunConfig, STAGES
from training.data.dataset import Sample
from training.epoch_end import EpochEnd, WEIGHTS
from training.evaluator import Evaluator
from training.inference import infer
from training.recipe import build_model, MeshRecipe, run_body, starting_weights
from training.recorded import train_recorded
from training.run_data import example_samples, training_data
from training.trainer import Trainer

logger = logging.getLogger(__name__)

_EXAMPLES = """
examples:
  accelerate launch training/main.py --stage 3
  accelerate launch training/main.py --mode train --cfg 3dpw_ft training.batch_size=8
  accelerate launch training/main.py --stage 3 --resume
  accelerate launch training/main.py --mode eval --cfg eval_3dpw --vis 100
  accelerate launch training/main.py --mode infer --cfg demo pictures=my_folder
  torchrun --nproc_per_node 2 training/main.py --stage 3      (several processes on a CPU)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a mode; returns the exit code: 0, or 2 where something was wrong with the input."""
    options = _parser().parse_intermixed_args(arguments)
    if options.resume and '=' in options.resume:  # an override that follows a bare --resume
        options.overrides.insert(0, options.resume)
        options.resume = 'newest'
    accelerator = None
    try:
        config = _config(options)
        # Accelerate joins processes without accelerators only where it is told of the CPU.
        on_cpu = not torch.accelerator.is_available()
        accelerator = Accelerator(
            cpu=on_cpu,
            mixed_precision=config.mixed_precision,
            # Buffers are constants; nobody has to send them round at every step.
            kwargs_handlers=[
                DistributedDataParallelKwargs(
                    broadcast_buffers=False, gradient_as_bucket_view=True
                )
            ],
        )
        _set_up_log(accelerator)
        logger.info('processes: %d, on %s', accelerator.num_processes, accelerator.device)
        if options.mode == 'train':
            return train(config, accelerator, options.resume)
        return (
            evaluate(config, accelerator)
            if options.mode == 'eval'
            else _infer(config, accelerator)
        )
    except UserError as error:
        print(f'error: {_sentence(error)}', file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:  # TensorBoard's, whatever it was writing
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(  # noqa: T201
            f'error: {config.folder} cannot be written to ({error.strerror}); free some space, '
            'and go on with a training by --resume.',
            file=sys.stderr,
        )
        return 2
    finally:
        if accelerator is not None:
            end(accelerator)


def end(accelerator: Accelerator) -> None:
    """
    Part from the other processes, once nothing holds a model that was prepared with them.

    Where DistributedDataParallel is the last to let go of gloo's threads, it waits for them with
    Python's lock, and now and then one of them waits for that lock.
    """
    accelerator.free_memory()
    gc.collect()
    accelerator.end_training()


def train(config: RunConfig, accelerator: Accelerator, resume: str | None) -> int:
    """Train as configured, from the beginning or from a checkpoint."""
    config.check_training()
    folder = config.folder
    body_path = run_body(config)
    body = load_body(body_path)
    if config.training.recorded:
        weights = folder / WEIGHTS
        if resume or weights.is_file():
            raise UserError(
                'Recorded steps are not resumed'
                + (f', and {weights} is of another run' if weights.is_file() else '')
                + '; name another folder by out=FOLDER, and begin with weights by '
                'starts_from=[FILE].'
            )
        if accelerator.is_main_process:
            _save_config(config)
        try:
            return train_recorded(config, accelerator, body, body_path)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f'{torch.cuda.get_device_name(accelerator.device)} has too little memory for the '
                'scenes that are kept for further steps, about 2 MB each with its mirror image at '
                '392 pixels, and the steps beside them; lower data.kept_scenes, or '
                'training.batch_size.'
            ) from error
    checkpoint = find_checkpoint(folder / CHECKPOINTS, resume) if resume else None
    model = build_model(config, body)
    if config.training.compile and accelerator.device.type == 'cuda':
        compile_parts(model)
    evaluator = Evaluator(config, accelerator, body_path)
    if config.evaluation.every:
        evaluator.check(config.model)
    data = training_data(config, body_path)

    def examples(epoch: int) -> list[Sample]:
        data.set_epoch(epoch)
        most = config.evaluation.examples
        return example_samples(config, data, body_path, accelerator.device, most)

    epoch_end = EpochEnd(config, accelerator, model, body, examples, evaluator)
    trainer = Trainer(
        accelerator,
        config.training,
        model,
        MeshRecipe(config, accelerator, body),
        data,
        folder,
        workers=config.data.workers,
        skip_limit=config.data.skip_limit,
        after_epoch=epoch_end,
    )
    if checkpoint is not None:
        trainer.resume(checkpoint)
    elif list_checkpoints(trainer.checkpoints):
        raise UserError(
            f'{folder} holds the checkpoints of another run; go on with it by --resume, or name '
            'another folder by out=FOLDER.'
        )
    accelerator.wait_for_everyone()
    writer = None
    if accelerator.is_main_process:
        _save_config(config)
        writer = SummaryWriter(
            str(folder / 'tensorboard'), purge_step=trainer.progress.total_steps + 1
        )
    epoch_end.writer = writer
    try:
        trainer.run(writer)
    finally:
        if writer is not None:
            writer.close()
    return 0


def evaluate(config: RunConfig, accelerator: Accelerator) -> int:
    """Evaluate the weights that a configuration names."""
    if not config.data.evaluation:
        raise UserError(
            f'The configuration {config.name!r} names no data to evaluate on (data.evaluation).'
        )
    weights = starting_weights(config)
    body_path = run_body(config)
    model = load_model(weights, body_path)
    evaluator = Evaluator(config, accelerator, body_path)
    evaluator.check(model.network.config)
    writer = None
    if accelerator.is_main_process:
        _save_config(config)
        writer = SummaryWriter(str(config.folder / 'tensorboard'))
    evaluator(model, config.folder, writer=writer)
    if accelerator.is_main_process:
        print((config.folder / 'report.txt').read_text(), end='')  # noqa: T201
    if writer is not None:
        writer.close()
    return 0


def _infer(config: RunConfig, accelerator: Accelerator) -> int:
    weights = starting_weights(config)
    model = load_model(weights, None if config.body is None else run_body(config))
    if accelerator.is_main_process:
        _save_config(config)
    return 2 if infer(config, accelerator, model) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='training/main.py',
        description='Train, evaluate and run MA-HMR by the published configurations.',
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--mode', choices=('train', 'eval', 'infer'), default='train')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--stage', choices=tuple(STAGES), help='train this stage')
    what.add_argument(
        '--cfg', metavar='NAME', help=f'{", ".join(config_names())}; or the path of a YAML file'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='newest',
        metavar='CHECKPOINT',
        help='go on from the newest checkpoint of the run, or from a named one',
    )
    parser.add_argument(
        '--vis', type=int, metavar='N', help='save pictures of every N-th one that is evaluated'
    )
    parser.add_argument(
        'overrides', nargs='*', metavar='KEY=VALUE', help='any key, as training.batch_size=8'
    )
    return parser


def _config(options: argparse.Namespace) -> RunConfig:
    overrides = list(options.overrides)
    if options.vis is not None:
        overrides.append(f'evaluation.vis={options.vis}')
    if options.stage is not None and options.mode != 'train':
        raise UserError(f'--stage trains; for --mode {options.mode} name a --cfg.')
    return load_config(options.cfg or STAGES[options.stage], overrides)


def _sentence(error: UserError) -> str:
    """Return what an error says; a loader's worker puts its whole traceback before that."""
    return str(error).rpartition(f'{UserError.__module__}.{UserError.__qualname__}: ')[2].strip()


def _save_config(config: RunConfig) -> None:
    """Save the resolved configuration; say where it takes the place of another one."""
    path = config.folder / 'config.yaml'
    if path.is_file():
        try:
            before = load_config(str(path))
        except UserError as error:
            logger.warning('%s is damaged or of another version; it is replaced: %s', path, error)
        else:
            if replace(before, name=config.name) != config:
                logger.warning('%s was another configuration; it is replaced', path)
    config.save(path)


def _set_up_log(accelerator: Accelerator) -> None:
    level = logging.INFO if accelerator.is_main_process else logging.WARNING
    logging.basicConfig(
        format='%(asctime)s %(levelname)s %(message)s', level=logging.WARNING, stream=sys.stderr
    )
    logging.getLogger('training').setLevel(level)
    # It warns that the box heads, which have two names, are saved once.
    logging.getLogger('accelerate.utils').setLevel(logging.ERROR)
    logging.captureWarnings(True)
    # Newer versions of torch want another name for it, which older ones do not know.
    warnings.filterwarnings('ignore', message='`broadcast_buffers` is deprecated')
