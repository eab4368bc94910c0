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

"""
What the node promises about a GPU's memory, tried on one: `python tests/node/gpu_check.py`.

Needs no ROS. Two pictures go through the network together; too little memory costs one picture and
is told; then it works again; unloading gives the memory back. Prints JSON, fails by an assertion.
"""

from __future__ import annotations

import json
from pathlib import Path
import sys
import time

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'ros2_ws')]

from mahmr_model.errors import UserError  # noqa: E402, I100
from mahmr_model.predictor import Predictor  # noqa: E402
from mahmr_model.render import draw_overlay  # noqa: E402
from mahmr_node.inference import Inference  # noqa: E402

MIB = 2**20
KEPT_MIB = 128
"""What may stay: tables and small buffers that belong to the process."""


def reserved_mib() -> int:
    return torch.cuda.memory_reserved() // MIB


def main() -> None:
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), np.uint8)
    before_mib = reserved_mib()
    inference = Inference(Predictor.load(device='cuda'))
    people = inference.run([image, image], [None, None], 0.3)
    assert not any(isinstance(p, Exception) for p in people), people
    loaded_mib = reserved_mib()

    torch.cuda.empty_cache()
    hog = torch.empty(torch.cuda.mem_get_info()[0] - 64 * MIB, dtype=torch.uint8, device='cuda')
    larger = np.tile(image, (4, 4, 1))
    short = inference.run([image, larger], [None, None], 0.3)
    told = [str(p) for p in short if isinstance(p, Exception)]
    assert all(isinstance(p, UserError) for p in short if isinstance(p, Exception)), short
    del hog, short
    torch.cuda.empty_cache()
    again = inference.run([image], [None], 0.3)
    assert not isinstance(again[0], Exception), again

    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        draw_overlay(image, again[0], device='cuda')
        seconds.append(time.perf_counter() - started)
    count = len(again[0])
    del people, again
    inference.close()
    report = {
        'MiB before, loaded, unloaded': [before_mib, loaded_mib, reserved_mib()],
        'told without memory': told,
        f'overlay of {count} people (ms)': 1000 * min(seconds),
    }
    sys.stdout.write(json.dumps(report, indent=2) + '\n')
    assert reserved_mib() <= before_mib + KEPT_MIB, 'memory was not given back'


if __name__ == '__main__':
    main()
