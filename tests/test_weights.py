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

"""Where weights are looked for."""

from __future__ import annotations

from pathlib import Path

from mahmr_model import weights
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.checkpoint import save_weights
from mahmr_model.errors import UserError
from mahmr_model.untrained import untrained_network
from mahmr_model.weights import load_model, OPEN, weights_folders
import pytest


def test_weights_that_were_installed_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As colcon and pip lay them down, found from anywhere; those of the folder come first."""
    module = tmp_path / 'prefix/lib/python3.12/site-packages/mahmr_model/weights.py'
    installed = tmp_path / 'prefix/share/mahmr/weights'
    here = tmp_path / 'here'
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv('MAHMR_WEIGHTS', raising=False)
    monkeypatch.setattr(weights, '__file__', str(module))
    assert weights_folders()[-1] == installed
    installed.mkdir(parents=True)
    (installed / OPEN).touch()
    assert weights._first(OPEN) == installed / OPEN
    (here / 'weights').mkdir()
    (here / 'weights' / OPEN).touch()
    assert weights._first(OPEN) == here / 'weights' / OPEN


def test_weights_of_one_body_are_not_used_with_another(
    tmp_path: Path, random_body_folder: Path
) -> None:
    network = untrained_network(load_body(OPEN_BODY))
    for kind in ('open', 'smpl'):
        save_weights(network, tmp_path / f'{kind}.safetensors', kind)
    with pytest.raises(UserError, match=r"with the open body, but .* is SMPL's body"):
        load_model(tmp_path / 'open.safetensors', random_body_folder)
    with pytest.raises(UserError, match=r"with SMPL's body, but .* is the open body"):
        load_model(tmp_path / 'smpl.safetensors', OPEN_BODY)
    assert load_model(tmp_path / 'open.safetensors', OPEN_BODY).body.kind == 'open'
    assert load_model(tmp_path / 'smpl.safetensors', random_body_folder).body.kind == 'smpl'
