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
The node for minutes at 30 Hz with a slow network: `python tests/node/soak.py --seconds 600`.

Prints JSON: how old results are when they arrive, what became of the frames, memory and threads
of the node's process over time, and how fast parameters are answered meanwhile.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
import json
import os
from pathlib import Path
import sys
import tempfile
import time

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'ros2_ws')]
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_tools import Caller, own_domain, Rig, values  # noqa: E402
import stand_in  # noqa: E402

NETWORK_S, RATE_HZ = 0.2, 30.0
ALLOWED_AGE_S = NETWORK_S + 2 / RATE_HZ


@dataclass
class Report:
    """What a run has shown; times in seconds, memory in MiB."""

    sent: int = 0
    received: int = 0
    dropped: int = 0
    lost: int = 0
    published: int = 0
    results: int = 0
    """Those that have arrived."""
    ages_s: list[float] = field(default_factory=list, repr=False)
    answers_s: list[float] = field(default_factory=list, repr=False)
    memory_mib: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Return it with quantiles in place of the long lists."""
        numbers = asdict(self)
        for name in ('ages_s', 'answers_s'):
            values = numbers.pop(name)
            points = {'median': 0.5, '90 %': 0.9, '99 %': 0.99, 'max': 1.0}
            numbers[name] = {p: round(float(np.quantile(values, q)), 4) for p, q in points.items()}
        numbers['age allowed'] = ALLOWED_AGE_S
        numbers['share of ages within'] = float(np.mean(np.array(self.ages_s) < ALLOWED_AGE_S))
        return numbers


def soak(rig: Rig, seconds: float, size: tuple[int, int], samples: int = 20) -> Report:
    """Send pictures at 30 Hz for so long; look at the process `samples` times meanwhile."""
    process = rig.start_node(env={stand_in.DELAY_S: str(NETWORK_S)})
    camera, results = rig.camera(), rig.humans()
    set_parameters = Caller(rig, SetParameters, '/mahmr/set_parameters')
    change = SetParameters.Request(
        parameters=[Parameter('tracking', value=True).to_parameter_msg()]
    )
    rig.exchange(camera, results)
    diagnostics = rig.diagnostics()
    report = Report(sent=1, results=1)
    started = time.monotonic()
    while (now := time.monotonic() - started) < seconds:
        if now >= report.sent / RATE_HZ:
            camera.send(size=size)
            report.sent += 1
        if now >= len(report.answers_s):
            report.answers_s.append(set_parameters(change)[1])
        if now >= (len(report.threads) + 0.5) * seconds / samples:
            report.memory_mib.append(process.memory_mib)
            report.threads.append(process.threads)
        rig.spin(0.002)
        report.ages_s += [rig.age_s(message) for message in results]
        report.results += len(results)
        results.clear()
        del diagnostics[:-1]
    before = len(diagnostics)
    rig.wait(lambda: len(diagnostics) >= before + 3, 'the counts after the last picture')
    counts = values(diagnostics, 'camera')
    report.received, report.dropped = int(counts['frames received']), int(counts['frames dropped'])
    report.lost = int(counts['frames lost on the way'])
    report.published = int(counts['results'])
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=600)
    parser.add_argument('--size', type=int, nargs=2, default=(1280, 720))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, own_domain() as domain:
        rig = Rig(domain, Path(folder))
        try:
            report = soak(rig, options.seconds, tuple(options.size))
        finally:
            rig.close()
    sys.stdout.write(json.dumps(report.summary(), indent=2) + '\n')


if __name__ == '__main__':
    main()
