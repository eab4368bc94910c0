"""The one public call: a picture (and its camera, where it is known) in, people in metres out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import time
from typing import Literal

import numpy as np
import torch

from mahmr_model.bodies import pose_queries, repose
from mahmr_model.body.layer import BodyLayer
from mahmr_model.errors import UserError
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction, NetworkOutput
from mahmr_model.preprocess import as_rgb, pad_and_normalise, resize
from mahmr_model.types import Camera, CameraSource, FloatArray, ImageArray, IntArray, People
from mahmr_model.weights import load_model, LoadedModel

Precision = Literal['float32', 'bfloat16', 'float16']
DEFAULT_THRESHOLD = 0.3
"""The published threshold on the confidence."""


@dataclass(frozen=True)
class _Picture:
    """A picture on its way through the network."""

    resized_rgb: ImageArray
    width: int
    height: int
    camera: Camera | None
    """The lens that was given, in the picture's own pixels."""

    @property
    def resized_hw(self) -> tuple[int, int]:
        return self.resized_rgb.shape[0], self.resized_rgb.shape[1]

    @property
    def resized_camera(self) -> Camera | None:
        height, width = self.resized_hw
        return None if self.camera is None else self.camera.resized(width, height)


class Predictor:
    """Finds every person in a picture; made by `Predictor.load`."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        device: str = 'auto',
        precision: Precision = 'float32',
        confidence_threshold: float = DEFAULT_THRESHOLD,
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision
        self.confidence_threshold = confidence_threshold
        self.weights_name = model.name
        self.body_name = model.body.name
        self.untrained = model.untrained
        self.faces: IntArray = model.body.faces
        self.rest_vertices_m: FloatArray = model.body.v_template
        self.network = model.network.to(self.device).eval()
        self.body = BodyLayer(model.body, kid=self.network.config.shapes == 11).to(self.device)

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        body: Path | None = None,
        *,
        device: str = 'auto',
        precision: Precision = 'float32',
        confidence_threshold: float = DEFAULT_THRESHOLD,
        input_size: int | None = None,
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
        """Do the same for several pictures, of any sizes, in one pass through the network."""
        if len(images_rgb) != len(cameras):
            raise ValueError(f'{len(images_rgb)} pictures, but {len(cameras)} cameras or None')
        if not images_rgb:
            return []
        start = time.perf_counter()
        pictures = [
            self._prepare(image, camera) for image, camera in zip(images_rgb, cameras, strict=True)
        ]
        with torch.inference_mode():
            output = self._run_network(pictures)
            lens = self._lens(output, pictures)
            picture, query = self._choose(output.layers[-1])
            posed = pose_queries(
                output.layers[-1],
                self.body,
                lens,
                self.network.config.input_size,
                torch.from_numpy(picture).to(self.device),
                torch.from_numpy(query).to(self.device),
            )
            heights = self.body.heights(posed.betas)
        arrays = {name: value.cpu().numpy() for name, value in vars(posed).items()}
        arrays['height_m'] = heights.cpu().numpy()
        self._require_finite(arrays)
        focal_px = lens.focal_xy_px.cpu().numpy()
        seconds = (time.perf_counter() - start) / len(pictures)
        return [
            self._people(
                one,
                focal_px[index],
                {name: value[picture == index] for name, value in arrays.items()},
                seconds,
            )
            for index, one in enumerate(pictures)
        ]

    def _prepare(self, image_rgb: ImageArray, camera: Camera | None) -> _Picture:
        image = as_rgb(image_rgb)
        height, width = image.shape[:2]
        if camera is not None and (camera.width, camera.height) != (width, height):
            raise UserError(
                f'The camera is of a picture of {camera.width}×{camera.height} pixels, but this '
                f'one has {width}×{height}; bring the camera to its size (Camera.resized).'
            )
        return _Picture(resize(image, self.network.config.input_size), width, height, camera)

    def _run_network(self, pictures: Sequence[_Picture]) -> NetworkOutput:
        inputs = [
            pad_and_normalise(
                torch.from_numpy(picture.resized_rgb).to(self.device),
                self.network.config.pad_multiple,
            )
            for picture in pictures
        ]
        half = self.precision != 'float32'
        with torch.autocast(self.device.type, getattr(torch, self.precision), enabled=half):
            return self.network(inputs)

    def _lens(self, output: NetworkOutput, pictures: Sequence[_Picture]) -> Lens:
        """Take the lens that was given with a picture, otherwise the network's, else 60°."""
        assumed = Lens.assumed(
            [picture.resized_hw for picture in pictures],
            self.network.config.input_size,
            output.fov_rad,
        ).to(self.device)
        given = [picture.resized_camera for picture in pictures]
        if not any(given):
            return assumed
        known = torch.tensor(
            [[torch.nan] * 4 if c is None else [c.fx, c.fy, c.cx, c.cy] for c in given],
            device=self.device,
        )
        focal, centre = known[:, :2], known[:, 2:]
        return Lens(
            torch.where(focal.isnan(), assumed.focal_xy_px, focal),
            torch.where(centre.isnan(), assumed.centre_xy_px, centre),
            assumed.assumed_centre_xy_px,
        )

    def _choose(self, prediction: LayerPrediction) -> tuple[IntArray, IntArray]:
        """Return picture and query of everybody above the threshold, most confident first."""
        confidence = prediction.confidence_logits.float().sigmoid().cpu().numpy()
        self._require_finite({'confidence': confidence})
        picture, query = np.nonzero(confidence > self.confidence_threshold)
        order = np.lexsort((-confidence[picture, query], picture))
        return picture[order], query[order]

    def _require_finite(self, arrays: dict[str, np.ndarray]) -> None:
        bad = [name for name, value in arrays.items() if not np.isfinite(value).all()]
        if bad:
            raise UserError(
                f'The network ({self.weights_name}, {self.precision}) gave numbers that are not '
                f'finite ({", ".join(bad)}); use sound weights, and precision float32.'
            )

    def _people(
        self,
        picture: _Picture,
        focal_xy_px: FloatArray,
        arrays: dict[str, np.ndarray],
        inference_s: float,
    ) -> People:
        """Bring what the network says of one picture to that picture's own pixels."""
        height, width = picture.resized_hw
        camera = picture.camera
        if camera is None:
            fx, fy = (float(focal) for focal in focal_xy_px)
            camera = Camera(fx, fy, width / 2, height / 2, width, height)
            camera = camera.resized(picture.width, picture.height)
        to_pixels = np.tile((picture.width / width, picture.height / height), 2)
        to_pixels *= self.network.config.input_size  # boxes are relative to S
        centre, size = np.split(arrays['boxes_cxcywh_norm'], 2, axis=1)
        corners = np.hstack([centre - size / 2, centre + size / 2])
        joints = arrays['joints_camera_m']
        return People(
            confidence=arrays['confidence'],
            boxes_xyxy_px=(corners * to_pixels).astype(np.float32),
            pose_axis_angle=arrays['pose_axis_angle'],
            betas=arrays['betas'],
            translation_m=arrays['translation_m'],
            joints_camera_m=joints,
            joints_px=camera.project(joints),
            vertices_camera_m=arrays['vertices_camera_m'],
            height_m=arrays['height_m'],
            faces=self.faces,
            camera=camera,
            camera_source=self._camera_source(picture),
            untrained=self.untrained,
            inference_s=inference_s,
        )

    def _camera_source(self, picture: _Picture) -> CameraSource:
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
            f'The device {name!r} cannot be used here ({reason}); use auto, cpu or cuda.'
        ) from error
    return device
