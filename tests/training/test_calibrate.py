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
"""Weights are calibrated on scenes: what is set is what was found to be best there."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path
import re

from mahmr_model.checkpoint import read_checkpoint, save_weights
from mahmr_model.weights import load_model
import pytest
from tiny import run_config, tiny_model
import torch
from training.calibrate import calibrated, main
from training.export import adjust, Adjustment

OPEN = Path('weights/mahmr_open.safetensors')
CPU = torch.device('cpu')


def test_what_is_written_is_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'calibrated.safetensors'
    assert main([str(OPEN), str(out), '--count', '8', '--device', 'cpu']) == 0
    said = re.search(
        r'confidences of (\S+) are 0.3 .* more than (\S+) are one, .* (\S+) degrees wider, '
        r'people are (\S+) times nearer',
        capsys.readouterr().out,
    )
    assert said is not None
    threshold, overlap, wider_deg, nearer = map(float, said.groups())
    before, after = load_model(OPEN).network, load_model(out).network
    assert read_checkpoint(out).config.overlap_threshold == overlap
    shift = (after.conf_head.bias - before.conf_head.bias).detach()
    logits = torch.tensor([0.3, threshold]).logit()
    assert float(shift) == pytest.approx(float(logits[0] - logits[1]), abs=5e-3)
    wider = (after.fov_head.last.bias - before.fov_head.last.bias).rad2deg().detach()
    assert float(wider) == pytest.approx(wider_deg, abs=0.05)
    scale = (after.cam_head.last.bias - before.cam_head.last.bias).detach()
    assert scale.tolist() == pytest.approx([0, 0, math.log(nearer)], abs=5e-3)
    again = calibrated(out, 8, CPU, 4)
    assert again.wider_deg == pytest.approx(0, abs=0.1)
    assert again.nearer == pytest.approx(1, abs=0.02)  # others may be found now


def test_a_network_without_a_camera_branch_has_no_field_of_view_to_set() -> None:
    config = run_config()
    config = replace(config, model=replace(config.model, camera_branch=False))
    network = tiny_model(config).network
    adjust(network, Adjustment(0.5, 0.6, 3.0, 1.1))
    assert network.config.overlap_threshold == 0.6


def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, out = tmp_path / 'none.safetensors', tmp_path / 'out.safetensors'
    assert main([str(missing), str(out), '--count', '1']) == 2
    assert 'none.safetensors' in capsys.readouterr().err
    assert not out.exists()


def test_a_network_that_finds_nobody_is_not_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_model(OPEN).network
    torch.nn.init.constant_(network.conf_head.bias, -20)
    blind, out = tmp_path / 'blind.safetensors', tmp_path / 'out.safetensors'
    save_weights(network, blind, 'open')
    assert main([str(blind), str(out), '--count', '1', '--device', 'cpu']) == 2
    assert 'finds none of the people of 1 scenes' in capsys.readouterr().err
    assert not out.exists()


def test_where_nothing_can_be_written_nothing_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('training.calibrate.calibrated', lambda *_: pytest.fail('measured'))
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.safetensors').mkdir()
    for out in (tmp_path / 'file' / 'out.safetensors', tmp_path / 'folder.safetensors'):
        assert main([str(OPEN), str(out), '--device', 'cpu']) == 2
        assert f'{out} cannot be written' in capsys.readouterr().err
