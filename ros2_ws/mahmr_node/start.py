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

"""The start of a process of ROS."""

from __future__ import annotations

from mahmr_model.errors import UserError
import rclpy
from rclpy.signals import SignalHandlerOptions


def start(args: list[str] | None) -> None:
    """
    Initialise ROS, and leave signals alone.

    rclpy's own handlers would take the context away from under a picture in work.

    :raises UserError: where ROS does not understand the arguments.
    """
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # of an rclpy type that has no public name
        raise UserError(
            f'ROS does not take these arguments ({error}); correct what stands behind --ros-args.'
        ) from error
