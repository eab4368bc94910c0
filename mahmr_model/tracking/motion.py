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

"""How people move: a Kalman filter on position and velocity, in seconds and metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MotionConfig:
    """What is assumed of people and of what the network says of them; standard deviations."""

    speed_m_s: float = 1.2
    """How fast people move: walking is 1.4 m/s, and a robot that turns adds to it."""
    memory_s: float = 1.5
    """How long they keep their velocity: it is forgotten with this time constant."""
    across_m: float = 0.08
    """Error of a position across the line of sight."""
    along_m: float = 0.1
    """Error along the line of sight, to which `along_per_m` adds."""
    along_per_m: float = 0.08
    """The same for each metre of distance: depth from one picture errs by some per cent."""


@dataclass(frozen=True)
class Motion:
    """
    Where somebody is and how they move, with the uncertainty of both.

    The velocity of each axis is an Ornstein-Uhlenbeck process: it has the variance `speed_m_s`²
    and is forgotten exponentially. So the uncertainty of somebody hidden grows as that of a
    random walk, whatever the frame rate, and nobody is predicted to walk on for ever.
    """

    mean: _Array
    """(6,) position in metres, velocity in metres a second."""
    covariance: _Array
    """(6, 6)."""

    @classmethod
    def started(cls, position_m: _Array, config: MotionConfig) -> Motion:
        """Return what is known of somebody seen for the first time."""
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = sighting_error(position_m, config)
        covariance[3:, 3:] = np.eye(3) * config.speed_m_s**2
        return cls(np.concatenate([position_m, np.zeros(3)]), covariance)

    def after(self, elapsed_s: float, config: MotionConfig) -> Motion:
        """
        Return what is known a time later.

        Exact for the process and its integral: Gillespie, "Exact numerical simulation of the
        Ornstein-Uhlenbeck process and its integral", Phys. Rev. E 54 (1996), equations 2.9-2.10.
        """
        tau, variance = config.memory_s, config.speed_m_s**2
        kept = np.exp(-elapsed_s / tau)
        transition = np.kron([[1, tau * (1 - kept)], [0, kept]], np.eye(3))
        position = tau**2 * (2 * elapsed_s / tau - 3 + 4 * kept - kept**2)
        both = tau * (1 - kept) ** 2
        noise = variance * np.array([[position, both], [both, 1 - kept**2]])
        covariance = transition @ self.covariance @ transition.T + np.kron(noise, np.eye(3))
        return Motion(transition @ self.mean, covariance)

    def seen_at(self, position_m: _Array, config: MotionConfig) -> Motion:
        """Return what is known once somebody is seen at a position: the Kalman filter's step."""
        innovation = self.covariance[:3, :3] + sighting_error(self.mean[:3], config)
        gain = np.linalg.solve(innovation, self.covariance[:3]).T
        mean = self.mean + gain @ (position_m - self.mean[:3])
        # Joseph's form keeps it symmetric and positive.
        kept = np.eye(6)
        kept[:, :3] -= gain
        error = sighting_error(self.mean[:3], config)
        covariance = kept @ self.covariance @ kept.T + gain @ error @ gain.T
        return Motion(mean, covariance)

    def surprise(self, positions_m: _Array, config: MotionConfig) -> tuple[_Array, float]:
        """
        Return how unlikely sightings at positions (N, 3) are.

        Squared Mahalanobis distances (N,), chi-square of 3 degrees of freedom for the right
        person, and the logarithm of the determinant, which makes them log-likelihoods times -2.
        """
        innovation = self.covariance[:3, :3] + sighting_error(self.mean[:3], config)
        apart = positions_m - self.mean[:3]
        distances = np.einsum('ni,ni->n', apart, np.linalg.solve(innovation, apart.T).T)
        return distances, float(np.linalg.slogdet(innovation)[1])


def sighting_error(position_m: _Array, config: MotionConfig) -> _Array:
    """Return the covariance (3, 3) of a sighting at a position: longer along the view."""
    range_m = max(float(np.linalg.norm(position_m)), 1e-6)
    along_m = config.along_m + config.along_per_m * range_m
    view = np.outer(position_m, position_m) / range_m**2
    return config.across_m**2 * (np.eye(3) - view) + along_m**2 * view
