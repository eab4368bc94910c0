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

"""
ROS messages as bytes, with large lists of numbers taken from NumPy.

rclpy turns a list of points into bytes one Python object at a time, 65 to 135 ms for the mesh of
one person. Here the list goes in as one block of memory: `publish()` takes such bytes as they
are. The layout is CDR version 1, little-endian, as OMG's DDS-XTypes 7.4.1 lays it down and
rclpy.serialization.serialize_message writes it; the fields come from the message's own
definition, so that every distribution's version of a message is written as that version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

HEADER = b'\x00\x01\x00\x00'

# What fills the gaps before aligned values. rclpy leaves whatever its memory held there.
PADDING = b'\x00'

# Format of struct for each primitive type's name in a message definition.
PRIMITIVES = {
    'boolean': '?',
    'octet': 'B',
    'uint8': 'B',
    'int8': 'b',
    'uint16': 'H',
    'int16': 'h',
    'uint32': 'I',
    'int32': 'i',
    'uint64': 'Q',
    'int64': 'q',
    'float': 'f',
    'double': 'd',
}

_LIST = re.compile(r'sequence<(?P<item>[^,>]+(?:<\d+>)?)(?:, *\d+)?>')
_ARRAY = re.compile(r'(?P<item>.+)\[\d+\]')

_Block = npt.NDArray[np.float64]


class _Writer:
    """Appends values at their alignment, which counts from behind the header."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = [HEADER]
        self._size = 0

    def raw(self, data: bytes | memoryview, alignment: int = 1) -> None:
        gap = -self._size % alignment
        if gap:
            self._parts.append(PADDING * gap)
        self._parts.append(data)
        self._size += gap + len(data)

    def number(self, form: str, value: Any) -> None:
        data = struct.pack(f'<{form}', value)
        self.raw(data, len(data))

    def numbers(self, form: str, values: Any) -> None:
        if len(values):
            array = np.ascontiguousarray(values, dtype=f'<{form}')
            self.raw(array.data.cast('B'), array.itemsize)

    def string(self, value: str) -> None:
        data = value.encode() + b'\x00'
        self.number('I', len(data))
        self.raw(data)

    def block(self, values: _Block) -> None:
        """Write a list of N messages that hold nothing but K doubles each, given as (N, K)."""
        self.number('I', len(values))
        self.numbers('d', values)

    def value(self, kind: str, value: Any) -> None:
        """Write one value of a type named as message definitions name it."""
        if kind in PRIMITIVES:
            self.number(PRIMITIVES[kind], value)
        elif kind.startswith('string'):
            self.string(value)
        elif match := _LIST.fullmatch(kind):
            self.number('I', len(value))
            self.items(match['item'], value)
        elif match := _ARRAY.fullmatch(kind):
            self.items(match['item'], value)
        else:
            self.message(value, {})

    def items(self, kind: str, values: Any) -> None:
        form = PRIMITIVES.get(kind)
        if form is not None:
            self.numbers(form, values)
            return
        for value in values:
            self.value(kind, value)

    def message(self, message: Any, blocks: Mapping[str, _Block]) -> None:
        """Write a message's fields in turn, those named in `blocks` from there."""
        for name, kind in message.get_fields_and_field_types().items():
            if name in blocks:
                self.block(blocks[name])
            else:
                self.value(kind, getattr(message, name))

    def finish(self) -> bytes:
        return b''.join(self._parts)


def marker_array(markers: Sequence[tuple[Any, _Block | None]]) -> bytes:
    """
    Return a visualization_msgs/MarkerArray as bytes.

    Each marker is a Marker message and its points (P, 3) in metres; None keeps the points that
    the message itself has.
    """
    writer = _Writer()
    writer.number('I', len(markers))
    for marker, points in markers:
        writer.message(marker, {} if points is None else {'points': points})
    return writer.finish()
