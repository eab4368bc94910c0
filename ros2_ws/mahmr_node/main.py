"""`ros2 run mahmr mahmr_node`."""

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
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    # These imports take a second or more, and a signal must be answered during them as well.
    from mahmr_node.process import run

    sys.exit(run(args, load, ended))


if __name__ == '__main__':
    main()
