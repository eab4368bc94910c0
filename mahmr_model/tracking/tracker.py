"""Identities over time, from metric positions and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from mahmr_model.types import FloatArray, People

_Array = npt.NDArray[np.float64]
_FORBIDDEN = 1e6


@dataclass(frozen=True)
class TrackerConfig:
    """When two sightings are of the same person; where a default has no source, it was chosen."""

    lost_s: float = 1.0
    """An identity not seen for longer than this is given up: occlusions by people who pass."""
    jump_s: float = 3.0
    """A gap longer than this between two pictures starts all over, like a jump back does."""
    across_m: float = 0.5
    """Error allowed across the line of sight: half a metre, about the breadth of a body."""
    along_m: float = 0.5
    """Error allowed along the line of sight, to which `along_per_m` adds."""
    along_per_m: float = 0.3
    """The same for each metre of distance: depth from one picture errs by a tenth, times three."""
    box_weight: float = 0.5
    """What boxes without overlap cost, where the whole allowed distance costs 1."""
    smoothing_s: float = 0.25
    """Time over which position and velocity are averaged: a step at 1.4 m/s takes 0.5 s."""


@dataclass
class _Track:
    """One identity: where it was when last seen."""

    identity: int
    position_m: _Array
    velocity_m_s: _Array
    box_xyxy_px: FloatArray
    seen_s: float


class Tracker:
    """
    Gives people the identities they had in the pictures before.

    Each track moves on with constant velocity; sightings are assigned to tracks by the Hungarian
    method over the distance of the pelvis (of which depth may err more) and the overlap of boxes.
    Identities count from 1 and are not given twice until a reset.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self.reset()

    def reset(self) -> None:
        """Forget everybody; identities begin at 1 again."""
        self._tracks: list[_Track] = []
        self._next = 1
        self._now_s: float | None = None

    def update(self, people: People, stamp_s: float) -> People:
        """
        Return the people of a picture taken at `stamp_s` with their identities.

        A stamp before the last one (a recording that starts again) or more than `jump_s` after
        it resets the tracker first.
        """
        if self._now_s is not None and not 0 <= stamp_s - self._now_s <= self._config.jump_s:
            self.reset()
        self._now_s = stamp_s
        self._tracks = [t for t in self._tracks if stamp_s - t.seen_s <= self._config.lost_s]
        ids = np.zeros(len(people), np.int64)
        positions_m = people.root_m.astype(np.float64)
        for track, i in self._assign(positions_m, people.boxes_xyxy_px):
            self._follow(track, positions_m[i], people.boxes_xyxy_px[i])
            ids[i] = track.identity
        for i in (ids == 0).nonzero()[0].tolist():
            ids[i] = self._next
            box = people.boxes_xyxy_px[i]
            self._tracks.append(_Track(self._next, positions_m[i], np.zeros(3), box, stamp_s))
            self._next += 1
        return people.with_ids(ids)

    def _assign(self, positions_m: _Array, boxes: FloatArray) -> list[tuple[_Track, int]]:
        """Pair tracks with people (N, 3) so that the sum of costs is smallest."""
        assert self._now_s is not None
        if not self._tracks or not len(positions_m):
            return []
        hidden_s = np.array([self._now_s - t.seen_s for t in self._tracks])
        velocity_m_s = np.stack([t.velocity_m_s for t in self._tracks])
        predicted_m = np.stack([t.position_m for t in self._tracks])
        predicted_m = predicted_m + velocity_m_s * hidden_s[:, None]
        distance = self._distance(predicted_m, positions_m)
        # The longer somebody was hidden, the less is known: twice the error when nearly lost.
        allowed = distance <= 1 + hidden_s[:, None] / self._config.lost_s
        overlap = _overlap(np.stack([t.box_xyxy_px for t in self._tracks]), boxes)
        cost = distance + self._config.box_weight * (1 - overlap)
        rows, columns = linear_sum_assignment(np.where(allowed, cost, _FORBIDDEN))
        pairs = zip(rows, columns, strict=True)
        return [(self._tracks[row], int(i)) for row, i in pairs if allowed[row, i]]

    def _distance(self, predicted_m: _Array, positions_m: _Array) -> _Array:
        """Return (T, N) distances, 1 where they are as large as the allowed error."""
        config = self._config
        range_m = np.linalg.norm(predicted_m, axis=1).clip(1e-6)
        apart_m = positions_m[None] - predicted_m[:, None]
        along_m = np.einsum('tnk,tk->tn', apart_m, predicted_m / range_m[:, None])
        across_m = np.sqrt(((apart_m**2).sum(2) - along_m**2).clip(0))
        allowed_m = config.along_m + config.along_per_m * range_m[:, None]
        return np.hypot(along_m / allowed_m, across_m / config.across_m)

    def _follow(self, track: _Track, position_m: _Array, box: FloatArray) -> None:
        """
        Move a track to where its person is seen now.

        The critically damped g-h filter (Brookner, "Tracking and Kalman Filtering Made Easy",
        1998, section 1.2.6), its memory in seconds instead of steps so that it does the same at
        each frame rate: theta = exp(-dt / smoothing), g = 1 - theta^2, h = (1 - theta)^2.
        """
        assert self._now_s is not None
        elapsed_s = max(self._now_s - track.seen_s, 1e-3)
        theta = np.exp(-elapsed_s / self._config.smoothing_s)
        predicted_m = track.position_m + track.velocity_m_s * elapsed_s
        residual_m = position_m - predicted_m
        track.position_m = predicted_m + (1 - theta**2) * residual_m
        track.velocity_m_s = track.velocity_m_s + (1 - theta) ** 2 / elapsed_s * residual_m
        track.box_xyxy_px, track.seen_s = box, self._now_s


def _overlap(a: FloatArray, b: FloatArray) -> _Array:
    """Return the intersection over union (A, B) of boxes left, top, right, bottom."""
    a, b = a[:, None].astype(np.float64), b[None].astype(np.float64)
    size = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0)
    common = size.prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(common / np.maximum(areas - common, 1e-9))
