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

"""The cameras of a ROS 2 bag and their pictures, in the order of recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from mahmr_model.bag.types import CAMERA_INFO, COMPRESSED, IMAGE, typestore
from mahmr_model.errors import UserError
from mahmr_model.sensors.encodings import compressed_to_rgb, ENCODINGS, image_to_rgb
from mahmr_model.types import ImageArray

Rectification = Literal['auto', 'raw', 'rectified']


class BrokenBag(UserError):
    """A bag that cannot be read, or not to its end."""


@dataclass(frozen=True)
class BagCamera:
    """One topic of pictures, and the calibration beside it."""

    name: str
    """Of the topic's namespace: /left/image_raw is `left`."""
    image_topic: str
    info_topic: str
    """Empty where the bag has none."""
    rectified: bool
    pictures: int
    """How many the bag says it has."""


@dataclass(frozen=True)
class BagPicture:
    """One recorded picture."""

    camera: BagCamera
    time_ns: int
    """When it was recorded."""
    message: Any
    """sensor_msgs/Image or CompressedImage."""
    info: Any | None
    """The newest sensor_msgs/CameraInfo; the first one for pictures before it."""

    @property
    def stamp_s(self) -> float:
        """When it was taken, or recorded where nothing says when it was taken."""
        stamp = self.message.header.stamp
        return float(stamp.sec + 1e-9 * stamp.nanosec) or self.time_ns * 1e-9

    def rgb(self) -> ImageArray:
        """
        Return the picture as RGB (height, width, 3).

        :raises UserError: for a picture that cannot be read.
        """
        if hasattr(self.message, 'encoding'):
            return image_to_rgb(self.message)
        return compressed_to_rgb(self.message)


class BagReader:
    """
    An open bag: a folder with metadata.yaml, an .mcap or a .db3 file.

    :raises UserError: from every method, for a bag that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Look whether this may be a bag; `with` opens it."""
        self.path = path
        self._types = typestore()
        if not path.exists():
            raise UserError(f'{path}: there is no such bag; check the path.')
        if path.suffix == '.bag':
            raise UserError(
                f'{path}: this is a bag of ROS 1; convert it: rosbags-convert --src {path} '
                '--dst FOLDER'
            )
        if path.is_dir() and not (path / 'metadata.yaml').is_file():
            raise UserError(
                f'{path}: a bag is a folder with metadata.yaml, and this has none; name the .mcap '
                'or .db3 file itself, or run: ros2 bag reindex'
            )
        if path.is_file() and path.suffix not in ('.mcap', '.db3'):
            raise UserError(
                f'{path}: this is no bag; expected a folder with metadata.yaml, an .mcap or a '
                '.db3 file.'
            )

    def __enter__(self) -> BagReader:
        """Open the bag."""
        from rosbags.rosbag2 import Reader

        with self._reading():
            self._reader = Reader(self.path)
            self._reader.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bag."""
        self._reader.close()

    @property
    def storage(self) -> Literal['mcap', 'sqlite3']:
        """How the bag is stored."""
        paths = self.path.iterdir() if self.path.is_dir() else [self.path]
        return 'sqlite3' if any('.db3' in path.suffixes for path in paths) else 'mcap'

    @property
    def duration_s(self) -> float:
        """From the first message to the last."""
        return float(self._reader.duration) * 1e-9

    def cameras(self, wanted: Sequence[str], rectification: Rectification) -> list[BagCamera]:
        """Return the cameras of the `wanted` topics, or all that show colours or grey."""
        found = {c.topic: c for c in self._reader.connections if c.msgtype in (IMAGE, COMPRESSED)}
        topics = self._named(wanted, list(found)) if wanted else self._usable(list(found))
        cameras: dict[str, BagCamera] = {}
        for topic in topics:
            camera = self._camera(topic, rectification)
            other = cameras.setdefault(camera.name, camera)
            if other is not camera:
                raise UserError(
                    f'{self.path}: {other.image_topic} and {topic} are of the same camera '
                    f'"{camera.name}"; choose one with --topic.'
                )
        return list(cameras.values())

    def pictures(self, cameras: Sequence[BagCamera]) -> Iterator[BagPicture]:
        """Give the pictures of cameras in the order of recording."""
        by_topic = {camera.image_topic: camera for camera in cameras}
        infos = {c.info_topic: self._first(c.info_topic) for c in cameras if c.info_topic}
        with self._reading():
            for connection, time_ns, data in self._messages([*by_topic, *infos]):
                message = self._types.deserialize_cdr(data, connection.msgtype)
                if connection.topic in infos:
                    infos[connection.topic] = message
                else:
                    camera = by_topic[connection.topic]
                    yield BagPicture(camera, time_ns, message, infos.get(camera.info_topic))

    def _camera(self, topic: str, rectification: Rectification) -> BagCamera:
        connections = self._reader.connections
        compressed = any(c.topic == topic and c.msgtype == COMPRESSED for c in connections)
        base = topic.rpartition('/')[0] if compressed else topic
        namespace, _, last = base.rpartition('/')
        info_topic = f'{namespace}/camera_info'
        has_info = any(c.topic == info_topic and c.msgtype == CAMERA_INFO for c in connections)
        return BagCamera(
            namespace.strip('/').replace('/', '_') or 'camera',
            topic,
            info_topic if has_info else '',
            rectification == 'rectified' or (rectification == 'auto' and 'rect' in last),
            sum(c.msgcount for c in connections if c.topic == topic),
        )

    def _named(self, wanted: Sequence[str], found: list[str]) -> list[str]:
        for topic in wanted:
            if topic not in found:
                raise UserError(
                    f'{self.path}: {topic} is no topic of pictures in this bag; it has '
                    f'{", ".join(found) or "none"}.'
                )
        return list(dict.fromkeys(wanted))

    def _usable(self, found: list[str]) -> list[str]:
        """Leave out what shows no colours or grey (depth), and copies in another transport."""
        shown = [topic for topic in found if self._shows_colours(topic)]
        usable = [topic for topic in shown if topic.rpartition('/')[0] not in shown]
        if not usable:
            topics = {f'{c.topic} ({c.msgtype})' for c in self._reader.connections}
            raise UserError(
                f'{self.path}: no topic of this bag has pictures in colour or grey; it has '
                f'{", ".join(sorted(topics)) or "no topics"}.'
            )
        return usable

    def _shows_colours(self, topic: str) -> bool:
        first = self._first(topic)
        if first is None:
            return False
        if hasattr(first, 'encoding'):
            return first.encoding in ENCODINGS
        # A depth picture may be a PNG or have a header of its own before it.
        return not topic.endswith('/compressedDepth') and '16UC1' not in first.format

    def _first(self, topic: str) -> Any | None:
        with self._reading():
            for connection, _, data in self._messages([topic]):
                return self._types.deserialize_cdr(data, connection.msgtype)
        return None

    def _messages(self, topics: Sequence[str]) -> Iterator[tuple[Any, int, bytes]]:
        connections = [c for c in self._reader.connections if c.topic in topics]
        return iter(self._reader.messages(connections=connections))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Say of what goes wrong inside rosbags that the bag cannot be read."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            # A broken file lets it raise whatever its parsers run into.
            reason = str(error) or type(error).__name__
            raise BrokenBag(
                f'{self.path}: the bag cannot be read ({reason}); it is damaged or was not '
                'closed: try ros2 bag reindex, for .mcap also mcap recover, or record it again.'
            ) from error
