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

"""Pictures that are none, for tests of what reads them."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

OVERSIZED_PX = 60_000


def oversized_png() -> bytes:
    """Return a PNG whose header promises more pixels than OpenCV takes: it raises there."""
    png = bytearray(cv2.imencode('.png', np.zeros((1, 1, 3), np.uint8))[1].tobytes())
    png[16:24] = struct.pack('>II', OVERSIZED_PX, OVERSIZED_PX)
    png[29:33] = struct.pack('>I', zlib.crc32(png[12:29]))
    return bytes(png)
