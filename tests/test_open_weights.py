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

"""The weights that ship: the file, its numbers, and whether it finds people."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mahmr_model.pictures import read_picture
from mahmr_model.predictor import DEFAULT_THRESHOLD, Predictor
from mahmr_model.weights import OPEN
import pytest
import torch
from training.compare import compare

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / 'weights' / OPEN


def test_the_numbers_beside_the_weights_are_theirs() -> None:
    metrics = json.loads((ROOT / 'weights' / 'metrics.json').read_text())
    assert metrics['weights_sha256'] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert metrics['threshold'] == DEFAULT_THRESHOLD
    assert metrics['pictures'] == 500
    assert WEIGHTS.stat().st_size < 60e6
    card = WEIGHTS.with_suffix('.md').read_text()
    for name in ('F1', 'MPJPE_mm', 'depth_error_percent', 'fov_error_deg'):
        assert f'{metrics[name]:.3g}' in card, name


def test_they_are_the_default_and_find_the_players(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('MAHMR_WEIGHTS', raising=False)
    predictor = Predictor.load(device='cpu')
    assert not predictor.untrained
    people = predictor(read_picture(ROOT / 'demo' / 'basketball1.png'))
    assert len(people) == 2
    depths_m, boxes_px = people.root_m[:, 2], people.boxes_xyxy_px
    near, far = depths_m.argsort()
    assert depths_m[near] < 2 < depths_m[far] < 4
    assert boxes_px[near, 0] > 320 > boxes_px[far, 2]  # the near one stands on the right
    assert ((people.height_m > 1.4) & (people.height_m < 2.1)).all()


def test_they_find_people_of_held_out_scenes() -> None:
    measures = compare([WEIGHTS], 24, torch.device('cpu'), 8, DEFAULT_THRESHOLD)[WEIGHTS.stem]
    metrics = json.loads((ROOT / 'weights' / 'metrics.json').read_text())
    assert measures['people'] > 30
    assert measures['F1'] > metrics['F1'] - 0.15
    assert measures['depth_error_percent'] < metrics['depth_error_percent'] + 10
