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

"""`ros2 run mahmr mahmr_node` and `video_camera`: what answers signals before all else."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mahmr_node.inference import LoadPredictor


def main(args: list[str] | None = None, load: LoadPredictor | None = None) -> None:
    """
    Run the node until SIGINT or SIGTERM; ends the process with its exit code.

    `load` makes the predictor; tests give their own.
    """
    ended = set_by_signals()
    from mahmr_node.process import run

    sys.exit(run(args, load, ended))


def video_camera(args: list[str] | None = None) -> None:
    """Play a video until its end or a signal; ends the process with its exit code."""
    ended = set_by_signals()
    from mahmr_node.video_camera import run

    sys.exit(run(args, ended))


def set_by_signals() -> threading.Event:
    """
    Return what SIGINT and SIGTERM set from now on.

    To be called before the imports, which take a second or more: signals are answered during
    them as well.
    """
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    return ended


if __name__ == '__main__':
    main()
