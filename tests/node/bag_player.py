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
Plays a bag as `ros2 bag play --loop --clock` does: run as a process by the tests.

`bag_player.py BAG`: every message as it was recorded, /clock beside it, over and over until a
signal; it waits for somebody who listens to the pictures first.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
import signal
import sys
import threading
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock

CLOCK_HZ = 50


def message_class(kind: str) -> Any:
    """Return rclpy's class of a type as `sensor_msgs/msg/Image`."""
    package, _, name = kind.split('/')
    return getattr(import_module(f'{package}.msg'), name)


def play(node: Node, path: Path, ended: threading.Event) -> None:
    """Play until `ended` is set."""
    clock = node.create_publisher(Clock, '/clock', 10)
    with Reader(path) as reader:
        publishers = {
            c.topic: node.create_publisher(message_class(c.msgtype), c.topic, QoSProfile(depth=10))
            for c in reader.connections
        }
        while not ended.is_set() and not all(
            p.get_subscription_count() for p in publishers.values()
        ):
            ended.wait(0.05)
        while not ended.is_set():
            now_ns = reader.start_time
            for connection, time_ns, data in reader.messages():
                while now_ns < time_ns and not ended.wait(1 / CLOCK_HZ):
                    now_ns = min(time_ns, now_ns + 10**9 // CLOCK_HZ)
                    message = Clock()
                    message.clock.sec, message.clock.nanosec = divmod(now_ns, 10**9)
                    clock.publish(message)
                if ended.is_set():
                    return
                publishers[connection.topic].publish(bytes(data))


def main() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('bag_player')
    play(node, Path(sys.argv[1]), ended)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
