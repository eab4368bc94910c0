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

"""The one public call: a picture (and its camera, where it is known) in, people in metres out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
import logging
from pathlib import Path
import threading
import time
from typing import Literal

from mahmr_model.bodies import repose
from mahmr_model.body.layer import BodyLayer
from mahmr_model.eager import EagerBackend
from mahmr_model.errors import UserError
from mahmr_model.fast.backend import FastBackend
from mahmr_model.found import Backend, Found, InputPicture, NotFiniteError
from mahmr_model.preprocess import as_rgb, resized_size
from mahmr_model.transfer import working_on
from mahmr_model.types import Camera, CameraSource, FloatArray, ImageArray, IntArray, People
from mahmr_model.weights import load_model, LoadedModel
import numpy as np
import torch

logger = logging.getLogger(__name__)

Precision = Literal['auto', 'float32', 'bfloat16', 'float16']
"""'auto': float16 on CUDA, which is near float32 in its numbers, float32 elsewhere."""
BackendName = Literal['auto', 'fast', 'eager']
"""'fast': `mahmr_model.fast`; 'eager': the network as written; 'auto': fast where it runs."""
DEFAULT_THRESHOLD = 0.3
"""The published threshold on the confidence."""
WARM_UP_TOKENS = 3072
"""What `warm_up` prepares for: pictures with more tokens wait once while more is prepared."""


class Predictor:
    """
    Finds every person in a picture; made by `Predictor.load`.

    Several threads may call it: one waits for the other.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: str = 'auto',
        precision: Precision = 'auto',
        confidence_threshold: float = DEFAULT_THRESHOLD,
        backend: BackendName = 'auto',
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision
        self.confidence_threshold = confidence_threshold
        self.weights_name = model.name
        self.untrained = model.untrained
        self.faces: IntArray = model.body.faces
        self.rest_vertices_m: FloatArray = model.body.v_template
        self.network = model.network.to(self.device).eval()
        self.body = BodyLayer(model.body, kid=self.network.config.shapes == 11).to(self.device)
        self._asked_backend = backend
        self._backend: EagerBackend | FastBackend | None = None
        self._other_way: Backend | None = None
        self._proven = False
        self._lock = threading.RLock()
        if backend == 'fast' and not self.network.config.adaptive:
            raise UserError(
                'The fast way is for networks of adaptive tokens, but this one has plain ones; '
                'use the backend auto or eager.'
            )

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        body: Path | None = None,
        *,
        device: str = 'auto',
        precision: Precision = 'auto',
        confidence_threshold: float = DEFAULT_THRESHOLD,
        input_size: int | None = None,
        backend: BackendName = 'auto',
    ) -> Predictor:
        """
        Load weights and body; `mahmr_model.weights.load_model` says what is used by default.

        device: 'auto' (CUDA where there is one), or a name that torch knows. input_size: the
        longer side in pixels that pictures are resized to, if not the one trained with; smaller
        is faster, and distant people are lost. Raises UserError.
        """
        return cls(
            load_model(weights, body, input_size),
            device=device,
            precision=precision,
            confidence_threshold=confidence_threshold,
            backend=backend,
        )

    def __call__(self, image_rgb: ImageArray, camera: Camera | None = None) -> People:
        """
        Find the people of one picture, uint8 (H, W, 3) RGB (grey and RGBA are converted).

        With `camera`, the true lens in the picture's own pixels, distances are right for that
        lens; without, the network estimates it. Raises UserError.
        """
        return self.predict_batch([image_rgb], [camera])[0]

    def repose(self, people: People) -> People:
        """Return people whose pose, shape or place was changed with joints and meshes of it."""
        return repose(people, self.body)

    def predict_batch(
        self, images_rgb: Sequence[ImageArray], cameras: Sequence[Camera | None]
    ) -> list[People]:
        """Do the same for several pictures, of any sizes; those of one size go together."""
        if len(images_rgb) != len(cameras):
            raise ValueError(f'{len(images_rgb)} pictures, but {len(cameras)} cameras or None')
        if not images_rgb:
            return []
        start = time.perf_counter()
        pictures = [
            self._prepare(image, camera) for image, camera in zip(images_rgb, cameras, strict=True)
        ]
        found = self._find(pictures)
        seconds = (time.perf_counter() - start) / len(pictures)
        return [
            self._people(picture, one, seconds)
            for picture, one in zip(pictures, found, strict=True)
        ]

    def stream(self, pictures: Iterable[tuple[ImageArray, Camera | None]]) -> Iterator[People]:
        """
        Find the people of one picture after the other, each with its lens or None.

        On CUDA the next picture is taken and begun before the last one's people are there: more
        pictures a second, each as many seconds after it was taken as by a call. Meanwhile calls
        of other threads wait. A picture has to stay as it is until its people are there; what is
        wrong with one is raised after the people of those before it.
        """
        waiting: deque[InputPicture] = deque()
        failed: list[Exception] = []

        def prepared() -> Iterator[InputPicture]:
            try:
                for image, camera in pictures:
                    waiting.append(self._prepare(image, camera))
                    yield waiting[-1]
            except Exception as error:
                failed.append(error)

        source = prepared()
        start = time.perf_counter()
        for picture in source:  # the first one shows what works here
            yield self._people(picture, self._find([picture])[0], time.perf_counter() - start)
            waiting.clear()
            break
        backend = self.running_backend
        if isinstance(backend, FastBackend) and backend.ahead and self._other_way is None:
            ahead = backend.stream(source, self.confidence_threshold)
            start = time.perf_counter()
            with suppress(NotFiniteError):  # then the plain calls below find another way
                while (found := self._next(ahead)) is not None and not found.not_finite():
                    yield self._people(waiting.popleft(), found, time.perf_counter() - start)
                    start = time.perf_counter()
        while waiting or next(source, None) is not None:
            start = time.perf_counter()
            picture = waiting.popleft()
            yield self._people(picture, self._find([picture])[0], time.perf_counter() - start)
        if failed:
            raise failed[0]

    def warm_up(
        self,
        height: int,
        width: int,
        batch: int = 1,
        say: Callable[[str], None] = logger.info,
        most_tokens: int = WARM_UP_TOKENS,
    ) -> None:
        """
        Prepare for pictures of a size, so that the first of them need not wait.

        On CUDA this captures the graphs of every number of tokens up to `most_tokens` (for each
        picture of the batch), a fraction of a second each, and `say` is told about each.
        Everything else is prepared by running the network once on a black picture.
        """
        black = np.zeros((height, width, 3), np.uint8)
        self.predict_batch([black] * batch, [None] * batch)
        if isinstance(self._backend, FastBackend) and self.device.type == 'cuda':
            with self._alone():
                self._backend.warm_up(batch, height, width, say, most_tokens)

    def _prepare(self, image_rgb: ImageArray, camera: Camera | None) -> InputPicture:
        image = as_rgb(image_rgb)
        height, width = image.shape[:2]
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise UserError(
                f'The camera is of a picture of {camera.width}×{camera.height} pixels, but this '
                f'one has {width}×{height}; bring the camera to its size (Camera.resized).'
            )
        return InputPicture(
            image, resized_size(height, width, self.network.config.input_size), camera
        )

    def _find(self, pictures: Sequence[InputPicture]) -> list[Found]:
        """Run the network, on the way that was asked for or, by itself, on one that works."""
        with self._alone():
            return self._find_alone(pictures)

    def _find_alone(self, pictures: Sequence[InputPicture]) -> list[Found]:
        try:
            return self._run(pictures)
        except NotFiniteError as error:
            if self.precision != 'auto' or self.used_precision == 'float32':
                raise UserError(
                    f'The network ({self.weights_name}, {self.used_precision}) gave numbers that '
                    f'are not finite ({error}); use sound weights, and precision float32.'
                ) from error
            logger.warning(
                '%s gives numbers that are not finite with these weights: going on in float32.',
                self.used_precision,
            )
            self.precision = 'float32'
        except RuntimeError as error:
            unproven = isinstance(self._backend, FastBackend) and not self._proven
            if self._asked_backend != 'auto' or not unproven or 'out of memory' in str(error):
                raise
            logger.warning(
                'The fast way does not work here (%s): going on with the plain one.',
                str(error).strip().partition('\n')[0],
            )
            self._asked_backend = 'eager'
        self._backend = None
        return self._find_alone(pictures)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out: the fast way works in memory that all its calls share."""
        with self._lock, working_on(self.device):
            yield

    def _next(self, ahead: Iterator[Found]) -> Found | None:
        with self._alone():
            return next(ahead, None)

    def _run(self, pictures: Sequence[InputPicture]) -> list[Found]:
        found = (self._other_way or self.running_backend)(pictures, self.confidence_threshold)
        bad = sorted({name for one in found for name in one.not_finite()})
        if bad:
            raise NotFiniteError(', '.join(bad))
        self._proven = True
        return found

    def use(self, backend: Backend) -> None:
        """Run the network in another way from now on; whoever gives one answers for it."""
        self._other_way = backend

    @property
    def used_precision(self) -> str:
        """Return the precision that 'auto' stands for here, or the one that was asked for."""
        if self.precision != 'auto':
            return self.precision
        return 'float16' if self.device.type == 'cuda' else 'float32'

    @property
    def running_backend(self) -> EagerBackend | FastBackend:
        """Return what runs the network; made of the weights as they are at its first use."""
        with self._alone():
            if self._backend is None:
                fast = self._asked_backend != 'eager' and self.network.config.adaptive
                kind = FastBackend if fast else EagerBackend
                dtype = getattr(torch, self.used_precision)
                self._backend = kind(self.network, self.body, dtype)
            return self._backend

    def _people(self, picture: InputPicture, found: Found, inference_s: float) -> People:
        """Bring what the network says of one picture to that picture's own pixels."""
        found = found.without_duplicates(self.network.config.overlap_threshold)
        height, width = picture.resized_hw
        own_height, own_width = picture.image_rgb.shape[:2]
        camera = picture.camera
        if camera is None:
            fx, fy = (float(focal) for focal in found.focal_xy_px)
            camera = Camera(fx, fy, width / 2, height / 2, width, height)
            camera = camera.resized(own_width, own_height)
        to_pixels = np.tile((own_width / width, own_height / height), 2)
        to_pixels *= self.network.config.input_size  # boxes are relative to S
        centre, size = np.split(found.boxes_cxcywh_norm, 2, axis=1)
        corners = np.hstack([centre - size / 2, centre + size / 2])
        joints = found.joints_camera_m
        return People(
            confidence=found.confidence,
            boxes_xyxy_px=(corners * to_pixels).astype(np.float32),
            pose_axis_angle=found.pose_axis_angle,
            betas=found.betas,
            translation_m=found.translation_m,
            joints_camera_m=joints,
            joints_px=camera.project(joints),
            vertices_camera_m=found.vertices_camera_m,
            height_m=found.height_m,
            faces=self.faces,
            camera=camera,
            camera_source=self._camera_source(picture),
            untrained=self.untrained,
            inference_s=inference_s,
        )

    def _camera_source(self, picture: InputPicture) -> CameraSource:
        if picture.camera is not None:
            return 'given'
        return 'estimated' if self.network.config.camera_branch else 'assumed'


def choose_device(name: str) -> torch.device:
    """Return the device of that name ('auto' is CUDA where there is one); raises UserError."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise UserError(
            f'The device {name!r} cannot be used here ({reason}); auto takes CUDA where it works, '
            'else the processor.'
        ) from error
    return device
