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

"""The lifecycle node: camera topics in, metric people out."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from mahmr_model.errors import UserError
from mahmr_model.tracking import Smoother, Tracker
from mahmr_node.bodies import Bodies
from mahmr_node.camera_input import CameraInput
from mahmr_node.camera_output import CameraOutput, Shared
from mahmr_node.diagnostics import CameraStatistics, Diagnostics, STEADY
from mahmr_node.frame_slot import FrameSlot
from mahmr_node.inference import Inference, load_predictor, LoadPredictor
from mahmr_node.mesh import MeshReducer
from mahmr_node.parameters import Parameters
from mahmr_node.transforms import Transforms
from mahmr_node.worker import CameraLine, Worker
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

# How often publishers of pictures that have come or gone are looked for.
REFRESH_S = 0.25

STATE_AFTER = {
    'configure': 'inactive',
    'activate': 'active',
    'deactivate': 'inactive',
    'cleanup': 'unconfigured',
    'shutdown': 'finalized',
}


class MahmrNode(LifecycleNode):
    """
    `mahmr`: unconfigured it has parameters and diagnostics only.

    Configured it holds the network and its publishers; active it also subscribes and publishes.
    """

    def __init__(self, load: LoadPredictor = load_predictor, **node_options: Any) -> None:
        """
        Declare the parameters; `load` makes the predictor when the node is configured.

        :raises UserError: for a parameter that cannot be used.
        """
        super().__init__('mahmr', **node_options)
        self._answer_impossible_transitions()
        self._load = load
        self.mahmr_parameters = Parameters(self)
        self._inference: Inference | None = None
        self._closed_inference: Inference | None = None
        self._outputs: dict[str, CameraOutput] = {}
        self._transforms: Transforms | None = None
        self._bodies: Bodies | None = None
        self._lines: list[CameraLine] = []
        self._worker: Worker | None = None
        self._stopped: list[Worker] = []
        self._lifecycle_state = 'unconfigured'
        self._diagnostics = Diagnostics(
            self,
            state=lambda: self._lifecycle_state,
            cameras=lambda: [line.statistics for line in self._lines],
        )
        self.create_timer(REFRESH_S, self._refresh, clock=STEADY)
        if self.mahmr_parameters.settings.autostart:
            self._autostart_timer = self.create_timer(0.0, self._autostart, clock=STEADY)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and make the publishers."""
        return self._transition('configure', state, self._configure, undo=self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        return self._transition('activate', state, self._start, undo=self._stop)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop publishing at once, and unsubscribe."""
        return self._transition('deactivate', state, self._stop)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the network's memory and take the publishers down."""
        return self._transition('cleanup', state, self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave everything, from whichever state."""
        return self._transition('shutdown', state, self._leave)

    def close(self, timeout_s: float) -> bool:
        """End all work for good; whether the worker has ended within `timeout_s` seconds."""
        self._leave()
        end_s = time.monotonic() + timeout_s
        ended = [worker.join(max(end_s - time.monotonic(), 0)) for worker in self._stopped]
        return all(ended)

    def _answer_impossible_transitions(self) -> None:
        """
        Have a transition that the node's state does not offer answered as a failure.

        rclpy raises there, into the executor, and whoever asked would wait for ever.
        """

        def answering(change: Callable[..., Any]) -> Callable[..., Any]:
            def callback(request: Any, response: Any) -> Any:
                try:
                    return change(request, response)
                except RuntimeError as error:
                    self.get_logger().error(f'no such transition from this state: {error}')
                    response.success = False
                    return response

            return callback

        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = answering(service.callback)

    def _transition(
        self,
        name: str,
        state: LifecycleState,
        work: Callable[[], None],
        undo: Callable[[], None] = lambda: None,
    ) -> TransitionCallbackReturn:
        """Do a transition's work; rclpy would swallow its exceptions without a word."""
        self._diagnostics.transition_error = ''
        try:
            work()
            # The base class tells the publishers whether they may publish.
            done: TransitionCallbackReturn = getattr(super(), f'on_{name}')(state)
        except Exception as error:
            text = str(error)
            if not isinstance(error, UserError):
                text = f'{type(error).__name__}: {error}'
                self.get_logger().error(traceback.format_exc())
            self.get_logger().error(f'{name} failed: {text}')
            self._diagnostics.transition_error = f'{name} failed: {text}'
            undo()
            return TransitionCallbackReturn.FAILURE
        self._lifecycle_state = STATE_AFTER[name]
        return done

    def _configure(self) -> None:
        if self._closed_inference is not None:
            # Its end would take away what the next network has recorded its CUDA graphs with.
            self._closed_inference.wait_until_freed()
            self._closed_inference = None
        settings = self.mahmr_parameters.settings
        if settings.publish_tf:
            self._transforms = Transforms(self, bodies=settings.publish_bodies)
        self._bodies = Bodies(self) if settings.publish_bodies else None
        predictor = self._load(settings)
        if predictor.untrained:
            self.get_logger().warning(
                f'the weights "{predictor.weights_name}" are UNTRAINED: no result means anything'
            )
        self.get_logger().info(
            f'weights {predictor.weights_name}, {len(predictor.faces)} faces a person, cameras '
            f'{", ".join(settings.cameras)}'
        )
        self._inference = Inference(predictor)
        reduce_mesh = MeshReducer(predictor.rest_vertices_m, predictor.faces)
        shared = Shared(reduce_mesh, self._transforms, self._bodies, str(predictor.device))
        for name in settings.cameras:
            self._outputs[name] = CameraOutput(self, name, settings.output_reliability, shared)

    def _release(self) -> None:
        for publishing in (*self._outputs.values(), self._transforms, self._bodies):
            if publishing is not None:
                publishing.close()
        self._outputs, self._transforms, self._bodies = {}, None, None
        if self._inference is not None:
            self._inference.close()
            self._closed_inference, self._inference = self._inference, None

    def _start(self) -> None:
        assert self._inference is not None, 'activated before it was configured'
        if self._bodies is not None:
            self._bodies.open()
        arrived = threading.Condition()
        for name, camera in self.mahmr_parameters.cameras.items():
            slot = FrameSlot(arrived)
            line = CameraLine(
                slot,
                CameraInput(self, name, camera, lambda: self.mahmr_parameters.settings, slot),
                self._outputs[name],
                Tracker(),
                Smoother(self._inference.repose),
                CameraStatistics(name, slot),
            )
            self._lines.append(line)
        self._worker = Worker(
            self._lines,
            arrived,
            self._inference,
            lambda: self.mahmr_parameters.settings,
            self.get_logger(),
            now_s=lambda: self.get_clock().now().nanoseconds * 1e-9,
        )

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            # Until its last frame has come out of the network, the process cannot end well.
            self._stopped = [w for w in self._stopped if not w.join(0)] + [self._worker]
            self._worker = None
        if self._bodies is not None:
            self._bodies.leave()
        lines, self._lines = self._lines, []
        for line in lines:
            line.input.close()

    def _leave(self) -> None:
        self._stop()
        self._release()

    def _refresh(self) -> None:
        if self._bodies is not None:
            self._bodies.refresh()
        for line in self._lines:
            line.input.refresh()

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        if self._lifecycle_state != 'unconfigured':
            return  # a manager was faster
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
