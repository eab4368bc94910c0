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

"""The node's parameters: one table that declares, describes and checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import re
from typing import Any

from mahmr_model.errors import UserError
from mahmr_node.mesh import can_reduce, MISSING
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidTopicNameException, ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_topic_name import validate_topic_name

CAMERA_NAME = re.compile(r'[A-Za-z]\w*')

# Below this nothing of a body can be made out.
FEWEST_FACES = 300


@dataclass(frozen=True)
class Spec:
    """One parameter: its default gives its type; `low` and `high` bound a number."""

    name: str
    default: Any
    description: str
    read_only: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Return the description as ROS has it."""
        descriptor = ParameterDescriptor(description=self.description, read_only=self.read_only)
        if self.choices:
            descriptor.additional_constraints = f'one of: {", ".join(self.choices)}'
        if self.low is not None and isinstance(self.default, float):
            bounds = FloatingPointRange(from_value=float(self.low), to_value=float(self.high or 0))
            descriptor.floating_point_range = [bounds]
        elif self.low is not None:
            bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high or 0))
            descriptor.integer_range = [bounds]
        return descriptor

    def fault(self, value: Any) -> str | None:
        """Say what is wrong with a value; None where nothing is."""
        if self.choices and value not in self.choices:
            return f'{self.name} is one of {", ".join(self.choices)}, not "{value}"'
        if self.name == 'default_frame' and not value:
            return 'default_frame is empty; it takes the place of an empty frame'
        if self.name == 'file' and not value:
            return 'file is empty; name a video or a folder of pictures, -p file:=…'
        if value and (self.name == 'name' or self.name.endswith('_topic')):
            return _fault_of_topic(self.name, value)
        if self.name == 'mesh_faces':
            return _fault_of_mesh_faces(value)
        if self.name == 'cameras':
            return _fault_of_names(value)
        return None


NODE_PARAMETERS = (
    Spec(
        'cameras',
        ['camera'],
        'Names of the cameras; each gives <name>/image_raw and <name>/camera_info.',
        read_only=True,
    ),
    Spec(
        'weights',
        '',
        'File of network weights; empty: official ones in weights/, else the built-in default.',
        read_only=True,
    ),
    Spec(
        'body',
        '',
        'Folder or file of the body model; empty: the one that the weights are of, SMPL for the '
        'official ones and the open body for the open ones.',
        read_only=True,
    ),
    Spec('device', 'auto', 'Where the network runs: auto, cpu, cuda, cuda:1, ...', read_only=True),
    Spec(
        'precision',
        'auto',
        'Numbers that the network computes with; auto: float16 on CUDA, float32 elsewhere.',
        read_only=True,
        choices=('auto', 'float32', 'float16', 'bfloat16'),
    ),
    Spec(
        'input_size',
        0,
        'Pixels of the longer side that the network sees; 0: what its weights were trained for.',
        read_only=True,
        low=0,
        high=4096,
    ),
    Spec(
        'warm_up_width',
        0,
        'Width of the pictures that the network is prepared for when it is configured, which may '
        'take a minute on CUDA; 0: the first pictures take longer instead.',
        read_only=True,
        low=0,
        high=16384,
    ),
    Spec(
        'warm_up_height',
        0,
        'Height of the pictures that the network is prepared for.',
        read_only=True,
        low=0,
        high=16384,
    ),
    Spec(
        'image_reliability',
        'auto',
        'How pictures are subscribed; auto: as their publishers offer them.',
        read_only=True,
        choices=('auto', 'reliable', 'best_effort'),
    ),
    Spec(
        'output_reliability',
        'reliable',
        'How results are published; best effort loses most meshes and pictures on the default '
        'middleware.',
        read_only=True,
        choices=('reliable', 'best_effort'),
    ),
    Spec('publish_tf', False, 'Publish a TF frame for each person (needs tf2_msgs).', True),
    Spec(
        'publish_bodies',
        False,
        'Publish people as REP-155 has them, on /humans/bodies/... (needs hri_msgs).',
        read_only=True,
    ),
    Spec('autostart', False, 'Configure and activate without being told to.', True),
    Spec(
        'confidence_threshold',
        0.3,
        'People below this confidence are left out.',
        low=0.0,
        high=1.0,
    ),
    Spec(
        'camera_source',
        'auto',
        "auto: the lens of camera_info, the network's estimate where there is none; estimated: "
        'always the estimate.',
        choices=('auto', 'estimated'),
    ),
    Spec('tracking', True, 'Give people ids that stay over time.'),
    Spec(
        'smoothing',
        False,
        'Calm people over time, at the price of some delay (needs tracking); off: the raw numbers '
        'of the network.',
    ),
    Spec(
        'smoothing_across_hz',
        1.0,
        'Smoothing of the place across the line of sight: cutoff at rest; lower is calmer.',
        low=0.01,
        high=100.0,
    ),
    Spec(
        'smoothing_along_hz',
        0.5,
        'Smoothing of the distance: cutoff at rest; lower is calmer.',
        low=0.01,
        high=100.0,
    ),
    Spec(
        'smoothing_rotation_hz',
        1.0,
        "Smoothing of the joints' rotations: cutoff at rest; lower is calmer.",
        low=0.01,
        high=100.0,
    ),
    Spec(
        'smoothing_shape_hz',
        0.2,
        'Smoothing of the shape numbers: cutoff; lower is calmer.',
        low=0.01,
        high=100.0,
    ),
    Spec(
        'smoothing_speed_gain',
        1.0,
        'Smoothing: how much sooner fast movements are followed, as a factor; 0: not at all.',
        low=0.0,
        high=100.0,
    ),
    Spec('frame_override', '', 'Frame of all results; empty: exactly that of the picture.'),
    Spec(
        'default_frame',
        'camera_optical_frame',
        'Frame of results where the picture names none.',
    ),
    Spec(
        'marker_lifetime_s',
        1.0,
        'Seconds after which markers vanish that nothing replaces; three times the time between '
        'results where that is longer.',
        low=0.05,
        high=60.0,
    ),
    Spec('marker_opacity', 1.0, 'Opacity of the meshes in the markers.', low=0.05, high=1.0),
    Spec('draw_meshes', True, 'Markers: the mesh of each person.'),
    Spec('draw_skeletons', False, 'Markers: the skeleton of each person.'),
    Spec('draw_labels', False, 'Markers: id, height and distance over each head.'),
    Spec('publish_vertices', True, 'HumanArray: vertices and faces of the meshes.'),
    Spec(
        'mesh_faces',
        0,
        'Triangles of each mesh in markers and HumanArray, about; 0: all that the body has.',
        low=0,
        high=1_000_000,
    ),
)


@dataclass(frozen=True)
class Settings:
    """The node's parameters at one moment; the meaning of each is in `NODE_PARAMETERS`."""

    cameras: tuple[str, ...]
    weights: str
    body: str
    device: str
    precision: str
    input_size: int
    warm_up_width: int
    warm_up_height: int
    image_reliability: str
    output_reliability: str
    publish_tf: bool
    publish_bodies: bool
    autostart: bool
    confidence_threshold: float
    camera_source: str
    tracking: bool
    smoothing: bool
    smoothing_across_hz: float
    smoothing_along_hz: float
    smoothing_rotation_hz: float
    smoothing_shape_hz: float
    smoothing_speed_gain: float
    frame_override: str
    default_frame: str
    marker_lifetime_s: float
    marker_opacity: float
    draw_meshes: bool
    draw_skeletons: bool
    draw_labels: bool
    publish_vertices: bool
    mesh_faces: int

    def fault(self) -> str | None:
        """Say which of them do not go together; None where all do."""
        if self.smoothing and not self.tracking:
            return 'smoothing needs tracking, which is off; turn both on, or smoothing off first'
        if bool(self.warm_up_width) != bool(self.warm_up_height):
            return 'warm_up_width and warm_up_height are one picture; give both or neither'
        return None


@dataclass(frozen=True)
class CameraSettings:
    """Where one camera's topics are."""

    image_topic: str
    camera_info_topic: str
    transport: str
    rectification: str


def camera_parameters(name: str) -> tuple[Spec, ...]:
    """Return the parameters of one camera."""
    return (
        Spec(
            f'{name}.image_topic',
            f'{name}/image_raw',
            'Topic of the pictures, without the name of a transport.',
            read_only=True,
        ),
        Spec(
            f'{name}.camera_info_topic',
            '',
            'Topic of the calibration; empty: camera_info beside the pictures.',
            read_only=True,
        ),
        Spec(
            f'{name}.transport',
            'raw',
            'How pictures come; compressed: from <image_topic>/compressed.',
            read_only=True,
            choices=('raw', 'compressed'),
        ),
        Spec(
            f'{name}.rectification',
            'auto',
            'Whether the pictures are rectified (P of camera_info is their lens) or raw (K and '
            'D); auto: rectified where the last part of the topic has "rect" in it.',
            read_only=True,
            choices=('auto', 'raw', 'rectified'),
        ),
    )


def declare(node: Node, specs: Sequence[Spec]) -> dict[str, Any]:
    """
    Declare parameters on a node and return their values.

    :raises UserError: where a given value has a wrong type or lies outside its range.
    """
    values = {}
    for spec in specs:
        try:
            value = node.declare_parameter(spec.name, spec.default, spec.descriptor()).value
        except ParameterException as error:
            raise UserError(f'The parameter {spec.name} cannot be used: {error}') from error
        if fault := spec.fault(value):
            raise UserError(f'A parameter cannot be used: {fault}.')
        values[spec.name] = tuple(value) if isinstance(spec.default, list) else value
    return values


class Parameters:
    """Declares the parameters on a node and keeps `settings` up to date."""

    def __init__(self, node: Node) -> None:
        """
        Declare everything.

        :raises UserError: where a given value has a wrong type or lies outside its range.
        """
        self._specs = {spec.name: spec for spec in NODE_PARAMETERS}
        self.settings = Settings(**declare(node, NODE_PARAMETERS))
        if fault := self.settings.fault():
            raise UserError(f'The parameters do not go together: {fault}.')
        self.cameras: dict[str, CameraSettings] = {}
        for name in self.settings.cameras:
            values = declare(node, camera_parameters(name))
            self.cameras[name] = CameraSettings(
                **{key.partition('.')[2]: value for key, value in values.items()}
            )
        node.add_on_set_parameters_callback(self._on_set)

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be, with the reason; take over the rest at once."""
        changes = {}
        for parameter in parameters:
            spec = self._specs.get(parameter.name)
            if spec is None:
                continue
            if fault := spec.fault(parameter.value):
                return SetParametersResult(successful=False, reason=fault)
            changes[parameter.name] = parameter.value
        settings = replace(self.settings, **changes)
        if fault := settings.fault():
            return SetParametersResult(successful=False, reason=fault)
        self.settings = settings
        return SetParametersResult(successful=True)


def _fault_of_names(names: Sequence[str]) -> str | None:
    if not names:
        return 'cameras names no camera; give one name at least'
    for name in names:
        if not CAMERA_NAME.fullmatch(name):
            return f'cameras has "{name}"; a name is a letter, then letters, digits, underscores'
    if len(set(names)) < len(names):
        return f'cameras has a name twice: {", ".join(names)}'
    return None


def _fault_of_topic(parameter: str, topic: str) -> str | None:
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException:
        return (
            f'{parameter} is "{topic}"; ROS takes letters, digits, _ and / for the name of a '
            'topic, no digit behind a /'
        )
    return None


def _fault_of_mesh_faces(count: int) -> str | None:
    if 0 < count < FEWEST_FACES:
        return f'mesh_faces is 0 (all) or {FEWEST_FACES} at least, not {count}'
    return MISSING if count and not can_reduce() else None
