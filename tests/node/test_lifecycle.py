from __future__ import annotations

import importlib.util
import signal
import time

from mahmr_msgs.msg import HumanArray
import pytest
from ros_tools import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Rig, STAND_IN
import stand_in


def test_round_trip(rig: Rig) -> None:
    """Every state does what it should: only the active node listens and publishes."""
    rig.start_node(active=False)
    assert rig.state() == 'unconfigured'
    for _ in range(2):
        assert rig.change_state(CONFIGURE)
        assert rig.state() == 'inactive'
        results = rig.humans()
        assert rig.node.count_subscribers('/camera/image_raw') == 0
        assert rig.change_state(ACTIVATE)
        camera = rig.camera()
        assert len(rig.exchange(camera, results, people=2).humans) == 2
        assert rig.change_state(DEACTIVATE)
        rig.wait(lambda: rig.node.count_subscribers('/camera/image_raw') == 0, 'no listener')
        assert rig.change_state(CLEANUP)
        rig.wait(lambda: rig.node.count_publishers('/mahmr/camera/humans') == 0, 'no publisher')
        assert rig.state() == 'unconfigured'


def test_deactivated_mid_frame_publishes_nothing(rig: Rig) -> None:
    """A frame that is in the network when the node is deactivated is not published."""
    log = rig.folder / 'batches'
    rig.start_node(env={stand_in.DELAY_S: '1.0', stand_in.LOG: str(log)})
    results = rig.humans()
    camera = rig.camera()
    camera.send()
    rig.spin(0.3)
    started = time.monotonic()
    assert rig.change_state(DEACTIVATE)
    assert time.monotonic() - started < 0.5, 'the transition waited for the network'
    rig.wait(log.exists, 'the frame to come out of the network')
    rig.spin(0.3)
    assert results == []


@pytest.mark.parametrize('delay_s', [0.0, 2.0], ids=['idle', 'at work'])
def test_cleanup_frees_the_network(rig: Rig, delay_s: float) -> None:
    """The network's memory is given back, after the frame that is in it."""
    log = rig.folder / 'log'
    rig.start_node(env={stand_in.DELAY_S: str(delay_s), stand_in.LOG: str(log)})
    rig.camera().send()
    rig.spin(0.3)
    started = time.monotonic()
    assert rig.change_state(DEACTIVATE)
    assert rig.change_state(CLEANUP)
    assert time.monotonic() - started < 1.0, 'a transition waited for the network'
    rig.wait(lambda: log.exists() and 'freed' in log.read_text(), 'the network to be freed')


@pytest.mark.parametrize(
    ('parameter', 'package'), [('publish_tf', 'tf2_msgs'), ('publish_bodies', 'hri_msgs')]
)
def test_without_optional_package(rig: Rig, parameter: str, package: str) -> None:
    """Where a package that is asked for is missing, configuring says so."""
    process = rig.start_node(active=False, parameters={parameter: True})
    there = importlib.util.find_spec(package) is not None
    assert rig.change_state(CONFIGURE) == there
    said = f'configure failed: {parameter} needs the ROS package {package}'
    assert there or said in process.output


def test_failed_configure_then_good(rig: Rig) -> None:
    """The cause is logged and shown, the node stays up and can be configured again."""
    blocker = rig.folder / 'blocker'
    blocker.touch()
    process = rig.start_node(active=False, env={stand_in.LOAD_FAILS_WHILE: str(blocker)})
    diagnostics = rig.diagnostics()
    assert not rig.change_state(CONFIGURE)
    assert rig.state() == 'unconfigured'
    assert 'configure failed: The stand-in was asked not to load.' in process.output
    rig.wait(
        lambda: any(
            s.level == b'\x02' and 'asked not to load' in s.message
            for array in diagnostics
            for s in array.status
        ),
        'an ERROR in the diagnostics',
    )
    blocker.unlink()
    assert rig.change_state(CONFIGURE)
    assert rig.state() == 'inactive'


def test_impossible_transition_is_answered(rig: Rig) -> None:
    """A transition that the state does not offer is refused, and the node goes on."""
    rig.start_node(active=False)
    assert not rig.change_state(ACTIVATE)
    assert rig.state() == 'unconfigured'
    assert rig.change_state(CONFIGURE)
    assert not rig.change_state(CONFIGURE)
    assert rig.state() == 'inactive'


def test_fault_of_a_callback_is_survived(rig: Rig) -> None:
    """An exception that a callback lets out is logged, and services are answered after it."""
    process = rig.start_node(env={stand_in.REFRESH_FAILS: '1'})
    process.may_show_tracebacks = True
    rig.wait(lambda: 'the stand-in was asked to fail' in process.output, 'the fault in the log')
    assert rig.state() == 'active'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_during_inference(rig: Rig, number: signal.Signals) -> None:
    """A signal while a frame is in the network ends the process well within 5 s, with code 0."""
    process = rig.start_node(env={stand_in.DELAY_S: '20'})
    camera = rig.camera()
    camera.send()
    rig.spin(0.5)
    assert process.stop(number) < 5.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_loading(rig: Rig, number: signal.Signals) -> None:
    """The same while the network is being loaded, by autostart."""
    process = rig.start_node(
        active=False, parameters={'autostart': True}, env={stand_in.LOAD_DELAY_S: '20'}
    )
    rig.wait(lambda: rig.node.count_publishers('/diagnostics') > 0, 'the node')
    rig.spin(0.5)
    assert process.stop(number) < 5.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_starting(rig: Rig, number: signal.Signals) -> None:
    """The same from the first moment on, while modules are still being imported."""
    process = rig.start(['-m', 'mahmr_node.main'])
    rig.wait(lambda: process.handles(signal.SIGTERM), 'the handlers')
    assert process.stop(number) < 5.0


def test_signal_when_idle(rig: Rig) -> None:
    """An active node without pictures ends at once."""
    assert rig.start_node().stop() < 5.0


def test_autostart_and_two_beside_each_other(rig: Rig) -> None:
    """Two copies under their own names serve their own topics, started without a manager."""
    for name in ('one', 'two'):
        rig.start_node(
            active=False,
            parameters={'autostart': True, 'cameras': f'[{name}]'},
            remap={'__node': name, '__ns': '/robot'},
        )
    for name in ('one', 'two'):
        results = rig.collect(HumanArray, f'/robot/{name}/{name}/humans')
        camera = rig.camera(f'robot/{name}')
        assert len(rig.exchange(camera, results, people=3).humans) == 3


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('cameras', '[two words]', 'cameras has "two words"'),
        ('cameras', '[]', 'cameras'),
        ('precision', 'int3', 'precision is one of float32'),
        ('confidence_threshold', 'high', 'confidence_threshold'),
        ('confidence_threshold', '1.5', 'confidence_threshold'),
    ],
)
def test_bad_parameter_at_start(rig: Rig, name: str, value: str, said: str) -> None:
    """A parameter that cannot be ends the process with one sentence and a code."""
    process = rig.start([str(STAND_IN)], parameters={name: value}, fails=True)
    assert process.wait() == 2
    assert said in process.output
    assert 'Traceback' not in process.output
