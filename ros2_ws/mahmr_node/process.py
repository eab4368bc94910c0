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
The process around the node: executor, signals, the end.

The executor runs in a thread of its own and the main thread waits for a signal: so SIGINT and
SIGTERM are answered at once, whether the network is being loaded or is at work.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback

from mahmr_model.errors import UserError
from mahmr_node.inference import load_predictor, LoadPredictor
from mahmr_node.node import MahmrNode
from mahmr_node.start import start
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.utilities import try_shutdown

# Seconds after a signal: how long a frame in the network may take to come out of it, and when
# the process ends in any case.
JOIN_S = 1.0
DEADLINE_S = 4.0

# Seconds before the next callback after one that failed.
FAULT_PAUSE_S = 0.1


def run(args: list[str] | None, load: LoadPredictor | None, ended: threading.Event) -> int:
    """Run the node until `ended` is set, by a signal; return the exit code."""
    try:
        start(args)
        node = MahmrNode(load or load_predictor)
    except UserError as error:
        get_logger('mahmr').fatal(str(error))
        try_shutdown()
        return 2
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        while not ended.is_set():
            try:
                executor.spin_once()
            except Exception:
                # Of one callback: the node outlives it, and is not to fill the log.
                node.get_logger().error(traceback.format_exc())
                ended.wait(FAULT_PAUSE_S)

    thread = threading.Thread(target=spin, name='executor', daemon=True)
    thread.start()
    ended.wait()
    # Whatever hangs from here on, a driver or a library, must not keep the process.
    watchdog = threading.Timer(DEADLINE_S, os._exit, args=(0,))
    watchdog.daemon = True
    watchdog.start()
    executor.wake()
    thread.join(JOIN_S)
    worker_ended = node.close(JOIN_S)
    try_shutdown()
    if thread.is_alive() or not worker_ended:
        # A thread that is still inside the network cannot be stopped; taking the interpreter
        # down around it ends in a crash, so the process is left without doing so.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    executor.shutdown()
    node.destroy_node()
    return 0
