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

from collections.abc import Callable
import importlib.util
from pathlib import Path
import re
import signal
import time

from lifecycle_msgs.srv import ChangeState, GetState
from mahmr_model.errors import UserError
from mahmr_msgs.msg import HumanArray
from mahmr_node.node import MahmrNode
import pytest
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.context import Context
from ros_tools import (
    ACTIVATE,
    Caller,
    Camera,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    RELIABLE,
    Rig,
    STAND_IN,
    VIDEO_CAMERA,
)
import stand_in


def wait_for(rig: Rig, log: Path, line: str) -> None:
    """Wait until the stand-in has written a line (see `stand_in.py`) into its log."""
    rig.wait(lambda: log.exists() and line in log.read_text(), f'"{line}" of the network')


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
    wait_for(rig, log, 'entered')
    started = time.monotonic()
    assert rig.change_state(DEACTIVATE)
    assert time.monotonic() - started < 0.5, 'the transition waited for the network'
    wait_for(rig, log, 'batch')
    rig.spin(0.3)
    assert results == []


@pytest.mark.parametrize(('delay_s', 'at'), [(0.0, 'batch'), (2.0, 'entered')])
def test_cleanup_frees_the_network(rig: Rig, delay_s: float, at: str) -> None:
    """
    The network's memory is given back, after the frame that is in it.

    The next network is loaded only then.
    """
    log = rig.folder / 'log'
    rig.start_node(env={stand_in.DELAY_S: str(delay_s), stand_in.LOG: str(log)})
    rig.camera().send()
    wait_for(rig, log, at)
    started = time.monotonic()
    assert rig.change_state(DEACTIVATE)
    assert rig.change_state(CLEANUP)
    assert time.monotonic() - started < 1.0, 'a transition waited for the network'
    assert rig.change_state(CONFIGURE)
    assert log.read_text().split() == ['loading', 'entered', 'batch', '1', 'freed', 'loading']


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


def test_many_cycles(rig: Rig) -> None:
    """The whole way up and down, fifty times, leaves neither memory nor threads behind."""
    process = rig.start_node(active=False)
    camera = Camera(rig, 'camera', RELIABLE)
    results: list[HumanArray] = []
    rig.node.create_subscription(HumanArray, '/mahmr/camera/humans', results.append, RELIABLE)
    change_state = Caller(rig, ChangeState, '/mahmr/change_state')
    settled = 0.0
    for cycle in range(50):
        for transition in (CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP):
            request = ChangeState.Request()
            request.transition.id = transition
            assert change_state(request)[0].success
            if transition == ACTIVATE and cycle % 10 == 0:
                results.clear()
                rig.wait(lambda: (camera.send(), results)[1], 'a result')
        if cycle == 10:
            settled, threads = process.memory_mib, process.threads
    assert process.memory_mib < settled + 4
    assert process.threads <= threads + 2, 'each cycle leaves threads'


def test_signal_after_deactivation_mid_frame(rig: Rig) -> None:
    """A network that still computes for a deactivated node does no harm to the end."""
    log = rig.folder / 'log'
    process = rig.start_node(
        env={stand_in.DELAY_S: '20', stand_in.COMPUTES: '1', stand_in.LOG: str(log)}
    )
    camera = rig.camera()
    camera.send()
    wait_for(rig, log, 'entered')
    assert rig.change_state(DEACTIVATE)
    assert rig.change_state(CLEANUP)
    assert process.stop() < 5.0
    assert 'batch' not in log.read_text(), 'the network was waited for'


def test_broken_model_file(rig: Rig) -> None:
    """The true loader: a file that is no model fails the transition, says why, and no more."""
    weights = rig.folder / 'half.bin'
    weights.write_bytes(b'half a download')
    process = rig.start(['-m', 'mahmr_node.main'], parameters={'weights': weights})
    assert not rig.change_state(CONFIGURE)
    assert f'configure failed: {weights}' in process.output
    weights.unlink()
    assert not rig.change_state(CONFIGURE)
    assert process.output.count('configure failed') == 2
    assert rig.state() == 'unconfigured'


def test_services_answer_during_inference(rig: Rig) -> None:
    """While one frame is in a network that computes, twenty calls a 100 ms each are answered."""
    log = rig.folder / 'log'
    rig.start_node(env={stand_in.DELAY_S: '4', stand_in.COMPUTES: '1', stand_in.LOG: str(log)})
    get_state = Caller(rig, GetState, '/mahmr/get_state')
    get_parameters = Caller(rig, GetParameters, '/mahmr/get_parameters')
    camera = rig.camera()
    camera.send()
    wait_for(rig, log, 'entered')
    for _ in range(20):
        assert get_state(GetState.Request())[0].current_state.label == 'active'
        assert get_parameters(GetParameters.Request(names=['tracking']))[0].values[0].bool_value
    assert 'batch' not in log.read_text(), 'the frame has come out of the network by now'
    assert rig.change_state(DEACTIVATE)


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
    log = rig.folder / 'log'
    process = rig.start_node(env={stand_in.DELAY_S: '20', stand_in.LOG: str(log)})
    camera = rig.camera()
    camera.send()
    wait_for(rig, log, 'entered')
    assert process.stop(number) < 5.0
    assert 'batch' not in log.read_text(), 'the network was waited for'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_loading(rig: Rig, number: signal.Signals) -> None:
    """The same while the network is being loaded, by autostart."""
    log = rig.folder / 'log'
    env = {stand_in.LOAD_DELAY_S: '20', stand_in.LOG: str(log)}
    process = rig.start_node(active=False, parameters={'autostart': True}, env=env)
    wait_for(rig, log, 'loading')
    assert process.stop(number) < 5.0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_while_starting(rig: Rig, number: signal.Signals) -> None:
    """The same from the first moment on, while modules are still being imported."""
    process = rig.start(['-m', 'mahmr_node.main'])
    rig.wait(lambda: process.handles(signal.SIGTERM), 'the handlers')
    assert process.stop(number) < 5.0


@pytest.mark.parametrize('moment', ['starting', 'made', 'listening', 'publishing'])
def test_signal_at_any_moment(rig: Rig, moment: str) -> None:
    """Whatever the node is at, with pictures coming, it ends well; a second signal is no harm."""
    process = rig.start_node(
        active=False, parameters={'autostart': True}, env={stand_in.DELAY_S: '0.1'}
    )
    camera = Camera(rig, 'camera', RELIABLE)
    results: list[HumanArray] = []
    rig.node.create_subscription(HumanArray, '/mahmr/camera/humans', results.append, RELIABLE)
    reached: Callable[[], object] = {
        'starting': lambda: process.handles(signal.SIGTERM),
        'made': lambda: rig.node.count_publishers('/diagnostics') > 0,
        'listening': lambda: camera.images.get_subscription_count() > 0,
        'publishing': lambda: results,
    }[moment]
    rig.wait(lambda: (camera.send(), reached())[1], f'the node to be {moment}')
    first, second = signal.SIGINT, signal.SIGTERM
    process.send(first)
    rig.spin(0.01)
    assert process.stop(second) < 5.0


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
        ('precision', 'int3', 'precision is one of auto, float32'),
        ('camera.image_topic', 'bad topic', 'camera.image_topic is "bad topic"'),
        ('camera.camera_info_topic', 'x/1', 'camera.camera_info_topic is "x/1"'),
        ('confidence_threshold', 'high', 'confidence_threshold'),
        ('confidence_threshold', '1.5', 'confidence_threshold'),
    ],
)
def test_bad_parameter_at_start(domain: int, name: str, value: str, said: str) -> None:
    """A parameter that cannot be is named, and there is no node."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        with pytest.raises(UserError, match=re.escape(said)):
            MahmrNode(context=context, cli_args=['--ros-args', '-p', f'{name}:={value}'])
    finally:
        rclpy.shutdown(context=context)


def test_what_cannot_be_at_start_ends_the_process(rig: Rig) -> None:
    """With one sentence and a code."""
    process = rig.start([str(STAND_IN)], parameters={'precision': 'int3'}, fails=True)
    assert process.wait() == 2
    assert 'precision is one of auto, float32' in process.output
    assert 'Traceback' not in process.output


@pytest.mark.parametrize('program', [[str(STAND_IN)], VIDEO_CAMERA])
def test_arguments_that_ros_does_not_take(rig: Rig, program: list[str]) -> None:
    """Such as a file of parameters that is not there."""
    process = rig.start([*program, '--ros-args', '--params-file', '/nothere.yaml'], fails=True)
    assert process.wait() == 2
    assert '/nothere.yaml' in process.output
    assert 'correct what stands behind --ros-args' in process.output
    assert 'Traceback' not in process.output
