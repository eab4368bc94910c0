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

"""Evaluation by the published protocols, on one process or many, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from mahmr_model.body.data import BodyData, load_body
from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.files import written_beside
from mahmr_model.pictures import write_picture
from mahmr_model.predictor import Predictor
from mahmr_model.render import draw_panel
from mahmr_model.results import ARRAYS
from mahmr_model.types import ImageArray, People
from mahmr_model.weights import LoadedModel
import numpy as np
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm
from training.config import DataSource, RunConfig, SCENES
from training.data.dataset import SkipCounter
from training.metrics.agora_submission import AgoraSubmission
from training.metrics.meshes import Agora, H36MJoints
from training.metrics.mupots import Mupots
from training.metrics.panoptic import Panoptic
from training.metrics.protocol import Protocol
from training.metrics.relative_human import RelativeHuman
from training.metrics.scenes import Scenes
from training.metrics.types import PredictedPeople
from training.run_data import (
    evaluation_data,
    EvaluationPicture,
    held_out_pictures,
    is_agora_test,
    RenderedScenes,
)
from training.sampling import worker_options

REPORT = 'report.json'
METRICS = 'metrics.json'
"""The numbers of the held-out scenes alone: what lies beside the open weights."""
Measures = dict[str, float]
AnyProtocol = Protocol[Any, Any]


def _needed(body: BodyData, name: str) -> Any:
    values = getattr(body, name)
    if values is None:
        raise UserError(
            f'This evaluation needs {name}, which the body {body.name} lacks; put its file '
            '(J_regressor_h36m_correct.npy, J_regressor_extra.npy, body_verts_smpl.npy) beside '
            "SMPL's."
        )
    return values


_PROTOCOLS: Mapping[str, Callable[[BodyData, Sequence[float]], AnyProtocol]] = {
    'agora': lambda body, t: Agora(_needed(body, 'body_vertex_ids'), t),
    'bedlam': lambda body, t: Agora(_needed(body, 'body_vertex_ids'), t),
    '3dpw': lambda body, t: H36MJoints(_needed(body, 'h36m_regressor'), t),
    'hi4d': lambda body, t: H36MJoints(_needed(body, 'h36m_regressor'), t),
    'panoptic': lambda body, t: Panoptic(_needed(body, 'h36m_regressor'), t),
    'mupots': lambda body, t: Mupots(_needed(body, 'h36m_regressor'), t),
    'rh': lambda body, t: RelativeHuman(_needed(body, 'extra_regressor'), t),
    SCENES: lambda body, t: Scenes(t),
}


def protocol_of(source: DataSource, body: BodyData, thresholds: Sequence[float]) -> AnyProtocol:
    """Return how a data set is measured; AGORA's test split is only predicted."""
    if is_agora_test(source):
        return AgoraSubmission(thresholds)
    if source.name not in _PROTOCOLS:
        raise UserError(
            f'The dataset {source.name} has no protocol of evaluation; those with one are '
            f'{", ".join(_PROTOCOLS)}.'
        )
    return _PROTOCOLS[source.name](body, thresholds)


class Evaluator:
    """
    Evaluates a network on the data sets of a run's configuration.

    Every process takes every P-th picture; what they measured is gathered by picture in the main
    process, so that nothing counts twice and the numbers are those of a single process.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, body_path: Path) -> None:
        """Take a run's settings and its body, as `load_body` finds it."""
        self._config, self._accelerator = config, accelerator
        self._body_path = body_path
        self._body = load_body(body_path)

    def __call__(
        self,
        model: LoadedModel,
        folder: Path,
        *,
        writer: SummaryWriter | None = None,
        step: int = 0,
    ) -> dict[str, Measures]:
        """
        Measure a network; every process calls this, the main one gets the numbers, others {}.

        `folder` gets report.json, report.txt and, as configured, pictures. The network is left in
        evaluation mode. Raises UserError where data is missing or more than a few pictures of it
        are broken.
        """
        results: dict[str, Measures] = {}
        text = ''
        for source in self._config.data.evaluation:
            name = f'{source.name}_{source.split}'
            protocol, skipped = self._measure(model, source, folder / 'pictures' / name)
            if not self._accelerator.is_main_process:
                continue
            results[name] = protocol.result() | {'skipped_pictures': skipped}
            text += f'{name} ({skipped} pictures skipped)\n{protocol.table()}\n'
            text += _further_reports(protocol, folder, name)
            if writer is not None:
                for measure, value in results[name].items():
                    writer.add_scalar(f'evaluation_{name}/{measure}', value, step)
                writer.add_text(f'evaluation/{name}', f'<pre>{protocol.table()}</pre>', step)
        if self._accelerator.is_main_process:
            _write_text(folder / 'report.txt', text)
            _write_text(folder / REPORT, json.dumps(results, indent=1) + '\n')
        self._accelerator.wait_for_everyone()
        return results

    def check(self, sizes: ModelConfig) -> None:
        """Raise UserError now where an evaluation could not be made later."""
        for source in self._config.data.evaluation:
            protocol_of(source, self._body, self._config.evaluation.thresholds)
            if source.name == SCENES:
                self._held_out(source, sizes)
            else:
                evaluation_data(self._config, source, self._body_path, sizes)

    def _held_out(self, source: DataSource, sizes: ModelConfig) -> RenderedScenes:
        return held_out_pictures(
            self._config, source, self._body_path, sizes, self._accelerator.device
        )

    def _measure(
        self, model: LoadedModel, source: DataSource, folder: Path
    ) -> tuple[AnyProtocol, int]:
        """Return what was measured, and how many pictures could not be."""
        settings = self._config.evaluation
        protocol = protocol_of(source, self._body, settings.thresholds)
        predictor = Predictor(
            model,
            device=str(self._accelerator.device),
            precision=settings.precision,
            confidence_threshold=protocol.needed_above,
        )
        skips = SkipCounter(self._config.data.skip_limit)
        for batch in self._batches(model, source):
            broken = [picture for picture in batch if isinstance(picture, str)]
            skips.add(broken)
            whole = [picture for picture in batch if not isinstance(picture, str)]
            found = predictor.predict_batch([p.image_rgb for p in whole], [None] * len(whole))
            for picture, people in zip(whole, found, strict=True):
                original = in_original_pixels(people, picture.original_hw)
                protocol.update(
                    picture.index, PredictedPeople.from_people(original), picture.truth
                )
                if settings.vis and picture.index % settings.vis == 0:
                    shown = above(people, min(settings.thresholds))
                    _save_panel(folder / f'{picture.index:06d}.jpg', picture.image_rgb, shown)
        for records in gather_object([protocol.records]):
            protocol.merge(records)
        skipped = len(gather_object(skips.reasons))
        if not protocol.records:
            raise UserError(
                f'The dataset {source.name} ({source.split}) should have pictures to evaluate on, '
                f'but none of its {skipped} is usable; check its files.'
            )
        return protocol, skipped

    def _batches(
        self, model: LoadedModel, source: DataSource
    ) -> Iterator[list[EvaluationPicture | str]]:
        """Yield this process's share of a data set."""
        first, processes = self._accelerator.process_index, self._accelerator.num_processes
        if source.name == SCENES:
            scenes = self._held_out(source, model.network.config)
            yield from scenes.batches(first, processes, self._config.evaluation.batch_size)
            return
        data = evaluation_data(self._config, source, self._body_path, model.network.config)
        loader: DataLoader[Any] = DataLoader(
            data,  # type: ignore[arg-type]
            batch_size=self._config.evaluation.batch_size,
            sampler=range(first, len(data), processes),
            collate_fn=list,
            **worker_options(self._config.data.workers),
        )
        yield from tqdm(
            loader,
            desc=f'{source.name} {source.split}',
            unit='batch',
            leave=False,
            disable=None if self._accelerator.is_main_process else True,
        )


def in_original_pixels(people: People, original_hw: tuple[int, int]) -> People:
    """Bring people found in a resized picture to the pixels that its data set has it in."""
    height, width = original_hw
    camera = people.camera.resized(width, height)
    rate = np.tile((width / people.camera.width, height / people.camera.height), 2)
    return replace(
        people,
        camera=camera,
        joints_px=camera.project(people.joints_camera_m),
        boxes_xyxy_px=(people.boxes_xyxy_px * rate).astype(np.float32),
    )


def above(people: People, threshold: float) -> People:
    """Return the people whose confidence is above a threshold."""
    kept = people.confidence > threshold
    return replace(people, **{name: getattr(people, name)[kept] for name in ARRAYS})


def _further_reports(protocol: AnyProtocol, folder: Path, name: str) -> str:
    """Return what a protocol reports in its published form; AGORA's zip goes to a file."""
    if isinstance(protocol, RelativeHuman):
        return '\n'.join(protocol.report(t) for t in protocol.thresholds) + '\n'
    if isinstance(protocol, Scenes):
        _write_text(folder / METRICS, json.dumps(protocol.result(), indent=1) + '\n')
    if isinstance(protocol, AgoraSubmission):
        for threshold in protocol.thresholds:
            protocol.write(folder / f'{name}_{threshold:g}.zip', threshold)
    return ''


def _save_panel(path: Path, image_rgb: ImageArray, people: People) -> None:
    with written_beside(path) as temporary:
        write_picture(temporary, draw_panel(image_rgb, people))


def _write_text(path: Path, text: str) -> None:
    with written_beside(path) as temporary:
        temporary.write_text(text)
