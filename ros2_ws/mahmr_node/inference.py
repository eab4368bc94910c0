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

"""The predictor as the node uses it: shared by all cameras, and safe against its faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import gc
from pathlib import Path
import threading
from typing import Any, Protocol, TYPE_CHECKING

from mahmr_model.errors import UserError
from mahmr_model.types import Camera, FloatArray, ImageArray, IntArray, People
from mahmr_node.gpu import give_memory_back, give_workspaces_back
import numpy as np

if TYPE_CHECKING:
    from mahmr_node.parameters import Settings


class PredictorLike(Protocol):
    """What the node needs of `mahmr_model.predictor.Predictor`."""

    confidence_threshold: float

    @property
    def weights_name(self) -> str:
        """Return what the weights are called, for the log."""

    @property
    def untrained(self) -> bool:
        """Whether the weights are random."""

    @property
    def device(self) -> object:
        """Where the network is: a torch.device, or its name."""

    @property
    def faces(self) -> IntArray:
        """(F, 3) triangles of the mesh."""

    @property
    def rest_vertices_m(self) -> FloatArray:
        """(V, 3) its vertices in the body at rest, metres."""

    def predict_batch(
        self, images_rgb: Sequence[ImageArray], cameras: Sequence[Camera | None]
    ) -> list[People]:
        """Return the people of each picture."""

    def repose(self, people: People) -> People:
        """Return people whose pose, shape or place was changed with joints and meshes of it."""


LoadPredictor = Callable[['Settings'], PredictorLike]


def load_predictor(settings: Settings) -> PredictorLike:
    """
    Load the network that the parameters ask for; torch is imported here and not before.

    :raises UserError: where a file is missing, broken, or does not fit.
    """
    from mahmr_model.predictor import Predictor

    options: dict[str, Any] = {'device': settings.device, 'precision': settings.precision}
    if settings.input_size:
        options['input_size'] = settings.input_size
    predictor = Predictor.load(
        Path(settings.weights) if settings.weights else None,
        Path(settings.body) if settings.body else None,
        confidence_threshold=settings.confidence_threshold,
        **options,
    )
    if settings.warm_up_width:
        # Cameras that wait together are one batch.
        for batch in range(1, len(settings.cameras) + 1):
            predictor.warm_up(settings.warm_up_height, settings.warm_up_width, batch)
    return predictor


class Inference:
    """One predictor in memory; pictures of all cameras go through it, one batch at a time."""

    def __init__(self, predictor: PredictorLike) -> None:
        """Take over the predictor: no one else may keep it, or `close` cannot free it."""
        self._predictor: PredictorLike | None = predictor
        self._busy = threading.Lock()
        self._freeing: threading.Thread | None = None

    def run(
        self,
        images_rgb: Sequence[ImageArray],
        cameras: Sequence[Camera | None],
        confidence_threshold: float,
    ) -> list[People | Exception]:
        """
        Return the people of each picture, or what went wrong with it.

        Where a batch fails its pictures are tried one by one: the fault of one camera's picture,
        or too little memory for all of them together, takes nothing from the others.
        """
        with self._busy:
            if self._predictor is None:
                return [UserError('The network was unloaded before this picture.')] * len(cameras)
            self._predictor.confidence_threshold = confidence_threshold
            try:
                results = self._predictor.predict_batch(images_rgb, cameras)
            except Exception as error:
                lacks_memory = _is_lack_of_memory(error)
                if len(images_rgb) == 1:
                    return [_lack_of_memory(error) if lacks_memory else error]
            else:
                return [_without_nan(people) for people in results]
        if lacks_memory:
            # Only here, where the fault and with it the tensors of the batch are gone.
            gc.collect()
            give_memory_back()
        parts = zip(images_rgb, cameras, strict=True)
        return [self.run([i], [c], confidence_threshold)[0] for i, c in parts]

    def repose(self, people: People) -> People:
        """Return changed people with joints and meshes of their pose, shape and place."""
        with self._busy:
            if self._predictor is None:
                raise UserError('The network was unloaded before these people were smoothed.')
            return self._predictor.repose(people)

    def close(self) -> None:
        """Give the predictor's memory back, after the pictures that are in it right now."""
        if self._busy.acquire(blocking=False):
            self._busy.release()
            self._free()
        else:
            # The caller answers a lifecycle service, which must not wait for the network.
            self._freeing = threading.Thread(target=self._free, daemon=True)
            self._freeing.start()

    def wait_until_freed(self) -> None:
        """Wait, once it is closed, until the predictor's memory has been given back."""
        if self._freeing is not None:
            self._freeing.join()

    def _free(self) -> None:
        with self._busy:
            self._predictor = None
            gc.collect()
            give_workspaces_back()  # a process has one network, and it is gone
            give_memory_back()


def _is_lack_of_memory(error: Exception) -> bool:
    # torch.OutOfMemoryError is of GPUs; on a CPU torch raises a RuntimeError.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {'MemoryError', 'OutOfMemoryError'}) or 'allocate memory' in str(error)


def _lack_of_memory(error: Exception) -> UserError:
    said = str(error).partition('\n')[0]
    return UserError(
        f'There is not enough memory for this picture ({said}); choose a smaller `input_size` or '
        'half `precision`, use fewer cameras, or end what else runs on this device.'
    )


def _without_nan(people: People) -> People | Exception:
    numbers = (
        people.vertices_camera_m,
        people.joints_camera_m,
        people.joints_px,
        people.pose_axis_angle,
        people.betas,
    )
    if all(np.isfinite(array).all() for array in numbers):
        return people
    return UserError(
        'The network gave numbers that are not finite for this picture, which is left out; if '
        'this happens often, try another `precision` or other weights.'
    )
