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
Start the node, and what one looks at it with.

ros2 launch mahmr mahmr.launch.py video:=street.mp4 rviz:=true
"""

from pathlib import Path

from launch import Condition, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import IfCondition
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

# This file lies in share/mahmr/launch of an installation or in launch of the sources; config and
# rviz are beside that folder in both.
SHARE = Path(__file__).resolve().parent.parent

ARGUMENTS = {
    'params_file': (str(SHARE / 'config' / 'mahmr.yaml'), 'YAML file of the parameters.'),
    'name': ('mahmr', 'Name of the node; its topics are below this name.'),
    'namespace': ('', 'Namespace of the node and its cameras.'),
    'image_topic': ('camera/image_raw', 'Pictures of the camera; camera_info lies beside them.'),
    'autostart': ('true', 'Configure and activate the node; false leaves it unconfigured.'),
    'video': ('', 'Video file or folder of pictures to play as the camera; empty: none.'),
    'video_fov_deg': ('0.0', "Horizontal angle of the video's lens in degrees; 0: not known."),
    'rviz': ('false', 'Open RViz with the people of the camera `camera`.'),
    'rviz_config': (str(SHARE / 'rviz' / 'mahmr.rviz'), 'Configuration of RViz.'),
    'use_sim_time': ('false', 'Take the time from /clock, as for a bag that is played.'),
    'log_level': ('info', 'What the node logs: debug, info, warn, error or fatal.'),
}


def bring_up(node, wanted):
    """Return what configures the node and then activates it, where that is wanted."""

    def change_to(transition_id):
        return ChangeState(
            lifecycle_node_matcher=matches_action(node), transition_id=transition_id
        )

    # Only on the way up: a node that somebody deactivates later stays inactive.
    activate_when_configured = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state='configuring',
            goal_state='inactive',
            entities=[EmitEvent(event=change_to(Transition.TRANSITION_ACTIVATE))],
        ),
        condition=IfCondition(wanted),
    )
    configure = EmitEvent(
        event=change_to(Transition.TRANSITION_CONFIGURE), condition=IfCondition(wanted)
    )
    return activate_when_configured, configure


def generate_launch_description():
    """Describe the processes and the node's way to `active`."""
    value = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    sim_time = {'use_sim_time': ParameterValue(value['use_sim_time'], value_type=bool)}
    node = LifecycleNode(
        package='mahmr',
        executable='mahmr_node',
        name=value['name'],
        namespace=value['namespace'],
        parameters=[value['params_file'], sim_time],
        # A parameter here would win over the file, where other cameras may be named.
        remappings=[('camera/image_raw', value['image_topic'])],
        arguments=['--ros-args', '--log-level', value['log_level']],
        output='screen',
    )

    video = Node(
        package='mahmr',
        executable='video_camera',
        namespace=value['namespace'],
        parameters=[
            {
                'file': ParameterValue(value['video'], value_type=str),
                'horizontal_fov_deg': ParameterValue(value['video_fov_deg'], value_type=float),
            }
        ],
        output='screen',
        # No expression of Python, in which a path may mean something.
        condition=Condition(predicate=lambda context: value['video'].perform(context) != ''),
    )
    rviz = Node(
        package='rviz2',
        executable='rviz2',
        namespace=value['namespace'],
        arguments=['-d', value['rviz_config']],
        parameters=[sim_time],
        condition=IfCondition(value['rviz']),
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    activate_when_configured, configure = bring_up(node, value['autostart'])
    # The handler stands before the event that leads to it.
    return LaunchDescription([*arguments, activate_when_configured, node, configure, video, rviz])
