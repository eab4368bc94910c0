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
