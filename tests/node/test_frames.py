from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
import numpy as np
from ros_tools import Rig
import stand_in

DELAY_S, RATE_HZ, SECONDS = 0.2, 30, 4


def values(diagnostics: list[DiagnosticArray], camera: str) -> dict[str, str]:
    """Return the newest values that the diagnostics tell about a camera."""
    for array in reversed(diagnostics):
        for status in array.status:
            if status.name.endswith(f': {camera}'):
                return {pair.key: pair.value for pair in status.values}
    return {}


def test_only_the_newest_frame(rig: Rig) -> None:
    """
    At 30 Hz and 200 ms in the network results are no older than that and two periods.

    All but a tenth of them, for the machine may be busy; frames that were passed over are
    counted, and parameters are answered in the meantime.
    """
    rig.start_node(env={stand_in.DELAY_S: str(DELAY_S)})
    diagnostics = rig.diagnostics()
    camera = rig.camera()
    results = rig.humans()
    rig.exchange(camera, results)
    results.clear()
    ages, sent, answered = [], 0, []
    started = time.monotonic()
    while (now := time.monotonic()) < started + SECONDS:
        if now >= started + sent / RATE_HZ:
            camera.send()
            sent += 1
        if sent > len(answered) * RATE_HZ:
            before = time.monotonic()
            assert rig.set(confidence_threshold=0.4).successful
            answered.append(time.monotonic() - before)
        seen = len(results)
        rig.spin(0.002)
        for message in results[seen:]:
            stamp = message.header.stamp
            age_ns = rig.node.get_clock().now().nanoseconds - stamp.nanosec - stamp.sec * 10**9
            ages.append(age_ns * 1e-9)
    assert len(ages) > 0.6 * SECONDS / DELAY_S
    assert np.quantile(ages, 0.9) < DELAY_S + 2 / RATE_HZ
    assert np.median(answered) < 0.1
    rig.spin(1.5)
    counts = values(diagnostics, 'camera')
    received, dropped = int(counts['frames received']), int(counts['frames dropped'])
    assert received > 0.9 * sent
    assert abs(received - dropped - int(counts['results'])) <= 1
    assert dropped > received / 2


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
