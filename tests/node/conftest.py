from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

import pytest

# Set before the first context is made, here and in every process that is started.
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


@pytest.fixture
def domain() -> Iterator[int]:
    """Give a ROS domain that no other test has, of this run or of another on this machine."""
    from ros_tools import own_domain

    with own_domain() as number:
        yield number


@pytest.fixture
def rig(domain: int, tmp_path: Path) -> Iterator[object]:
    from ros_tools import Rig

    rig = Rig(domain, tmp_path)
    try:
        yield rig
    finally:
        rig.close()
