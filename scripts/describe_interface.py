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
Write docs/interface.md: topics, services, parameters, frames, diagnostics, launch arguments.

`python scripts/describe_interface.py` takes them from a node that it starts and from the code, so
that the page cannot say otherwise; `--check` writes nothing and fails where the page is stale.
What a topic or service is for stands here: one without a description is an error.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from contextlib import contextmanager
import difflib
import os
from pathlib import Path
import sys
import types
from typing import Any

from mahmr_node import bodies, transforms, video_camera
from mahmr_node.diagnostics import CameraStatistics, Timing
from mahmr_node.frame_slot import FrameSlot
from mahmr_node.node import MahmrNode
from mahmr_node.parameters import NODE_PARAMETERS, Spec
import rclpy
from rclpy.parameter import Parameter

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'interface.md'

# A camera of this name becomes <camera> on the page, and the place of a number <id>.
CAMERA = 'CAMERA_NAME'
PERSON = 'PERSON_ID'

TOPICS = {
    f'/{CAMERA}/image_raw': 'Pictures; with `<camera>.transport` compressed: `/compressed` below.',
    f'/{CAMERA}/camera_info': 'Calibration; looked for beside the pictures, not required.',
    f'/mahmr/{CAMERA}/markers': 'Meshes, skeletons and labels for RViz.',
    f'/mahmr/{CAMERA}/humans': 'Everything about each person, and the lens that placed them.',
    f'/mahmr/{CAMERA}/poses': 'Position and rotation of each pelvis.',
    f'/mahmr/{CAMERA}/estimated_camera_info': 'The lens that placed the people.',
    f'/mahmr/{CAMERA}/overlay': 'The picture with the meshes drawn into it.',
    '/diagnostics': 'State, rates, ages, drops, errors; once a second, in every state.',
    '/tf': 'A frame for each person, with `publish_tf`.',
    '/humans/bodies/tracked': 'Who is seen now, with `publish_bodies` (REP-155).',
    f'/humans/bodies/{CAMERA}_{PERSON}/roi': 'The box, 0 to 1 (REP-155).',
    f'/humans/bodies/{CAMERA}_{PERSON}/skeleton2d': 'Keypoints, 0 to 1 (REP-155).',
    f'/humans/bodies/{CAMERA}_{PERSON}/cropped': 'The picture within the box (REP-155).',
    '/mahmr/transition_event': 'Changes of the lifecycle state.',
}

SERVICES = {
    'change_state': 'Configure, activate, deactivate, clean up, shut down.',
    'get_state': 'The lifecycle state.',
    'get_available_states': 'All lifecycle states.',
    'get_available_transitions': 'What leads on from the present state.',
    'get_transition_graph': 'All transitions.',
    'describe_parameters': 'Meaning, type and range of parameters.',
    'get_parameter_types': 'Types of parameters.',
    'get_parameters': 'Values of parameters.',
    'list_parameters': 'Names of all parameters.',
    'set_parameters': 'Change parameters, each for itself.',
    'set_parameters_atomically': 'Change parameters, all or none.',
    'get_type_description': "Definitions of the messages' types.",
}

# What every node has, and is no matter of this one.
LEFT_OUT = ('/rosout', '/parameter_events', '/clock')

FRAMES = """
| frame | what |
|---|---|
| the picture's `header.frame_id` | of all results: the camera's optical frame (REP-103: x right, y down, z forward; metres); times are the picture's as well |
| parameter `frame_override` | takes its place where it is set |
| parameter `default_frame` | takes its place where a picture names none |
| `<camera>/person_<id>` | the pelvis of a person, on `/tf` with `publish_tf`; the body's own axes: x to its left, y to its head, z to its front |
| `body_<camera>_<id>` | the same with REP-103's axes (x front, y left, z up), with `publish_tf` and `publish_bodies` (REP-155) |
""".strip()  # noqa: E501


def page() -> str:
    """Return the whole page."""
    with active_node() as node:
        parts = [
            '# Interface of the node',
            'Written by `python scripts/describe_interface.py` from the code; not to be edited. '
            '`mahmr` is the name of the node and `<camera>` each name in its parameter `cameras`; '
            'names are below the namespace and can be remapped.',
            '## Topics',
            topics(node),
            '## Frames',
            FRAMES,
            '## Parameters',
            '`live` ones can be set while the node runs. `ros2 param describe` says the same.',
            parameters(node),
            '## Services',
            services(node),
        ]
    parts += [
        '## Diagnostics',
        'A status of the node (its lifecycle state, the last failed transition, memory of the '
        'GPU) and of each camera, with these values:',
        ', '.join(f'`{key}`' for key in diagnostic_keys()) + '.',
        'Times are those that the newest result took. Frames of several cameras that wait '
        'together are one batch: `preparing` and `network` are of the whole batch, as each of '
        'them waited for it.',
        '## Launch file',
        '`ros2 launch mahmr mahmr.launch.py`:',
        launch_arguments(),
        '## A video as a camera',
        '`ros2 run mahmr video_camera --ros-args -p file:=FILE` publishes `<name>/image_raw` and '
        '`<name>/camera_info`:',
        specs(video_camera.PARAMETERS),
    ]
    text = '\n\n'.join(parts) + '\n'
    return text.replace(CAMERA, '<camera>').replace(PERSON, '<id>')


@contextmanager
def active_node() -> Iterator[MahmrNode]:
    """Give the node itself, active with one camera, on the default network."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'OFF'  # no other node is to be seen
    rclpy.init()
    node = MahmrNode(
        parameter_overrides=[
            Parameter('cameras', value=[CAMERA]),
            Parameter('device', value='cpu'),
        ]
    )
    try:
        node.trigger_configure()
        node.trigger_activate()
        yield node
    finally:
        node.close(10.0)
        node.destroy_node()
        rclpy.try_shutdown()


def topics(node: MahmrNode) -> str:
    """Return the table of topics."""
    name, namespace = node.get_name(), node.get_namespace()
    ways = (
        ('in', node.get_subscriber_names_and_types_by_node(name, namespace)),
        ('out', node.get_publisher_names_and_types_by_node(name, namespace)),
        ('out', optional_topics()),
    )
    rows = [
        (f'`{topic}`', f'`{short(kinds[0])}`', way, described(TOPICS, topic))
        for way, found in ways
        for topic, kinds in found
        if topic not in LEFT_OUT
    ]
    order = list(TOPICS)
    rows.sort(key=lambda row: order.index(row[0].strip('`')))
    return table(('topic', 'type', 'way', 'what'), rows)


def optional_topics() -> list[tuple[str, list[str]]]:
    """Return the topics of what needs packages that need not be installed (TF, REP-155)."""

    class Recorder:
        """Takes the place of the node, and notes what is made."""

        def __init__(self) -> None:
            self.made: list[tuple[str, list[str]]] = []

        def create_publisher(self, kind: Any, topic: str, *_: Any, **__: Any) -> None:
            package = kind.__module__.partition('.')[0]
            self.made.append((topic, [f'{package}/msg/{kind.__name__}']))

        create_lifecycle_publisher = create_publisher

    class AnyMessages(types.ModuleType):
        """A package's messages, whatever their names."""

        def __getattr__(self, name: str) -> Any:
            if name.startswith('__'):
                raise AttributeError(name)
            return AnyMessage(name, (), {'__module__': self.__name__})

    class AnyMessage(type):
        """A message with constants, whatever their names."""

        def __getattr__(cls, name: str) -> int:
            return abs(hash(name))

    fakes = {name: AnyMessages(name) for name in ('hri_msgs', 'tf2_msgs')}
    for name, fake in list(fakes.items()):
        fakes[f'{name}.msg'] = fake.msg = AnyMessages(f'{name}.msg')
    recorder = Recorder()
    before = {name: sys.modules.get(name) for name in fakes}
    sys.modules.update(fakes)
    try:
        transforms.Transforms(recorder, bodies=True)
        bodies.Bodies(recorder)._add(f'{CAMERA}_{PERSON}')
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    return recorder.made


def services(node: MahmrNode) -> str:
    """Return the table of services."""
    found = node.get_service_names_and_types_by_node(node.get_name(), node.get_namespace())
    rows = [
        (f'`{name}`', f'`{short(kinds[0])}`', described(SERVICES, name.rpartition('/')[2]))
        for name, kinds in sorted(found)
    ]
    return table(('service', 'type', 'what'), rows)


def parameters(node: MahmrNode) -> str:
    """Return the table of parameters, as the node describes them."""
    defaults = {spec.name: spec.default for spec in NODE_PARAMETERS}
    rows = []
    for name in node.list_parameters([], 0).names:
        descriptor = node.describe_parameter(name)
        if not descriptor.description or name.startswith(('qos_overrides', 'start_type')):
            continue  # use_sim_time and the like, which every node has
        limits = descriptor.additional_constraints.removeprefix('one of: ')
        for bounds in (*descriptor.floating_point_range, *descriptor.integer_range):
            limits = f'{number(bounds.from_value)} to {number(bounds.to_value)}'
        value = defaults.get(name, node.get_parameter(name).value)
        live = 'start' if descriptor.read_only else 'live'
        rows.append((f'`{name}`', shown(value), limits, live, descriptor.description))
    return table(('parameter', 'default', 'values', 'set', 'meaning'), rows)


def specs(parameters: tuple[Spec, ...]) -> str:
    """Return the table of parameters that are read at the start."""
    rows = []
    for spec in parameters:
        limits = ', '.join(spec.choices)
        if spec.low is not None:
            limits = f'{number(spec.low)} to {number(spec.high)}'
        rows.append((f'`{spec.name}`', shown(spec.default), limits, spec.description))
    return table(('parameter', 'default', 'values', 'meaning'), rows)


def diagnostic_keys() -> list[str]:
    """Return the names of a camera's values on /diagnostics."""
    import threading

    statistics = CameraStatistics(CAMERA, FrameSlot(threading.Condition()))
    statistics.timing = Timing(*(0.0 for _ in Timing.__dataclass_fields__))
    statistics.drawing_s = 0.0
    return list(statistics.status(0.0)[2])


def launch_arguments() -> str:
    """Return the table of the launch file's arguments, which is read and not run."""
    tree = ast.parse((ROOT / 'launch' / 'mahmr.launch.py').read_text())
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == 'ARGUMENTS':
            assert isinstance(statement.value, ast.Dict)
            rows = []
            for key, value in zip(statement.value.keys, statement.value.values, strict=True):
                assert isinstance(value, ast.Tuple)
                default, description = value.elts
                if not isinstance(default, ast.Constant):  # a path below the package's share
                    names = [n.value for n in ast.walk(default) if isinstance(n, ast.Constant)]
                    default = ast.Constant('/'.join(reversed(names)))
                rows.append(
                    (f'`{literal(key)}`', shown(literal(default)), str(literal(description)))
                )
            return table(('argument', 'default', 'meaning'), rows)
    raise SystemExit('launch/mahmr.launch.py has no ARGUMENTS')


def literal(node: ast.expr | None) -> Any:
    """Return what an expression of constants says."""
    assert node is not None
    return ast.literal_eval(node)


def described(descriptions: dict[str, str], name: str) -> str:
    """Return what something is for."""
    if name not in descriptions:
        raise SystemExit(f'{name} has no description; give it one in {__file__}')
    return descriptions[name]


def short(kind: str) -> str:
    """Return a type as one writes it: without the middle part."""
    return kind.replace('/msg/', '/').replace('/srv/', '/')


def number(value: float | None) -> str:
    """Return a bound without a needless point or exponent."""
    assert value is not None
    return str(int(value)) if value == int(value) else f'{value:g}'


def shown(value: Any) -> str:
    """Return a value as YAML has it."""
    if isinstance(value, (list, tuple)):
        return f'`[{", ".join(map(str, value))}]`'
    if isinstance(value, bool):
        return f'`{str(value).lower()}`'
    return f'`{value}`' if value != '' else '`""`'


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ('---',) * len(head), *map(escaped, rows)]
    return '\n'.join(f'| {" | ".join(cell or "·" for cell in line)} |' for line in lines)


def escaped(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Return cells in which <name> is no HTML; within `code` it is none anyway."""

    def mended(cell: str) -> str:
        parts = cell.split('`')
        return '`'.join(
            part if i % 2 else part.replace('<', '\\<') for i, part in enumerate(parts)
        )

    return tuple(map(mended, cells))


def main() -> int:
    """Write the page, or compare it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1] if __doc__ else '')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if it is stale')
    check = parser.parse_args().check
    text = page()
    if not check:
        PAGE.write_text(text)
        return 0
    before = PAGE.read_text() if PAGE.is_file() else ''
    for line in difflib.unified_diff(
        before.splitlines(), text.splitlines(), 'docs/interface.md', 'the code', lineterm=''
    ):
        print(line)  # noqa: T201
    return int(before != text)


if __name__ == '__main__':
    sys.exit(main())
