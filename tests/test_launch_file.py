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
The launch file, its configuration and its view.

ROS's `launch` is not on PyPI. Stand-ins with the real classes' keyword arguments show here that
the file runs without anything else of ROS or torch, and what it describes.
"""

from __future__ import annotations

from pathlib import Path
import runpy
import subprocess
import sys
import types
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
LAUNCH_FILE = ROOT / 'launch' / 'mahmr.launch.py'

# Keyword arguments of the real classes that the file may use, by module.
CLASSES: dict[str, dict[str, set[str]]] = {
    'launch': {'Condition': {'predicate'}, 'LaunchDescription': set()},
    'launch.actions': {
        'DeclareLaunchArgument': {'default_value', 'description', 'choices', 'condition'},
        'EmitEvent': {'event', 'condition'},
        'RegisterEventHandler': {'condition'},
    },
    'launch.conditions': {'IfCondition': set()},
    'launch.events': {'matches_action': set()},
    'launch.substitutions': {'LaunchConfiguration': {'default'}},
    'launch_ros.actions': {
        name: {
            'package', 'executable', 'name', 'namespace', 'parameters', 'remappings', 'arguments',
            'ros_arguments', 'output', 'condition',
        }
        for name in ('LifecycleNode', 'Node')
    },
    'launch_ros.event_handlers': {
        'OnStateTransition': {
            'target_lifecycle_node', 'transition', 'start_state', 'goal_state', 'entities',
        }
    },
    'launch_ros.events.lifecycle': {'ChangeState': {'lifecycle_node_matcher', 'transition_id'}},
    'launch_ros.parameter_descriptions': {'ParameterValue': {'value_type', 'description'}},
}  # fmt: skip


class Described:
    """Remembers what it was made of."""

    allowed: frozenset[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        unknown = set(kwargs) - self.allowed
        assert not unknown, f'{type(self).__name__} has no {unknown}'
        self.args, self.kwargs = args, kwargs

    def perform(self, context: dict[str, str]) -> str:
        """Return the value of an argument, as a LaunchConfiguration does."""
        return context[self.args[0]]


@pytest.fixture
def entities(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run the launch file on stand-ins and return what it describes, in order."""
    for module, classes in CLASSES.items():
        parts = module.split('.')
        for i in range(1, len(parts) + 1):
            name = '.'.join(parts[:i])
            if name not in sys.modules or not hasattr(sys.modules[name], '__stand_in__'):
                stand_in = types.ModuleType(name)
                stand_in.__dict__['__stand_in__'] = True
                monkeypatch.setitem(sys.modules, name, stand_in)
        for name, allowed in classes.items():
            kind = type(name, (Described,), {'allowed': frozenset(allowed)})
            setattr(sys.modules[module], name, kind)
    description = runpy.run_path(str(LAUNCH_FILE))['generate_launch_description']()
    return list(description.args[0])


def of(entities: list[Any], kind: str) -> list[Any]:
    return [entity for entity in entities if type(entity).__name__ == kind]


def test_arguments_are_described(entities: list[Any]) -> None:
    """Every argument has a description and a default, and the files named there exist."""
    arguments = of(entities, 'DeclareLaunchArgument')
    names = {argument.args[0] for argument in arguments}
    assert {'rviz', 'video', 'autostart', 'params_file', 'use_sim_time'} <= names
    for argument in arguments:
        assert len(argument.kwargs['description']) > 10
        default = argument.kwargs['default_value']
        assert not default.startswith('/') or Path(default).is_file()


def test_configure_then_activate(entities: list[Any]) -> None:
    """The handler that activates stands before the event that configures; both can be off."""
    kinds = [type(entity).__name__ for entity in entities]
    assert kinds.index('RegisterEventHandler') < kinds.index('EmitEvent')
    handler = of(entities, 'RegisterEventHandler')[0]
    configure = of(entities, 'EmitEvent')[0]
    assert configure.kwargs['event'].kwargs['transition_id'] == 1
    transition = handler.args[0].kwargs
    assert (transition['start_state'], transition['goal_state']) == ('configuring', 'inactive')
    activate = transition['entities'][0].kwargs['event']
    assert activate.kwargs['transition_id'] == 3
    node = of(entities, 'LifecycleNode')[0]
    assert transition['target_lifecycle_node'] is node
    for event in (activate, configure.kwargs['event']):
        assert event.kwargs['lifecycle_node_matcher'].args[0] is node
    for action in (handler, configure):
        assert action.kwargs['condition'].args[0].args[0] == 'autostart'


def test_starts_what_is_installed(entities: list[Any]) -> None:
    """The executables are the package's own console scripts."""
    setup = (ROOT / 'setup.py').read_text()
    nodes = of(entities, 'LifecycleNode') + of(entities, 'Node')
    own = [n.kwargs['executable'] for n in nodes if n.kwargs['package'] == 'mahmr']
    assert own == ['mahmr_node', 'video_camera']
    for executable in own:
        assert f"'{executable} = mahmr_node." in setup


@pytest.mark.parametrize('path', ['street.mp4', 'it\'s 6" of\\street.mp4', '" or "x'])
def test_a_video_is_played_whatever_its_path(entities: list[Any], path: str) -> None:
    """And none where the argument is empty."""
    camera = of(entities, 'Node')[0]
    assert camera.kwargs['executable'] == 'video_camera'
    is_wanted = camera.kwargs['condition'].kwargs['predicate']
    assert is_wanted({'video': path})
    assert not is_wanted({'video': ''})


def test_image_topic_is_remapped(entities: list[Any]) -> None:
    """The argument renames the topic that the configuration gives the camera, and no parameter."""
    node = of(entities, 'LifecycleNode')[0]
    file = yaml.safe_load((ROOT / 'config' / 'mahmr.yaml').read_text())
    ((source, target),) = node.kwargs['remappings']
    assert source == file['/**']['ros__parameters']['camera.image_topic']
    assert target.args[0] == 'image_topic'


def test_needs_no_torch() -> None:
    """Parameters and command line of node and camera come without torch."""
    code = 'import sys, mahmr_node.main, mahmr_node.video_camera; sys.exit("torch" in sys.modules)'
    path = f'{ROOT}:{ROOT / "ros2_ws"}'
    done = subprocess.run([sys.executable, '-c', code], env={'PYTHONPATH': path}, check=False)
    assert done.returncode == 0


def test_configuration_is_the_default() -> None:
    """config/mahmr.yaml names every parameter but autostart, and only labels differ."""
    from mahmr_node.parameters import camera_parameters, NODE_PARAMETERS

    given = yaml.safe_load((ROOT / 'config' / 'mahmr.yaml').read_text())
    parameters = given['/**']['ros__parameters']
    specs = [*NODE_PARAMETERS, *camera_parameters('camera')]
    defaults = {s.name: s.default for s in specs if s.name != 'autostart'}
    assert parameters == {**defaults, 'draw_labels': True}


def test_view_shows_the_nodes_topics() -> None:
    """The displays of RViz subscribe to topics that the node publishes, and TF is off."""
    from mahmr_node.camera_output import TOPICS

    view = yaml.safe_load((ROOT / 'rviz' / 'mahmr.rviz').read_text())['Visualization Manager']
    topics = [d['Topic']['Value'] for d in view['Displays'] if 'Topic' in d]
    assert topics == [f'mahmr/camera/{name}' for name in ('markers', 'overlay', 'poses')]
    assert {t.rpartition('/')[2] for t in topics} <= set(TOPICS)
    shown = {d['Class'].rpartition('/')[2]: d['Enabled'] for d in view['Displays']}
    assert shown['MarkerArray']
    assert shown['Image']
    assert not shown['TF']
