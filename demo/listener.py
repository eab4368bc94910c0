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
The third process of the demo: listens to the node, checks what arrives, tells and draws it.

It ends by itself when the camera is gone and its last picture has come through the node.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
import struct
import sys
import time

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mahmr_model.types import Camera, CameraSource, ImageArray, People
from mahmr_msgs.msg import HumanArray
from mahmr_node.images import to_rgb
from mahmr_node.main import set_by_signals
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)

# Pictures kept to be drawn on, pictures saved, and marker messages looked into (rclpy takes
# 65 ms and more to read one person's mesh).
KEPT, SAVED, LOOKED_INTO = 100, 5, 5

# How long nothing may arrive while the camera plays or the last picture is in the node.
SILENCE_S = 60.0

SOURCES: dict[int, CameraSource] = {
    HumanArray.CAMERA_INFO: 'given',
    HumanArray.ESTIMATED: 'estimated',
    HumanArray.ASSUMED: 'assumed',
}


def people_of(message: HumanArray) -> People:
    """Read the people back out of a message: it holds all of them."""
    humans = message.humans
    count = len(humans)

    def stack(name: str, *shape: int) -> np.ndarray:
        values = [np.asarray(getattr(human, name), np.float32) for human in humans]
        return np.stack(values).reshape(count, *shape) if count else np.zeros((0, *shape))

    joints_px = stack('joints_px', 45, 2)
    return People(
        confidence=stack('confidence'),
        boxes_xyxy_px=stack('box_xyxy_px', 4),
        pose_axis_angle=stack('joint_rotations_rad', 24, 3),
        betas=stack('betas', len(humans[0].betas) if count else 10),
        translation_m=stack('translation_m', 3),
        joints_camera_m=stack('joints_m', 45, 3),
        joints_px=joints_px,
        vertices_camera_m=stack('vertices_m', len(humans[0].vertices_m) // 3 if count else 0, 3),
        height_m=stack('height_m'),
        faces=np.asarray(message.faces, np.int64).reshape(-1, 3),
        camera=Camera(
            message.focal_x_px,
            message.focal_y_px,
            message.principal_x_px,
            message.principal_y_px,
            message.image_width,
            message.image_height,
        ),
        camera_source=SOURCES[message.camera_source],
        untrained=message.untrained,
        inference_s=message.inference_s,
        ids=np.array([human.id for human in humans], np.int64),
    )


class Listener(Node):
    """Collects what the node publishes for one camera."""

    def __init__(self, camera: str) -> None:
        """Subscribe to the camera and to the node's topics for it."""
        super().__init__('demo_listener')
        self.pictures: dict[int, Image] = {}
        self.headers: dict[int, Header] = {}
        self.humans: dict[int, HumanArray] = {}
        self.ages_s: list[float] = []
        self.overlays: dict[int, Image] = {}
        self.markers: dict[int, bytes] = {}
        self.node_fault = ''
        self.last_s = time.monotonic()
        self._image_topic = f'/{camera}/image_raw'
        self.create_subscription(Image, self._image_topic, self._on_picture, QOS)
        base = f'/mahmr/{camera}'
        self.create_subscription(HumanArray, f'{base}/humans', self._on_humans, QOS)
        self.create_subscription(MarkerArray, f'{base}/markers', self._on_markers, QOS, raw=True)
        self.create_subscription(Image, f'{base}/overlay', self._on_overlay, QOS)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QOS)

    @property
    def done(self) -> bool:
        """Whether the camera's last picture is through, the node cannot work, or all is silent."""
        if self.node_fault or time.monotonic() - self.last_s > SILENCE_S:
            return True
        if not self.headers or self.count_publishers(self._image_topic):
            return False
        last = max(self.headers)
        return all(last in results for results in (self.humans, self.overlays, self.markers))

    def _on_picture(self, message: Image) -> None:
        self.headers[stamp_ns(message)] = message.header
        self.pictures[stamp_ns(message)] = message
        while len(self.pictures) > KEPT:
            self.pictures.pop(min(self.pictures))
        self.last_s = time.monotonic()

    def _on_humans(self, message: HumanArray) -> None:
        self.humans[stamp_ns(message)] = message
        self.ages_s.append(1e-9 * (self.get_clock().now().nanoseconds - stamp_ns(message)))
        self.last_s = time.monotonic()

    def _on_markers(self, message: bytes) -> None:
        # Header of the first marker, behind the bytes' own header and the number of markers.
        seconds, nanoseconds = struct.unpack_from('<iI', message, 8)
        self.markers[seconds * 10**9 + nanoseconds] = message
        self.last_s = time.monotonic()

    def _on_overlay(self, message: Image) -> None:
        self.overlays[stamp_ns(message)] = message
        self.last_s = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        # A frame that is lost shows in what arrives; this is a transition that failed.
        for status in message.status:
            if status.name == 'mahmr' and status.level == DiagnosticStatus.ERROR:
                self.node_fault = status.message


def stamp_ns(message: Image | HumanArray | Marker) -> int:
    """Return when a message's picture was taken, nanoseconds."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def faults_of(listener: Listener) -> list[str]:
    """Return what is wrong with what arrived; nothing is the hope."""
    faults = []
    if listener.node_fault:
        return [f'the node says: {listener.node_fault}']
    if not listener.humans or not listener.headers:
        return ['no result arrived']
    if not listener.overlays or not listener.markers:
        faults.append('no overlay or no markers arrived')
    # The node may have heard pictures before this listener heard its first, and one that was lost
    # on its way here.
    first = min(listener.headers)
    unheard = [
        stamp for stamp in listener.humans if stamp > first and stamp not in listener.headers
    ]
    if len(unheard) > 1 + 0.1 * len(listener.humans):
        faults.append(f'{len(unheard)} results are of a time at which no picture was heard')
    for stamp, message in listener.humans.items():
        if listener.headers.get(stamp, message.header) != message.header:
            faults.append(f'a result at {stamp} has not the header of its picture')
        people = people_of(message)
        for name in ('vertices_camera_m', 'joints_camera_m', 'joints_px', 'height_m'):
            if not np.isfinite(getattr(people, name)).all():
                faults.append(f'{name} at {stamp} has numbers that are not finite')
    step = max(1, len(listener.markers) // LOOKED_INTO)
    for data in list(listener.markers.values())[::step]:
        faults += faults_of_markers(deserialize_message(data, MarkerArray), listener)
    return faults


def faults_of_markers(message: MarkerArray, listener: Listener) -> list[str]:
    """Return what RViz would not like about markers, or what does not go with the people."""
    faults = []
    meshes = [m for m in message.markers if m.type == Marker.TRIANGLE_LIST]
    for marker in meshes:
        points = np.array([(p.x, p.y, p.z) for p in marker.points])
        if not len(points) or len(points) % 3 or not np.isfinite(points).all():
            faults.append(f'the mesh {marker.ns} {marker.id} is not made of whole triangles')
    people = listener.humans.get(stamp_ns(message.markers[0]))
    if people is not None and len(people.humans) != len(meshes):
        faults.append(f'{len(meshes)} meshes for {len(people.humans)} people')
    return faults


def table_of(listener: Listener) -> str:
    """Return what arrived as text."""
    results = [people_of(message) for message in listener.humans.values()]
    counts = [len(people) for people in results]
    ages_ms = 1000 * np.array(listener.ages_s)
    source = results[0].camera_source
    lines = [
        f'pictures in                 {len(listener.headers)}',
        f'pictures out                {len(results)} (only the newest is worked on)',
        f'marker arrays, overlays     {len(listener.markers)}, {len(listener.overlays)}',
        f'people per picture          {np.mean(counts):.1f} (from {min(counts)} to {max(counts)})',
        f'age of results, median      {np.median(ages_ms):.0f} ms',
        f'age of results, 95 %        {np.quantile(ages_ms, 0.95):.0f} ms',
        f'lens                        {results[0].camera.fx:.0f} px, {source}',
        '',
        'person   pictures   height (m)   distance (m)',
    ]
    seen: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for people in results:
        assert people.ids is not None
        distances_m = np.linalg.norm(people.root_m, axis=1)
        for who, height, distance in zip(people.ids, people.height_m, distances_m, strict=True):
            seen[int(who)].append((float(height), float(distance)))
    for who, sightings in sorted(seen.items(), key=lambda item: (-len(item[1]), item[0]))[:12]:
        heights, distances = np.array(sightings).T
        lines.append(
            f'{who:>6}   {len(sightings):>8}   {np.median(heights):>10.2f}   '
            f'{distances.min():>5.1f} to {distances.max():.1f}'
        )
    if len(seen) > 12:
        lines.append(f'... and {len(seen) - 12} more, seen in fewer pictures')
    if any(people.untrained for people in results):
        lines += ['', 'UNTRAINED: the weights are random. These numbers and pictures show that']
        lines += ['everything runs; they say nothing about the people in the video.']
    return '\n'.join(lines)


def save_pictures(listener: Listener, folder: Path) -> list[Path]:
    """Save some overlays, and one panel of everything for the last result."""
    from mahmr_model.render import draw_panel

    stamps = sorted(listener.overlays)
    chosen = stamps[:: max(1, len(stamps) // SAVED)][:SAVED]
    paths = []
    for i, stamp in enumerate(chosen):
        paths.append(folder / f'overlay_{i}.png')
        save(paths[-1], to_rgb(listener.overlays[stamp]))
    fitting = [stamp for stamp in listener.humans if stamp in listener.pictures]
    if fitting:
        picture = to_rgb(listener.pictures[max(fitting)])
        paths.append(folder / 'panel.png')
        save(paths[-1], draw_panel(picture, people_of(listener.humans[max(fitting)])))
    return paths


def save(path: Path, image_rgb: ImageArray) -> None:
    """Write a picture."""
    if not cv2.imwrite(str(path), cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)):
        raise OSError(f'{path} cannot be written')


def main() -> None:
    """Listen until the camera is gone, then check, tell and draw."""
    parser = argparse.ArgumentParser(description='Listen to the node and check its results.')
    parser.add_argument('--camera', default='camera', help='name of the camera')
    parser.add_argument('--out', type=Path, required=True, help='folder for the pictures')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ended = set_by_signals()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    listener = Listener(options.camera)
    while not listener.done:
        rclpy.spin_once(listener, timeout_sec=0.1)
        if ended.is_set():
            sys.exit(130)
    faults = faults_of(listener)
    if listener.humans:
        print(table_of(listener))
        for path in save_pictures(listener, options.out):
            print(path)
    for fault in faults[:10]:
        print(f'WRONG: {fault}', file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == '__main__':
    main()
