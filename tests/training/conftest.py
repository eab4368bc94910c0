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

"""Fixtures of the trainer's tests; their folder holds the makers `fixtures` and `scenes`."""

from __future__ import annotations

from pathlib import Path

from fixtures import make_data
from mahmr_model.body.data import OPEN_BODY
import pytest
from training.data.posing import WorkerBodies


@pytest.fixture(scope='session')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with all datasets, four pictures each; only for reading."""
    return make_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='session')
def open_bodies() -> WorkerBodies:
    """Give the open body for all genders."""
    return WorkerBodies(OPEN_BODY)
