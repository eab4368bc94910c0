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

"""The plain way of running the network: as it is written, and as it is trained."""

from __future__ import annotations

from collections.abc import Sequence

from mahmr_model.bodies import Body, pose_queries, PosedQueries
from mahmr_model.found import Found, InputPicture, NotFiniteError
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import MAHMR, NetworkOutput
from mahmr_model.preprocess import pad_and_normalise, resize
from mahmr_model.types import FloatArray, IntArray
import numpy as np
import torch
from torch import Tensor


class EagerBackend:
    """Runs the network itself, on any device, in automatic mixed precision if that is asked."""

    def __init__(self, network: MAHMR, body: Body, precision: torch.dtype) -> None:
        self.network = network
        self.body = body
        self.precision = precision

    def __call__(
        self,
        pictures: Sequence[InputPicture],
        threshold: float,
        scale_map: Tensor | None = None,
    ) -> list[Found]:
        """
        Find everybody in pictures of any sizes, in one pass.

        `scale_map` (N, 2) of the packed cells takes the place of the network's own.
        """
        with torch.inference_mode():
            output = self._run_network(pictures, scale_map)
            if output.coarse is not None and output.coarse.scale_logits.isnan().any():
                raise NotFiniteError('scale map')
            device = output.tokens.features.device
            lens = Lens.assumed(
                [picture.resized_hw for picture in pictures],
                self.network.config.input_size,
                output.fov_rad,
            ).to(device)
            if any(picture.camera for picture in pictures):
                known = [picture.known_lens() for picture in pictures]
                lens = lens.with_known(torch.tensor(known, device=device))
            last = output.layers[-1]
            picture, query = choose(
                last.confidence_logits.float().sigmoid().cpu().numpy(), threshold
            )
            posed = pose_queries(
                last,
                self.body,
                lens,
                self.network.config.input_size,
                torch.from_numpy(picture).to(device),
                torch.from_numpy(query).to(device),
            )
        arrays = {name: value.cpu().numpy() for name, value in vars(posed).items()}
        focal = lens.focal_xy_px.cpu().numpy()
        return [found_of(arrays, picture == i, focal[i]) for i in range(len(pictures))]

    def _run_network(
        self, pictures: Sequence[InputPicture], scale_map: Tensor | None
    ) -> NetworkOutput:
        config = self.network.config
        device = self.network.encoder_pos_embeds.device
        inputs = [
            pad_and_normalise(
                torch.from_numpy(resize(picture.image_rgb, config.input_size)).to(device),
                config.pad_multiple,
            )
            for picture in pictures
        ]
        half = self.precision != torch.float32
        with torch.autocast(device.type, self.precision, enabled=half):
            return self.network(inputs, scale_map=scale_map)


def choose(confidence: FloatArray, threshold: float) -> tuple[IntArray, IntArray]:
    """
    Return picture and query of everybody above the threshold, most confident first.

    confidence: (B, Q). Raises NotFiniteError.
    """
    if not np.isfinite(confidence).all():
        raise NotFiniteError('confidence')
    picture, query = np.nonzero(confidence > threshold)
    order = np.lexsort((-confidence[picture, query], picture))
    return picture[order], query[order]


def found_of(
    arrays: dict[str, np.ndarray], chosen: np.ndarray | slice, focal_xy_px: FloatArray
) -> Found:
    """Take one picture's people out of arrays (P, ...) with the names of `PosedQueries`."""
    names = [name for name in PosedQueries.__dataclass_fields__ if name != 'joints_px']
    return Found(**{name: arrays[name][chosen] for name in names}, focal_xy_px=focal_xy_px)
