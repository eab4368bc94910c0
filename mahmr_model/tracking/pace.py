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

"""How far apart in time the pictures of a camera are."""

from __future__ import annotations

from collections import deque

import numpy as np


class Pace:
    """Follows the stamps of pictures, so that a slow network is not taken for a pause."""

    def __init__(self) -> None:
        self._gaps_s: deque[float] = deque(maxlen=5)
        self._last_s: float | None = None

    def step(self, stamp_s: float) -> tuple[float, float]:
        """
        Go on to a picture; return the gap before it and the usual one, in seconds.

        The gap is 0 for the first picture and below 0 where time jumps back. What is usual is the
        median of the last five gaps before this one; for want of any, this one.
        """
        gap_s = 0.0 if self._last_s is None else stamp_s - self._last_s
        usual_s = float(np.median(self._gaps_s)) if self._gaps_s else gap_s
        if gap_s > 0:
            self._gaps_s.append(gap_s)
        self._last_s = stamp_s
        return gap_s, usual_s
