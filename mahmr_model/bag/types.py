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

"""The message types of bags, as `rosbags` has them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mahmr_model.errors import UserError

MESSAGES = Path(__file__).parent / 'msg'
"""The .msg files of mahmr_msgs: a link to them in the sources, copies in an installation."""

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'


@cache
def typestore() -> Any:
    """
    Return the types of ROS 2 Jazzy and those of mahmr_msgs.

    The pictures and calibrations that are read are the same in every distribution since Foxy.

    :raises UserError: where rosbags is not installed.
    """
    try:
        from rosbags.typesys import get_types_from_msg, get_typestore, Stores
    except ImportError as error:
        raise UserError(
            f'Bags are read by the package rosbags, which cannot be imported ({error}); install '
            'it: pip install rosbags'
        ) from error
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in sorted(MESSAGES.glob('*.msg')):
        store.register(get_types_from_msg(path.read_text(), f'mahmr_msgs/msg/{path.stem}'))
    return store
