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

import threading

from mahmr_node.frame_slot import FrameSlot
import numpy as np
from ros_tools import Rig
from sensor_msgs.msg import Image
from soak import ALLOWED_AGE_S, NETWORK_S, soak
import stand_in

SECONDS = 5


def test_only_the_newest_frame(rig: Rig) -> None:
    """
    At 30 Hz and 200 ms in the network results are no older than that and two periods.

    All but a tenth of them, for the machine may be busy; frames that were passed over are
    counted. `soak.py` does the same for ten minutes.
    """
    report = soak(rig, SECONDS, (640, 480), samples=5)
    assert len(report.ages_s) > 0.6 * SECONDS / NETWORK_S
    assert np.quantile(report.ages_s, 0.9) < ALLOWED_AGE_S
    assert report.received + report.lost > 0.97 * report.sent, 'frames that nobody counts'
    assert abs(report.received - report.dropped - report.published) <= 1
    assert report.dropped > report.received / 2
    assert max(report.threads) == min(report.threads)


def test_lost_frames_are_counted() -> None:
    """Numbers that are missing; not a publisher that starts anew, nor one without numbers."""
    slot = FrameSlot(threading.Condition())
    for number in (7, 8, 12, 1, 2, None, 9, 11):
        slot.put('picture', number)
    assert (slot.received, slot.dropped, slot.lost) == (8, 7, 3 + 1)


def test_two_cameras_one_stalled(rig: Rig) -> None:
    """Both are served, waiting frames as one batch; one that stalls blocks nothing."""
    log = rig.folder / 'log'
    rig.start_node(
        parameters={'cameras': '[left, right]'},
        env={stand_in.DELAY_S: '0.2', stand_in.LOG: str(log)},
    )
    left, right = rig.camera('left'), rig.camera('right')
    results = {name: rig.humans(name) for name in ('left', 'right')}
    rig.exchange(left, results['left'])
    rig.exchange(right, results['right'])
    for _ in range(5):
        before = {name: len(messages) for name, messages in results.items()}
        left.send(people=1)
        right.send(people=2)
        rig.wait(lambda: all(len(results[n]) > before[n] for n in results), 'both')  # noqa: B023
    assert len(results['left'][-1].humans) == 1
    assert len(results['right'][-1].humans) == 2
    rig.spin(0.3)
    # The first of a pair may enter the network alone while the second is on its way.
    left.send()
    rig.spin(0.05)
    left.send()
    right.send()
    rig.spin(0.8)
    assert 'batch 2' in log.read_text()
    for people in (1, 2, 3):
        assert len(rig.exchange(left, results['left'], people=people).humans) == people


def test_fast_camera_leaves_room(rig: Rig) -> None:
    """Beside a camera that floods a slow network every picture of a calm one is answered."""
    rig.start_node(parameters={'cameras': '[left, right]'}, env={stand_in.DELAY_S: '0.1'})
    flood, calm = rig.camera('left'), rig.camera('right')
    results = {name: rig.humans(name) for name in ('left', 'right')}
    rig.exchange(flood, results['left'])
    rig.exchange(calm, results['right'])
    for people in (1, 2, 3, 4):
        sent = calm.send(people=people)
        before = len(results['left'])

        def answered(sent: Image = sent) -> bool:
            flood.send()
            rig.spin(0.01)
            return results['right'][-1].header == sent.header

        rig.wait(answered, 'the calm camera')
        assert len(results['right'][-1].humans) == people
        assert len(results['left']) - before <= 4, 'the calm camera was passed over'


def test_fault_of_one_camera_spares_the_other(rig: Rig) -> None:
    """A picture that breaks the batch is found out; the other camera's gets through."""
    process = rig.start_node(
        parameters={'cameras': '[left, right]'}, env={stand_in.DELAY_S: '0.3'}
    )
    process.may_show_tracebacks = True
    left, right = rig.camera('left'), rig.camera('right')
    results = {name: rig.humans(name) for name in ('left', 'right')}
    rig.exchange(left, results['left'])
    rig.exchange(right, results['right'])
    left.send()
    rig.spin(0.1)
    for fault in (1, 3):
        left.send(fault=fault)
        stamp = right.send(people=2).header.stamp
        rig.wait(lambda: results['right'][-1].header.stamp == stamp, 'the sound one')  # noqa: B023
        assert len(results['right'][-1].humans) == 2
