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

"""The quick way of running the network: graphs on CUDA, the same arithmetic on a CPU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from mahmr_model.body.layer import BodyLayer
from mahmr_model.fast.body import FastBody
from mahmr_model.fast.decoder import FastDecoder, FastHeads
from mahmr_model.fast.encoder import FastEncoder
from mahmr_model.fast.layout import PictureSize
from mahmr_model.fast.session import Begun, Mark, no_mark, Session
from mahmr_model.found import Found, InputPicture
from mahmr_model.network import MAHMR
from mahmr_model.preprocess import resized_size
import torch
from torch import Tensor

T = TypeVar('T')

_MOST_SESSIONS = 6
"""Sizes of pictures whose tables and graphs are kept; of more, those not used for longest go."""
_MOST_PICTURES = 8
"""More pictures than these of one size go through the network one batch after the other."""


class FastModel:
    """The network's folded weights and its body, on one device and in one precision."""

    def __init__(self, network: MAHMR, body: BodyLayer, dtype: torch.dtype) -> None:
        with torch.inference_mode():
            self.config = network.config
            self.device = network.encoder_pos_embeds.device
            self.dtype = dtype
            self.encoder = FastEncoder(network, dtype)
            self.decoder = FastDecoder(network, dtype)
            self.heads = FastHeads(network, dtype)
            self.body = FastBody(body)
            self.omega = network.omega
            self.level_embed = network.level_embed.detach()


class FastBackend:
    """Finds people with a session a size of picture, so that a camera's pictures share one."""

    def __init__(
        self, network: MAHMR, body: BodyLayer, dtype: torch.dtype, *, ahead: bool | None = None
    ) -> None:
        self.model = FastModel(network, body, dtype)
        self.ahead = self.model.device.type == 'cuda' if ahead is None else ahead
        self._sessions: OrderedDict[PictureSize, Session] = OrderedDict()

    def __call__(
        self,
        pictures: Sequence[InputPicture],
        threshold: float,
        scale_map: Tensor | None = None,
        mark: Mark = no_mark,
    ) -> list[Found]:
        """
        Find everybody in pictures; those of one size go through together.

        `scale_map` (B, N, 2) takes the place of the network's own (pictures of one size alone).
        `mark` is called after each stage with its name.
        """
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pictures):
            groups.setdefault(picture.image_rgb.shape, []).append(index)
        found: dict[int, Found] = {}
        with torch.inference_mode():
            for indices in groups.values():
                for first in range(0, len(indices), _MOST_PICTURES):
                    some = indices[slice(first, first + _MOST_PICTURES)]
                    session = self.session(len(some), pictures[some[0]].image_rgb.shape[:2])
                    begun = session.begin([pictures[i] for i in some], scale_map, mark)
                    results = session.finish(begun, threshold, mark)
                    found.update(zip(some, results, strict=True))
        return [found[index] for index in range(len(pictures))]

    def stream(self, pictures: Iterator[InputPicture], threshold: float) -> Iterator[Found]:
        """Find people in one picture after the other; each is begun before the last is done."""

        def begin() -> tuple[Session, Begun] | None:
            for picture in pictures:
                session = self.session(1, picture.image_rgb.shape[:2])
                return session, session.begin([picture])
            return None

        with torch.inference_mode():
            current = begin()
        while current is not None:
            session, begun = current
            following: list[tuple[Session, Begun] | None] = []
            meanwhile = partial(_append_from, begin, following)
            with torch.inference_mode():
                found = session.finish(begun, threshold, meanwhile=meanwhile)
            current = following[0]
            yield found[0]

    @property
    def graphs(self) -> int:
        """How many graphs are captured."""
        return sum(len(session.stages) for session in self._sessions.values())

    def session(self, batch: int, height_width: tuple[int, ...]) -> Session:
        """Return the session of so many pictures of a size; it is made where there is none."""
        height, width = height_width
        resized = resized_size(height, width, self.model.config.input_size)
        size = PictureSize(batch, *((height, width) if self.ahead else resized), *resized)
        if size not in self._sessions:
            while len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.popitem(last=False)
            with torch.inference_mode():
                self._sessions[size] = Session(self.model, size, ahead=self.ahead)
        self._sessions.move_to_end(size)
        return self._sessions[size]

    def warm_up(
        self,
        batch: int,
        height: int,
        width: int,
        say: Callable[[str], None],
        most_tokens: int,
    ) -> None:
        """Capture everything that pictures of a size may need, each up to so many tokens."""
        parts = {min(batch, _MOST_PICTURES), batch % _MOST_PICTURES} - {0}  # as a call has them
        with torch.inference_mode():
            for part in sorted(parts):
                self.session(part, (height, width)).warm_up(say, most_tokens * part)


def _append_from(source: Callable[[], T], into: list[T]) -> None:
    into.append(source())
