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

import sys
import types

from mahmr_node.gpu import gpu_memory
import pytest
from ros_tools import Rig, values

STEPS = ('waiting', 'preparing', 'network', 'tracking', 'publishing', 'age')


def test_values(rig: Rig) -> None:
    """Rate, latency by step, age, drops, people and the last error are told of each camera."""
    process = rig.start_node(parameters={'cameras': '[left, right]'})
    process.may_show_tracebacks = True
    diagnostics = rig.diagnostics()
    camera, results = rig.camera('left'), rig.humans('left')
    rig.exchange(camera, results)
    camera.send(fault=1)
    rig.wait(lambda: values(diagnostics, 'left').get('frames failed') == '1', 'the fault')
    rig.exchange(camera, results, people=3)
    rig.wait(lambda: values(diagnostics, 'left').get('people') == '3', 'three people')
    told = values(diagnostics, 'left')
    assert 'the stand-in was asked to fail' in told['last error']
    assert told['calibration'] == 'missing'
    assert int(told['frames received']) == int(told['results']) + 1 + int(told['frames dropped'])
    for step in STEPS:
        assert float(told[f'{step} (ms)']) >= 0
    assert float(told['rate (Hz)']) >= 0
    assert values(diagnostics, 'right')['results'] == '0'


def test_gpu_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU nothing is said; with two, of the one that is used."""
    monkeypatch.delitem(sys.modules, 'torch', raising=False)
    assert gpu_memory() == {}
    monkeypatch.setitem(sys.modules, 'torch', types.ModuleType('torch'))
    assert gpu_memory() == {}, 'while another thread imports torch'
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_reserved=lambda index: (0, 3 * 2**30)[index],
        mem_get_info=lambda index: (5 * 2**30, 8 * 2**30),
    )
    monkeypatch.setitem(sys.modules, 'torch', types.SimpleNamespace(cuda=cuda))
    assert gpu_memory() == {
        'GPU 1 memory of this node (MiB)': '3072',
        'GPU 1 memory free (MiB)': '5120 of 8192',
    }
