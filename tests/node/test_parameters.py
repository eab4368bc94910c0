from __future__ import annotations

from ros_tools import Rig

from mahmr_node.parameters import camera_parameters, NODE_PARAMETERS


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
    assert rig.set(tracking=False).successful
    assert [human.id for human in rig.exchange(camera, results, people=2).humans] == [0, 1]
