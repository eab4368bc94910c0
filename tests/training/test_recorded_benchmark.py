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

"""The benchmark of recorded steps on a tiny network; how fast they are is judged by people."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded_scenes import config_of_tiny
from training import recorded_benchmark
from training.config import load_config, RunConfig
from training.recorded_benchmark import main


def tiny() -> RunConfig:
    config = replace(config_of_tiny(), losses=load_config('open_1').losses)
    training = replace(config.training, batch_size=2)
    return replace(config, training=training, data=replace(config.data, kept_scenes=4))


def test_a_table_and_the_costliest_operations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_benchmark, 'load_config', lambda *_: tiny())
    assert main(['--runs', '2']) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.endswith(' ms')]
    assert len(lines) == 4
    assert all(float(line.split()[-2]) > 0 for line in lines)
    assert 'aten::addmm' in said


def test_steps_that_are_not_recorded_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--cfg', 'train_chmr']) == 2
    assert 'The steps of train_chmr are not recorded ones' in capsys.readouterr().err
