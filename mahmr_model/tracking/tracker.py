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

"""Identities over time, from metric positions and boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

from mahmr_model.tracking.motion import Motion, MotionConfig
from mahmr_model.tracking.pace import Pace
from mahmr_model.types import Camera, FloatArray, People
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

_Array = npt.NDArray[np.float64]
_FORBIDDEN = 1e6


@dataclass(frozen=True)
class TrackerConfig:
    """When two sightings are of the same person; chosen on the clips of docs/tracking.md."""

    lost_s: float = 1.5
    """An identity not seen for longer than this is given up: occlusions of a second survive."""
    lost_pictures: float = 2.5
    """The same in pictures, for networks so slow that few of them fit into `lost_s`."""
    jump_s: float = 3.0
    """A gap longer than this between two pictures starts all over, like a jump back does..."""
    jump_pictures: float = 5.0
    """...if it is also longer than so many usual gaps: a slow network is no jump."""
    newcomers_m3: float = 0.005
    """Density of newcomers (and of errors) in a picture: what is less likely somebody known than
    this is somebody new. One in ten pictures, over twenty cubic metres."""
    room_m3: float = 50.0
    """Where somebody can be who was not seen for long: no density is taken as less than its."""
    box_weight: float = 4.0
    """What boxes without overlap cost, in the same unit."""
    motion: MotionConfig = field(default_factory=MotionConfig)


@dataclass
class _Track:
    """One identity: where it is, as far as is known, and its box when last seen."""

    identity: int
    motion: Motion
    box_xyxy_px: FloatArray
    box_of_m: _Array
    """(3,) the position that belongs to the box."""
    seen_s: float


class Tracker:
    """
    Gives people the identities they had in the pictures before.

    Each track is a Kalman filter; sightings are assigned to tracks by the Hungarian method over
    the likelihood of their positions (of which depth may err more) and the overlap of boxes.
    Identities count from 1 and are not given twice until a reset.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._pace = Pace()
        self.reset()

    def reset(self) -> None:
        """Forget everybody; identities begin at 1 again."""
        self._tracks: list[_Track] = []
        self._next = 1

    def update(self, people: People, stamp_s: float) -> People:
        """
        Return the people of a picture taken at `stamp_s` with their identities.

        A stamp before the last one (a recording that starts again) or much later than usual
        after it (`jump_s`, `jump_pictures`) resets the tracker first.
        """
        self._move_to(stamp_s)
        ids = np.zeros(len(people), np.int64)
        positions_m = people.root_m.astype(np.float64)
        for track, i in self._assign(positions_m, people.boxes_xyxy_px, people.camera):
            ids[i] = track.identity
            track.motion = track.motion.seen_at(positions_m[i], self._config.motion)
            track.box_xyxy_px, track.seen_s = people.boxes_xyxy_px[i], stamp_s
            track.box_of_m = positions_m[i]
        for i in (ids == 0).nonzero()[0].tolist():
            ids[i] = self._next
            self._next += 1
            if np.isfinite(positions_m[i]).all():
                motion = Motion.started(positions_m[i], self._config.motion)
                box = people.boxes_xyxy_px[i]
                self._tracks.append(_Track(int(ids[i]), motion, box, positions_m[i], stamp_s))
        return people.with_ids(ids)

    def _move_to(self, stamp_s: float) -> None:
        """Bring all tracks to the time of a picture, and drop those that are lost by then."""
        config = self._config
        gap_s, usual_s = self._pace.step(stamp_s)
        if gap_s < 0 or gap_s > max(config.jump_s, config.jump_pictures * usual_s):
            self.reset()
        lost_s = max(config.lost_s, config.lost_pictures * usual_s)
        self._tracks = [t for t in self._tracks if stamp_s - t.seen_s <= lost_s]
        for track in self._tracks:
            track.motion = track.motion.after(gap_s, config.motion)

    def _assign(
        self, positions_m: _Array, boxes: FloatArray, camera: Camera
    ) -> list[tuple[_Track, int]]:
        """Pair tracks with people (N, 3) so that the sum of costs is smallest."""
        if not self._tracks or not len(positions_m):
            return []
        surprises = [t.motion.surprise(positions_m, self._config.motion) for t in self._tracks]
        # Minus twice the logarithms of Gaussian densities a cubic metre.
        distance = np.stack([distances for distances, _ in surprises])
        expected = np.stack([_moved_box(t, camera) for t in self._tracks])
        volumes = np.array([[volume] for _, volume in surprises]) + 3 * np.log(2 * np.pi)
        cost = distance + np.minimum(volumes, 2 * np.log(self._config.room_m3))
        allowed = cost <= -2 * np.log(self._config.newcomers_m3)
        cost += self._config.box_weight * (1 - _overlap(expected, boxes))
        rows, columns = linear_sum_assignment(np.where(allowed, cost, _FORBIDDEN))
        pairs = zip(rows, columns, strict=True)
        return [(self._tracks[row], int(i)) for row, i in pairs if allowed[row, i]]


def _moved_box(track: _Track, camera: Camera) -> FloatArray:
    """Return the box of a track moved along with its predicted position."""
    before, after = camera.project(np.stack([track.box_of_m, track.motion.mean[:3]]))
    return np.asarray(track.box_xyxy_px + np.tile(after - before, 2), np.float32)


def _overlap(a: FloatArray, b: FloatArray) -> _Array:
    """Return the intersection over union (A, B) of boxes left, top, right, bottom."""
    a, b = a[:, None].astype(np.float64), b[None].astype(np.float64)
    size = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0)
    common = size.prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(common / np.maximum(areas - common, 1e-9))
