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

"""Smoothing over time: the One-Euro filter on place, rotations and shape of each identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mahmr_model.tracking.pace import Pace
from mahmr_model.types import People
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

_Array = npt.NDArray[np.float64]

Repose = Callable[[People], People]
"""Gives people the joints and meshes of their pose, shape and place: `Predictor.repose`."""


@dataclass(frozen=True)
class OneEuroConfig:
    """
    How a value is smoothed: Casiez, Roussel and Vogel, "1 € filter", CHI 2012.

    A low-pass filter whose cutoff rises with speed: `min_cutoff_hz` + `speed_gain` · speed.
    """

    min_cutoff_hz: float
    """The cutoff at rest: lower is calmer."""
    speed_gain: float
    """Hertz for each metre (radian) a second: higher follows sooner."""
    derivative_cutoff_hz: float = 1.0
    """The cutoff for the speed itself; 1 in the paper."""


@dataclass(frozen=True)
class SmootherConfig:
    """The filters' settings, chosen on synthetic clips; docs/tracking.md has the numbers."""

    across: OneEuroConfig = field(default_factory=lambda: OneEuroConfig(1.0, 2.0))
    """The place across the line of sight, which a picture shows well."""
    along: OneEuroConfig = field(default_factory=lambda: OneEuroConfig(0.5, 0.8))
    """The place along the line of sight, whose errors are several times those across."""
    rotation: OneEuroConfig = field(default_factory=lambda: OneEuroConfig(1.0, 1.5, 2.0))
    """The rotation of each joint."""
    shape_cutoff_hz: float = 0.2
    """The shape numbers: a body does not change."""
    gap_s: float = 0.5
    """Who was not seen for longer than this is smoothed anew from where they are now..."""
    gap_pictures: float = 2.5
    """...if it is also longer than so many usual gaps between pictures: a slow network is none."""


@dataclass
class _State:
    """What the filters of one identity hold."""

    seen_s: float
    place_m: _Array
    """(3,)"""
    velocity_m_s: _Array
    """(3,)"""
    rotations: _Array
    """(24, 4) quaternions."""
    spin_rad_s: _Array
    """(24, 3) angular velocities, in each joint's own axes."""
    betas: _Array


class Smoother:
    """
    Calms tracked people; the price is the delay that docs/tracking.md states.

    Place, rotations and shape are filtered per identity in the time of the stamps, so that it
    does the same at every frame rate; joints and meshes are then made anew by `repose`. Time that
    jumps back, or an identity not seen for long (`gap_s`, `gap_pictures`), starts from the raw
    numbers.
    """

    def __init__(self, repose: Repose, config: SmootherConfig | None = None) -> None:
        self._repose = repose
        self._pace = Pace()
        self.config = config or SmootherConfig()
        """May be set between two pictures: what was smoothed so far is kept."""
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._states: dict[int, _State] = {}

    def update(self, people: People, stamp_s: float) -> People:
        """Return the tracked people of a picture taken at `stamp_s`, smoothed."""
        if people.ids is None:
            raise ValueError('only tracked people can be smoothed; these have no ids')
        gap_s, usual_s = self._pace.step(stamp_s)
        if gap_s < 0:
            self.reset()
        oldest_s = stamp_s - max(self.config.gap_s, self.config.gap_pictures * usual_s)
        self._states = {i: s for i, s in self._states.items() if s.seen_s >= oldest_s}
        for index, identity in enumerate(people.ids.tolist()):
            seen = _seen(people, index, stamp_s)
            if identity in self._states:
                seen = self._filter(self._states[identity], seen)
            self._states[identity] = seen
        if not len(people):
            return people
        states = [self._states[identity] for identity in people.ids.tolist()]
        rotations = Rotation.from_quat(np.concatenate([s.rotations for s in states]))
        return self._repose(
            replace(
                people,
                translation_m=np.stack([s.place_m for s in states]).astype(np.float32),
                betas=np.stack([s.betas for s in states]).astype(np.float32),
                pose_axis_angle=rotations.as_rotvec()
                .reshape(people.pose_axis_angle.shape)
                .astype(np.float32),
            )
        )

    def _filter(self, before: _State, seen: _State) -> _State:
        """Take one step from the filtered state `before` towards what is seen now."""
        elapsed_s = max(seen.seen_s - before.seen_s, 1e-3)
        place, velocity = self._filter_place(before, seen.place_m, elapsed_s)
        rotations, spin = self._filter_rotations(before, seen.rotations, elapsed_s)
        share = _share(np.array(self.config.shape_cutoff_hz), elapsed_s)
        betas = before.betas + share * (seen.betas - before.betas)
        return _State(seen.seen_s, place, velocity, rotations, spin, betas)

    def _filter_place(
        self, before: _State, place_m: _Array, elapsed_s: float
    ) -> tuple[_Array, _Array]:
        """Filter a place (3,), along the line of sight and across it with a cutoff each."""
        step = place_m - before.place_m
        sight = before.place_m / max(float(np.linalg.norm(before.place_m)), 1e-6)
        velocity, moved = before.velocity_m_s.copy(), before.place_m.copy()
        for part, config in (
            (np.outer(sight, sight), self.config.along),
            (np.eye(3) - np.outer(sight, sight), self.config.across),
        ):
            change = part @ (step / elapsed_s - before.velocity_m_s)
            velocity += _share(np.array(config.derivative_cutoff_hz), elapsed_s) * change
            speed = np.linalg.norm(part @ velocity)
            moved += _share(_cutoff_hz(config, speed), elapsed_s) * (part @ step)
        return moved, velocity

    def _filter_rotations(
        self, before: _State, rotations: _Array, elapsed_s: float
    ) -> tuple[_Array, _Array]:
        """Filter rotations (24, 4) on SO(3): a share of the turn that leads to the new ones."""
        config = self.config.rotation
        held = Rotation.from_quat(before.rotations)
        turn = (held.inv() * Rotation.from_quat(rotations)).as_rotvec()
        share = _share(np.array(config.derivative_cutoff_hz), elapsed_s)
        spin = before.spin_rad_s + share * (turn / elapsed_s - before.spin_rad_s)
        share = _share(_cutoff_hz(config, np.linalg.norm(spin, axis=1)), elapsed_s)
        return (held * Rotation.from_rotvec(share[:, None] * turn)).as_quat(), spin


def _seen(people: People, index: int, stamp_s: float) -> _State:
    """Return the state of somebody seen for the first time: the raw numbers, at rest."""
    rotations = Rotation.from_rotvec(people.pose_axis_angle[index].astype(np.float64))
    return _State(
        stamp_s,
        people.translation_m[index].astype(np.float64),
        np.zeros(3),
        rotations.as_quat(),
        np.zeros((len(people.pose_axis_angle[index]), 3)),
        people.betas[index].astype(np.float64),
    )


def _cutoff_hz(config: OneEuroConfig, speed: npt.NDArray[np.floating] | np.floating) -> _Array:
    return np.asarray(config.min_cutoff_hz + config.speed_gain * speed)


def _share(cutoff_hz: _Array, elapsed_s: float) -> _Array:
    """Return the share of a step that a low-pass filter of this cutoff takes in a time."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * cutoff_hz * elapsed_s)))
