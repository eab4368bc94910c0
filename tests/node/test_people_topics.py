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

"""What lies outside `~/<camera>/`: TF frames and the bodies of REP-155."""

from __future__ import annotations

import math
import sys
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from mahmr_msgs.msg import HumanArray
from mahmr_node import bodies as bodies_module
import numpy as np
import pytest
from ros_tools import DEACTIVATE, Rig
from scipy.spatial.transform import Rotation
import stand_in
import workspace


@pytest.fixture(scope='session')
def packages() -> dict[str, str]:
    """Return the environment of processes that see tf2_msgs and hri_msgs."""
    return workspace.environment()


def stamp_of(message: HumanArray) -> dict[str, int]:
    return {'sec': message.header.stamp.sec, 'nanosec': message.header.stamp.nanosec}


def test_transforms(rig: Rig, packages: dict[str, str]) -> None:
    """A frame for each person, at the picture's time and in its frame; none when inactive."""
    parameters = {'publish_tf': True, 'publish_bodies': True}
    rig.start_node(parameters=parameters, env=packages)
    heard = rig.listen({'/tf': 'tf2_msgs/TFMessage'}, packages)
    camera, results = rig.camera(), rig.humans()
    rig.exchange(camera, results, people=2)
    transforms: list[dict[str, Any]] = []

    def arrived() -> bool:
        camera.send(people=2, frame='optical')
        rig.spin(0.1)
        messages = heard('/tf')
        transforms[:] = messages[-1]['transforms'] if messages else []
        return bool(transforms) and transforms[0]['header']['frame_id'] == 'optical'

    rig.wait(arrived, 'transforms')
    frames = ['camera/person_1', 'camera/person_2', 'body_camera_1', 'body_camera_2']
    assert [t['child_frame_id'] for t in transforms] == frames
    assert transforms[0]['header']['stamp'] in [stamp_of(message) for message in results]
    for transform, place in zip(transforms[:2], stand_in.PLACES_M, strict=False):
        at, turn = transform['transform']['translation'], transform['transform']['rotation']
        assert (at['x'], at['y'], at['z']) == pytest.approx(tuple(place), rel=1e-5)
        assert (turn['y'], turn['w']) == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    # A quarter turn about y: the front is to the camera's right, the left side towards it, and
    # the head down.
    body = transforms[2]['transform']
    assert body['translation'] == transforms[0]['transform']['translation']
    axes = Rotation.from_quat([body['rotation'][k] for k in 'xyzw']).as_matrix().T
    assert axes == pytest.approx(np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), abs=1e-6)
    assert rig.change_state(DEACTIVATE)
    rig.spin(0.3)
    count = len(heard('/tf'))
    for _ in range(5):
        camera.send(people=2)
        rig.spin(0.1)
    assert len(heard('/tf')) == count


def test_bodies(rig: Rig, packages: dict[str, str]) -> None:
    """REP-155: the list of bodies, what is known of each, and that they leave."""
    topics = {'/humans/bodies/tracked': 'hri_msgs/IdsList'}
    for body in ('camera_1', 'camera_2'):
        topics[f'/humans/bodies/{body}/roi'] = 'hri_msgs/NormalizedRegionOfInterest2D'
        topics[f'/humans/bodies/{body}/skeleton2d'] = 'hri_msgs/Skeleton2D'
        topics[f'/humans/bodies/{body}/cropped'] = 'sensor_msgs/Image'
    rig.start_node(parameters={'publish_bodies': True}, env=packages)
    heard = rig.listen(topics, packages)
    camera, results = rig.camera(), rig.humans()

    def tracked() -> list[str] | None:
        messages = heard('/humans/bodies/tracked')
        return messages[-1]['ids'] if messages else None

    def all_heard() -> bool:
        camera.send(people=2)
        rig.spin(0.1)
        return all(heard(topic) for topic in topics)

    rig.wait(all_heard, 'all topics of both bodies')
    assert tracked() == ['camera_1', 'camera_2']
    human = rig.exchange(camera, results, people=2).humans[1]
    box = np.array(human.box_xyxy_px) / (64, 48, 64, 48)
    roi = heard('/humans/bodies/camera_2/roi')[-1]
    assert [roi[k] for k in ('xmin', 'ymin', 'xmax', 'ymax')] == pytest.approx(box.clip(0, 1))
    assert roi['c'] == pytest.approx(human.confidence)
    skeleton = heard('/humans/bodies/camera_2/skeleton2d')[-1]['skeleton']
    left_knee = np.array(human.joints_px).reshape(-1, 2)[4] / (64, 48)
    assert len(skeleton) == 18
    assert (skeleton[12]['x'], skeleton[12]['y']) == pytest.approx(tuple(left_knee), rel=1e-5)
    crop = heard('/humans/bodies/camera_2/cropped')[-1]
    left, top, right, bottom = (round(float(c)) for c in human.box_xyxy_px)
    assert (crop['width'], crop['height']) == (right - left, bottom - top)

    def leave_one() -> bool:
        rig.exchange(camera, results, people=1)
        return tracked() == ['camera_1']

    rig.wait(leave_one, 'one body to leave')
    rig.wait(lambda: rig.node.count_publishers('/humans/bodies/camera_2/roi') == 0, 'its topics')
    silent_s = time.monotonic()
    rig.wait(lambda: tracked() == [], 'the bodies of a silent camera to leave')
    assert time.monotonic() - silent_s > 0.5, 'bodies left while their camera was there'
    rig.wait(lambda: (rig.exchange(camera, results, people=1), tracked())[1], 'a body again')
    assert rig.change_state(DEACTIVATE)
    rig.wait(lambda: tracked() == [], 'the bodies to leave with the node')


def test_the_list_of_bodies_is_made_while_nobody_changes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker brings bodies while a timer, or a transition, lets others go."""
    monkeypatch.setitem(sys.modules, 'hri_msgs', MagicMock())
    monkeypatch.setattr(bodies_module, 'SILENCE_S', 0.0)
    bodies = bodies_module.Bodies(MagicMock())
    guarded: list[tuple[list[str], bool]] = []

    def list_of(ids: list[str]) -> MagicMock:
        guarded.append((ids, bodies._changing.locked()))
        return MagicMock()

    bodies._list_type = list_of
    bodies.open()
    result: Any = SimpleNamespace(ids=[1], picture=MagicMock())
    next(bodies.messages('camera', result, 0.0))
    bodies.refresh()
    bodies.leave()
    assert guarded == [(['camera_1'], True), ([], True), ([], True)]
