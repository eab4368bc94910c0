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

"""A subscription that follows what the publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

# Whether this rclpy tells a message's number; Humble's does not.
NUMBERED = hasattr(Subscription, 'CallbackType')


class MatchingSubscription:
    """
    Subscribes with the reliability and durability that the topic's publishers offer.

    A reliable publisher of large pictures needs a reliable subscription: on best effort the
    default middleware loses most of them. A best-effort publisher matches only a best-effort
    subscription. As publishers come and go, `refresh` makes the subscription anew where it must.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any, int | None], None],
        reliability: str = 'auto',
    ) -> None:
        """
        Subscribe; `reliability` is auto, reliable or best_effort.

        `callback` gets each message, and its number among those of its publisher where that is
        the only one and the middleware tells.
        """
        self._node = node
        self._type = message_type
        self._callback = callback
        self._reliability = reliability
        self.topic: str = node.resolve_topic_name(topic)
        self._profile = self._wanted()
        self._subscription = self._subscribe()

    def refresh(self) -> None:
        """Look at the publishers again; to be called from time to time."""
        wanted = self._wanted()
        if wanted != self._profile:
            self._node.destroy_subscription(self._subscription)
            self._profile = wanted
            self._subscription = self._subscribe()
            reliability = wanted.reliability.name.lower()
            self._node.get_logger().info(f'{self.topic}: now subscribed as {reliability}')

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self) -> Any:
        receive: Any = self._receive_numbered if NUMBERED else self._receive
        return self._node.create_subscription(self._type, self.topic, receive, self._profile)

    def _receive(self, message: Any) -> None:
        self._callback(message, None)

    def _receive_numbered(self, message: Any, info: dict[str, Any]) -> None:
        number = info.get('publication_sequence_number')
        self._callback(message, number if self._publishers == 1 else None)

    def _wanted(self) -> QoSProfile:
        """One that every publisher there is matches; reliable and volatile where there is none."""
        offered = [p.qos_profile for p in self._node.get_publishers_info_by_topic(self.topic)]
        self._publishers = len(offered)
        best_effort = any(q.reliability == ReliabilityPolicy.BEST_EFFORT for q in offered)
        if self._reliability != 'auto':
            best_effort = self._reliability == 'best_effort'
        latched = bool(offered) and all(
            q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offered
        )
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=1,
            reliability=(
                ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE
            ),
            durability=(
                DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
            ),
        )
