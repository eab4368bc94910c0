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

"""Results as a ROS 2 bag."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from mahmr_model.bag.types import typestore
from mahmr_model.errors import UserError


class BagWriter:
    """Writes messages of types that `typestore` knows."""

    def __init__(self, writer: Any) -> None:
        """Write with an open writer of rosbags."""
        self._writer = writer
        self._connections: dict[str, Any] = {}

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Add a message, recorded at a time in nanoseconds."""
        types = typestore()
        kind = message.__msgtype__
        with _writing(self._writer.path):
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, kind, typestore=types
                )
            data = types.serialize_cdr(message, kind)
            self._writer.write(self._connections[topic], time_ns, data)


@contextmanager
def bag_writer(path: Path, storage: Literal['mcap', 'sqlite3']) -> Iterator[BagWriter]:
    """
    Write a new bag, a folder, in the format that Jazzy and everything newer reads.

    :raises UserError: where it cannot be written.
    """
    from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

    plugin = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}[storage]
    writer = Writer(path, version=8, storage_plugin=plugin)
    if storage == 'mcap':
        # The file format's own compression, which every reader knows.
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with _writing(path):
        writer.open()
    try:
        yield BagWriter(writer)
    except BaseException:
        writer.abort()
        raise
    with _writing(path):
        writer.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of what goes wrong inside rosbags that the bag cannot be written."""
    try:
        yield
    except Exception as error:
        # SQLite's own errors are no OSErrors.
        raise UserError(
            f'{path}: the bag cannot be written ({error}); free space, or name another folder.'
        ) from error
