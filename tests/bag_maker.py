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

"""Bags for tests, written without ROS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from mahmr_model.bag.types import typestore
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

START_NS = 1_700_000_000_000_000_000
Message = tuple[str, int, Any]
"""Topic, when it was recorded (nanoseconds), and the message."""


def write_bag(
    folder: Path, messages: Iterable[Message], storage: Literal['mcap', 'sqlite3'] = 'mcap'
) -> Path:
    """Write a bag, a folder; returns it."""
    writer = Writer(folder, version=8, storage_plugin=StoragePlugin[storage.upper()])
    connections: dict[str, Any] = {}
    with writer:
        for topic, time_ns, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=typestore())
            writer.write(connections[topic], time_ns, typestore().serialize_cdr(message, kind))
    return folder


def message(kind: str, **fields: Any) -> Any:
    """Make a message of a type, as `sensor_msgs/msg/Image`."""
    return typestore().types[kind](**fields)


def header(time_ns: int, frame_id: str = 'cam_optical') -> Any:
    stamp = message('builtin_interfaces/msg/Time', sec=time_ns // 10**9, nanosec=time_ns % 10**9)
    return message('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def image(
    rgb: np.ndarray, time_ns: int, frame_id: str = 'cam_optical', encoding: str = 'rgb8'
) -> Any:
    """Make a sensor_msgs/Image of bytes (H, W, C)."""
    height, width = rgb.shape[:2]
    return message(
        'sensor_msgs/msg/Image',
        header=header(time_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=rgb[0].nbytes,
        data=np.frombuffer(rgb.tobytes(), np.uint8),
    )


def compressed(data: bytes, time_ns: int, kind: str = 'jpeg') -> Any:
    """Make a sensor_msgs/CompressedImage."""
    return message(
        'sensor_msgs/msg/CompressedImage',
        header=header(time_ns),
        format=kind,
        data=np.frombuffer(data, np.uint8),
    )


def camera_info(
    size: tuple[int, int],
    time_ns: int,
    k: tuple[float, float, float, float] = (0, 0, 0, 0),
    p: tuple[float, float, float, float] = (0, 0, 0, 0),
    d: tuple[float, ...] = (0.0,) * 5,
) -> Any:
    """Make a sensor_msgs/CameraInfo; `k` and `p` are fx, fy, cx, cy."""
    roi = message(
        'sensor_msgs/msg/RegionOfInterest',
        x_offset=0,
        y_offset=0,
        height=0,
        width=0,
        do_rectify=False,
    )
    matrix = np.array([[k[0], 0, k[2]], [0, k[1], k[3]], [0, 0, 1]])
    projection = np.array([[p[0], 0, p[2], 0], [0, p[1], p[3], 0], [0, 0, 1, 0]])
    return message(
        'sensor_msgs/msg/CameraInfo',
        header=header(time_ns),
        height=size[1],
        width=size[0],
        distortion_model='plumb_bob',
        d=np.array(d),
        k=matrix.reshape(-1),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
