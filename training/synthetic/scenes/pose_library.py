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

"""The poses that people of scenes take, read once a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mahmr_model.errors import UserError
import numpy as np
from training.data.annotation import Floats, Ints
from training.synthetic.scenes.poses.limits import joint_bounds

POSE_LIBRARY = Path(__file__).with_name('pose_library.npz')


@dataclass(frozen=True)
class PoseLibrary:
    """N poses of the open body, facing +z of the body's own frame (y up)."""

    rotvecs: Floats
    """(N, 24, 3) axis-angles, the root's without heading."""
    lifts_m: Floats
    """(N,) how far the lowest point is off the ground: 0 but in jumps."""
    rows: dict[str, Ints]
    """Which poses each category has."""
    bounds: tuple[Floats, Floats]
    """(24, 3) each: the least and the most of an axis-angle that a joint allows."""


@lru_cache(maxsize=1)
def pose_library() -> PoseLibrary:
    """Return the library that the project ships."""
    return read_library(POSE_LIBRARY)


def read_library(path: Path) -> PoseLibrary:
    """Read a library that `python -m training.synthetic.scenes.poses` made."""
    try:
        with np.load(path, allow_pickle=False) as file:
            category, names = file['category'], file['category_names']
            rows = {str(n): np.flatnonzero(category == i) for i, n in enumerate(names)}
            return PoseLibrary(
                file['rotvecs'].astype(np.float64),
                file['lifts_m'].astype(np.float64),
                rows,
                joint_bounds(),
            )
    except Exception as error:  # a damaged archive can raise nearly anything
        raise UserError(
            f'{path} should hold a library of poses, but cannot be read '
            f'({type(error).__name__}: {error}); get it again, or make it by '
            '`python -m training.synthetic.scenes.poses`.'
        ) from error
