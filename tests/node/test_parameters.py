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

from mahmr_model.predictor import Predictor
from mahmr_node.inference import load_predictor
from mahmr_node.parameters import camera_parameters, NODE_PARAMETERS, Settings
import pytest
from ros_tools import Rig
from visualization_msgs.msg import Marker, MarkerArray


def test_described(rig: Rig) -> None:
    """Every parameter has a description, numbers have ranges, load-time ones are read-only."""
    rig.start_node(active=False)
    specs = [*NODE_PARAMETERS, *camera_parameters('camera')]
    described = rig.describe([spec.name for spec in specs])
    for spec, descriptor in zip(specs, described, strict=True):
        assert descriptor.name == spec.name
        assert len(descriptor.description) > 15
        assert descriptor.read_only == spec.read_only
        if isinstance(spec.default, float):
            assert len(descriptor.floating_point_range) == 1
        elif isinstance(spec.default, int) and not isinstance(spec.default, bool):
            assert len(descriptor.integer_range) == 1
        for choice in spec.choices:
            assert choice in descriptor.additional_constraints


def test_refused_with_reason(rig: Rig) -> None:
    """A bad value changes nothing and is answered with what is wrong."""
    rig.start_node(active=False)
    cases = {
        'confidence_threshold': (1.5, 'confidence_threshold'),
        'camera_source': ('guess', 'camera_source is one of auto, estimated, not "guess"'),
        'marker_lifetime_s': (-1.0, 'marker_lifetime_s'),
        'marker_opacity': (float('nan'), 'marker_opacity'),
        'default_frame': ('', 'default_frame is empty'),
        'tracking': ('yes', 'type'),
        'weights': ('other.bin', 'read-only'),
        'mesh_faces': (5, 'mesh_faces is 0 (all) or 300 at least, not 5'),
        'smoothing_along_hz': (0.0, 'smoothing_along_hz'),
    }
    for name, (value, reason) in cases.items():
        result = rig.set(**{name: value})
        assert not result.successful, name
        assert reason in result.reason


def test_live(rig: Rig) -> None:
    """Live parameters act on the next picture."""
    rig.start_node()
    camera = rig.camera()
    results = rig.humans()
    assert rig.exchange(camera, results, people=2).faces
    assert rig.set(publish_vertices=False).successful
    plain = rig.exchange(camera, results, people=2)
    assert not plain.faces
    assert not plain.humans[0].vertices_m
    assert rig.set(frame_override='map').successful
    assert rig.exchange(camera, results).header.frame_id == 'map'
    assert rig.set(frame_override='', default_frame='eye').successful
    assert rig.exchange(camera, results, frame='').header.frame_id == 'eye'
    assert rig.set(confidence_threshold=0.6).successful
    assert len(rig.exchange(camera, results, people=3).humans) == 2
    assert rig.set(confidence_threshold=0.3).successful
    assert rig.set(tracking=False).successful
    assert [human.id for human in rig.exchange(camera, results, people=2).humans] == [0, 1]


def test_live_drawing(rig: Rig) -> None:
    """What the markers show changes with the next picture."""
    rig.start_node()
    camera = rig.camera()
    results = rig.collect(MarkerArray, '/mahmr/camera/markers')

    def kinds() -> list[int]:
        return [marker.type for marker in rig.exchange(camera, results).markers[1:]]

    assert kinds() == [Marker.TRIANGLE_LIST]
    assert rig.set(marker_opacity=0.5).successful
    assert rig.exchange(camera, results).markers[1].color.a == 0.5
    assert rig.set(marker_lifetime_s=50.0).successful
    assert rig.exchange(camera, results).markers[1].lifetime.sec >= 50
    assert rig.set(draw_skeletons=True).successful
    assert rig.set(draw_meshes=False).successful
    assert rig.set(draw_labels=True).successful
    assert kinds() == [Marker.LINE_LIST, Marker.TEXT_VIEW_FACING]


def test_do_not_go_together(rig: Rig) -> None:
    """Smoothing without tracking is refused, whichever of the two is set."""
    rig.start_node(active=False)
    assert rig.set(smoothing=True).successful
    refused = rig.set(tracking=False)
    assert not refused.successful
    assert 'smoothing needs tracking' in refused.reason
    assert rig.set(smoothing=False).successful
    assert rig.set(tracking=False).successful
    assert not rig.set(smoothing=True).successful


def test_smoothing(rig: Rig) -> None:
    """A person who jumps aside is shown on the way there, and at once where it is off."""
    rig.start_node()
    camera, results = rig.camera(), rig.humans()

    def jump_m() -> float:
        """Return how far somebody who stood for two pictures and jumps 20 cm is shown to go."""
        for right_cm in (0, 0):
            before = rig.exchange(camera, results, right_cm=right_cm).humans[0]
        after = rig.exchange(camera, results, right_cm=20).humans[0]
        moved_m = after.root_pose.position.x - before.root_pose.position.x
        for points in ('vertices_m', 'joints_m', 'translation_m'):
            moved = getattr(after, points)[0] - getattr(before, points)[0]
            assert moved == pytest.approx(moved_m, abs=1e-5)
        return float(moved_m)

    assert jump_m() == pytest.approx(0.2, abs=1e-5)
    assert rig.set(smoothing=True, smoothing_speed_gain=0.0, smoothing_along_hz=0.1).successful
    assert rig.set(smoothing_across_hz=0.1).successful
    strong = jump_m()
    assert 0 < strong < 0.15
    assert rig.set(smoothing_across_hz=100.0, smoothing_along_hz=100.0).successful
    assert strong < jump_m() < 0.2
    assert rig.set(smoothing=False).successful
    assert jump_m() == pytest.approx(0.2, abs=1e-5)


def test_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is prepared for one picture of that size, and for one of each camera at once."""
    prepared = []
    warm_up = Predictor.warm_up

    def recorded(self: Predictor, height: int, width: int, batch: int) -> None:
        prepared.append((height, width, batch))
        warm_up(self, height, width, batch)

    monkeypatch.setattr(Predictor, 'warm_up', recorded)
    values = {spec.name: spec.default for spec in NODE_PARAMETERS}
    load_predictor(Settings(**values))
    assert prepared == []
    values.update(warm_up_width=64, warm_up_height=48, cameras=('left', 'right'))
    load_predictor(Settings(**values))
    assert prepared == [(48, 64, 1), (48, 64, 2)]
    assert Settings(**{**values, 'warm_up_width': 0}).fault() is not None
