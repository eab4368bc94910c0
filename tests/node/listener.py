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
Writes what it hears, a JSON line a message: `listener.py TOPIC=package/Type …`.

A process of its own, for messages whose package the tests' own process cannot import.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from mahmr_node.main import set_by_signals
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions


def plain(value: Any) -> Any:
    """Turn a message into what JSON knows."""
    if hasattr(value, 'get_fields_and_field_types'):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if isinstance(value, (str, int, float)):
        return value
    return [plain(item) for item in value]


def main() -> None:
    ended = set_by_signals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('listener')

    def write(topic: str, message: Any) -> None:
        sys.stdout.write(json.dumps({'topic': topic, **plain(message)}) + '\n')
        sys.stdout.flush()

    for argument in sys.argv[slice(1, sys.argv.index('--ros-args'))]:
        topic, kind = argument.split('=')
        package, name = kind.split('/')
        node.create_subscription(
            getattr(importlib.import_module(f'{package}.msg'), name),
            topic,
            lambda message, topic=topic: write(topic, message),
            QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE),
        )
    while not ended.is_set():
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
