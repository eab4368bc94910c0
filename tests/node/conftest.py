from __future__ import annotations

from collections.abc import Iterator
import itertools
import os
from pathlib import Path

import pytest

# Set before the first context is made, here and in every process that is started.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

_count = itertools.count()


@pytest.fixture
def domain() -> int:
    """Return a ROS domain of this test's own, 1 to 101."""
    return 1 + (7 * os.getpid() + next(_count)) % 101


@pytest.fixture
def rig(domain: int, tmp_path: Path) -> Iterator[object]:
    from ros_tools import Rig

    rig = Rig(domain, tmp_path)
    try:
        yield rig
    finally:
        rig.close()
