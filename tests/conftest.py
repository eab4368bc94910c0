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

"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def random_body_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in SMPL's layout with random numbers, the body behind the golden numbers."""
    script = Path(__file__).parent / 'golden' / 'random_body.py'
    spec = importlib.util.spec_from_file_location('random_body', script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Path(module.random_body(str(tmp_path_factory.mktemp('random_body')), seed=0)) / 'smpl'


@pytest.fixture(scope='module')
def untrained() -> Iterator[None]:
    """Hide the weights that ship: the default is then the random network, which finds people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mahmr_model.weights.OPEN', 'hidden.safetensors')
        yield
