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

"""The renderer, made once."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.body.data import load_body
from mahmr_model.body.layer import BodyLayer
import pytest
from training.synthetic.scenes.renderer import SceneRenderer

_BODY = Path(__file__).parents[3] / 'mahmr_model' / 'body' / 'open_body.npz'


@pytest.fixture(scope='session')
def open_body() -> BodyLayer:
    return BodyLayer(load_body(_BODY), kid=True)


@pytest.fixture(scope='session')
def renderer(open_body: BodyLayer) -> SceneRenderer:
    return SceneRenderer(open_body, 'cpu')
