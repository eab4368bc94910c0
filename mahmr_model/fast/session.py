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

"""One size of picture: its tables, its memory, and the way of its pictures through the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TYPE_CHECKING

from mahmr_model.bodies import pose_queries
from mahmr_model.eager import choose, found_of
from mahmr_model.encoder.cells import PER_CELL
from mahmr_model.fast.encoder import Choice, Encoded
from mahmr_model.fast.layout import bucket, make_layout, PATCH_ROW, PictureSize
from mahmr_model.fast.ops import read_rotations
from mahmr_model.fast.stages import Stages
from mahmr_model.found import Found, InputPicture, NotFiniteError
from mahmr_model.geometry.placement import Lens
from mahmr_model.network import LayerPrediction
from mahmr_model.preprocess import resize
from mahmr_model.types import FloatArray
import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from mahmr_model.fast.backend import FastModel

_COPIES = 4
"""Parts in which a picture is brought to the device."""
_PEOPLE = (8, 16, 32)
"""Bodies posed for each picture on CUDA: the first of these, or all queries, that suffices."""
_Fetched = tuple[dict[str, np.ndarray], FloatArray]
"""Fields of `PosedQueries` by name, and each picture's focal lengths."""


class Mark(Protocol):
    """Is told that a stage is done (on CUDA: is in the queue)."""

    def __call__(self, stage: str) -> None:
        """Take note."""


def no_mark(stage: str) -> None:
    """Take no note."""


@dataclass(frozen=True)
class Posed:
    """What goes back to the host of one batch, in one piece."""

    numbers: Tensor
    """The fields of `PosedQueries`, one after the other, then each picture's focal lengths."""
    shapes: dict[str, torch.Size]
    """The fields' names and shapes."""


@dataclass(frozen=True)
class Begun:
    """Pictures that are on their way: copied, looked at, their counts on the way back."""

    pictures: Sequence[InputPicture]
    scale_map: Tensor | None
    choice: Choice
    counted: torch.cuda.Event | None
    """When the counts have arrived; None where the host never runs ahead."""
    turn: int
    """What has become of them holds as long as the session's turn is this one."""


class Session:
    """
    Takes B pictures of one size to people.

    Working `ahead`, as is right where the device runs beside the host, it resizes on the device,
    rounds numbers of rows up to those there are graphs for, and poses bodies before the host
    knows how many it wants; otherwise everything has the size it needs.
    """

    def __init__(self, model: FastModel, size: PictureSize, *, ahead: bool) -> None:
        self.model = model
        self.ahead = ahead
        self.stages = Stages(model.device)
        device, dtype, batch = model.device, model.dtype, size.batch
        self.layout = make_layout(size, model.config, device)
        self.codes = self.layout.codes(model.omega, model.level_embed).to(dtype)
        self.pictures = torch.zeros(
            batch, size.height, size.width, 3, dtype=torch.uint8, device=device
        )
        self.patches = torch.zeros(
            batch * self.layout.cells + 1, PER_CELL * PATCH_ROW, dtype=dtype, device=device
        )
        self.features = torch.zeros(
            self.layout.feature_rows, model.config.encoder_dim, device=device
        )
        self.known = torch.full((batch, 4), torch.nan, device=device)
        self.sizes = torch.tensor(
            [[size.resized_height, size.resized_width]] * batch, dtype=torch.float32, device=device
        )
        self.decoded = model.decoder.empty(batch)
        self.fov_rad = torch.zeros(batch, device=device)
        self._forced: tuple[Tensor, Choice] | None = None  # the last scale map from outside
        self._people = _PEOPLE[0]
        self._turn = 0  # counts what was begun: each is written over the one before
        self._finishing = 0  # counts what was finished
        self._known_on_host = ''  # as text: not-a-number is not equal to itself
        self._totals = self._on_host((2,), torch.int64)
        self._results = self._on_host((0,), torch.float32)
        if ahead:
            self._pictures_on_host = self._on_host(self.pictures.shape, torch.uint8)

    def begin(
        self,
        pictures: Sequence[InputPicture],
        scale_map: Tensor | None = None,
        mark: Mark = no_mark,
    ) -> Begun:
        """Do what needs no answer from the device; `finish` has to follow."""
        self._take(pictures)
        mark('copy')
        choice = self._look(scale_map, mark)
        self._totals.copy_(choice.totals, non_blocking=True)
        return Begun(pictures, scale_map, choice, self._event(), self._turn)

    def finish(
        self,
        begun: Begun,
        threshold: float,
        mark: Mark = no_mark,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> list[Found]:
        """
        Find everybody above the threshold.

        `meanwhile` is called when nothing is left to do but to wait for the device; the next
        pictures may begin in it. Whatever else went through the session since `begin`, or is
        finished in `meanwhile`, has overwritten these pictures: they are looked at again.
        """
        if begun.turn != self._turn:
            begun = self.begin(begun.pictures, begun.scale_map)
        self._finishing += 1
        finishing = self._finishing
        _wait(begun.counted)
        fine_rows, token_rows = self._counted()
        mark('counts')
        encoded = self._encode(begun.choice, fine_rows, token_rows, mark)
        prediction = self._decode(encoded, mark)
        known = [picture.known_lens() for picture in begun.pictures]
        if self._known_on_host != repr(known):
            self.known.copy_(torch.tensor(known))
            self._known_on_host = repr(known)
        if not self.ahead:
            return self._pose_chosen(prediction, threshold, mark)
        arrived = self._fetch(self._pose(prediction, self._counts()[0]), mark)
        meanwhile()
        if self._finishing != finishing:
            return self.finish(begun, threshold, mark)
        return self._pose_top(prediction, threshold, mark, arrived)

    def warm_up(self, say: Callable[[str], None], most_tokens: int) -> None:
        """Capture all stages for up to so many tokens (and rows of the fine pass) a batch."""
        nobody = torch.zeros(
            self.layout.size.batch, self.layout.cells, 2, device=self.model.device
        )
        with self.stages.captured_at_once():
            choice = self._look(nobody, no_mark)
            self._totals.copy_(choice.totals)
            fine_rows, token_rows = self._counted()
            least = min(fine_rows, token_rows)
            sizes = sorted({bucket(rows) for rows in range(least, max(least, most_tokens) + 1)})
            for number, rows in enumerate(sizes):
                say(f'capturing {rows} tokens ({number + 1} of {len(sizes)})')
                rows_of_both = max(rows, fine_rows), max(rows, token_rows)
                encoded = self._encode(choice, *rows_of_both, no_mark)
                prediction = self._decode(encoded, no_mark)
            for count in self._counts():
                self._pose(prediction, count)

    def _take(self, pictures: Sequence[InputPicture]) -> None:
        """Bring pictures to where the stages take them from."""
        if not self.ahead:
            for place, picture in zip(self.pictures.numpy(), pictures, strict=True):
                np.copyto(place, resize(picture.image_rgb, self.model.config.input_size))
            return
        step = -(-self.layout.size.height // _COPIES)
        for i, picture in enumerate(pictures):  # a part goes over while the next is copied
            for first in range(0, self.layout.size.height, step):
                on_host = self._pictures_on_host[i, slice(first, first + step)]
                np.copyto(on_host.numpy(), picture.image_rgb[slice(first, first + step)])
                self.pictures[i, slice(first, first + step)].copy_(on_host, non_blocking=True)

    def _look(self, scale_map: Tensor | None, mark: Mark) -> Choice:
        """Cut pictures into cells, run the coarse pass, choose tokens."""
        encoder, layout = self.model.encoder, self.layout
        self._turn += 1
        self.stages('patches', lambda: encoder.patches(self.pictures, layout, self.patches))
        mark('preprocess')

        def look() -> Choice:
            logits = encoder.coarse(self.patches, layout, self.features)
            return encoder.choose(logits.sigmoid(), layout)

        choice = self.stages('coarse', look)
        if scale_map is not None:
            if self._forced is None or self._forced[0] is not scale_map:
                self._forced = (scale_map, encoder.choose(scale_map, layout))
            for name, value in vars(self._forced[1]).items():
                getattr(choice, name).copy_(value)
        mark('coarse pass')
        return choice

    def _counted(self) -> tuple[int, int]:
        """Read how many rows the next stages have; raises NotFiniteError."""
        fine, tokens = self._totals.tolist()
        if fine < 0:
            raise NotFiniteError('scale map')
        return (bucket(fine), bucket(tokens)) if self.ahead else (fine, tokens)

    def _encode(self, choice: Choice, fine_rows: int, token_rows: int, mark: Mark) -> Encoded:
        encoder, layout, features = self.model.encoder, self.layout, self.features
        self.stages(
            ('fine', fine_rows),
            lambda: encoder.fine(self.patches, layout, choice, features, fine_rows),
        )
        mark('fine pass')
        encoded = self.stages(
            ('rest', token_rows),
            lambda: encoder.rest(layout, choice, features, self.codes, token_rows),
        )
        mark('encoder')
        return encoded

    def _decode(self, encoded: Encoded, mark: Mark) -> LayerPrediction:
        """Run decoder and heads; what the heads take lies in the same place for all sizes."""
        batch, decoded = self.layout.size.batch, self.decoded

        def decode() -> None:
            result = self.model.decoder(encoded, batch)
            for name, value in vars(result).items():
                getattr(decoded, name).copy_(value)
            if encoded.fov_rad is not None:
                self.fov_rad.copy_(encoded.fov_rad)

        self.stages(('decoder', len(encoded.features)), decode)
        mark('decoder')
        prediction = self.stages('heads', lambda: self.model.heads(decoded, batch))
        mark('heads')
        return prediction

    def _pose_chosen(
        self, prediction: LayerPrediction, threshold: float, mark: Mark
    ) -> list[Found]:
        """Pose those above the threshold, who are known at once on a CPU."""
        confidence = prediction.confidence_logits.float().sigmoid().numpy()
        picture, query = choose(confidence, threshold)
        lens = self._lens()
        posed = pose_queries(
            prediction,
            self.model.body,
            lens,
            self.model.config.input_size,
            torch.from_numpy(picture),
            torch.from_numpy(query),
        )
        mark('bodies')
        arrays = {name: value.numpy() for name, value in vars(posed).items()}
        focal = lens.focal_xy_px.numpy()
        return [found_of(arrays, picture == i, focal[i].copy()) for i in range(len(focal))]

    def _pose_top(
        self,
        prediction: LayerPrediction,
        threshold: float,
        mark: Mark,
        first: Callable[[], _Fetched],
    ) -> list[Found]:
        """
        Take the most confident of each picture, who were posed before the host knew how many.

        It asks for more bodies where those were not enough, and for as many the next time.
        """
        for attempt, count in enumerate(self._counts()):
            arrived = self._fetch(self._pose(prediction, count), mark) if attempt else first
            arrays, focal = arrived()
            confidence = arrays['confidence'].reshape(-1, count)
            if not np.isfinite(confidence).all():
                raise NotFiniteError('confidence')
            wanted = (confidence > threshold).sum(1)
            if wanted.max() < count:
                break
        self._people = count
        return [
            found_of(arrays, np.arange(i * count, i * count + n), focal[i].copy())
            for i, n in enumerate(wanted)
        ]

    def _counts(self) -> list[int]:
        """Return the numbers of bodies to try, the last one's own first."""
        queries = self.model.config.queries
        return [n for n in _PEOPLE if self._people <= n < queries] + [queries]

    def _pose(self, prediction: LayerPrediction, count: int) -> Posed:
        """Pose the `count` most confident queries of each picture."""
        batch = self.layout.size.batch

        def pose() -> Posed:
            top = prediction.confidence_logits.topk(count, dim=1).indices
            picture = torch.arange(batch, device=top.device).repeat_interleave(count)
            lens = self._lens()
            people = pose_queries(
                prediction,
                self.model.body,
                lens,
                self.model.config.input_size,
                picture,
                top.flatten(),
                read_rotations,
            )
            shapes = {name: value.shape for name, value in vars(people).items()}
            parts = [*vars(people).values(), lens.focal_xy_px]
            return Posed(torch.cat([part.flatten() for part in parts]), shapes)

        return self.stages(('bodies', count), pose)

    def _fetch(self, posed: Posed, mark: Mark) -> Callable[[], _Fetched]:
        """Bring results to the host in one copy; returns what waits for them and reads them."""
        mark('bodies')
        if self._results.numel() < posed.numbers.numel():
            self._results = self._on_host(posed.numbers.shape, torch.float32)
        results = self._results[: posed.numbers.numel()]
        results.copy_(posed.numbers, non_blocking=True)
        done = self._event()

        def arrived() -> _Fetched:
            _wait(done)
            mark('result copy')
            numbers = results.numpy()
            arrays: dict[str, np.ndarray] = {}
            for name, shape in posed.shapes.items():
                arrays[name] = numbers[: shape.numel()].reshape(shape)
                numbers = numbers[slice(shape.numel(), None)]
            return arrays, numbers.reshape(-1, 2)

        return arrived

    def _on_host(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return memory of the host that the device reaches without the host's help."""
        return torch.empty(*shape, dtype=dtype, pin_memory=self.model.device.type == 'cuda')

    def _event(self) -> torch.cuda.Event | None:
        """Return an event that comes when all that is in the queue now is done."""
        if self.model.device.type != 'cuda':
            return None
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.model.device))
        return event

    def _lens(self) -> Lens:
        fov_rad = self.fov_rad if self.model.config.camera_branch else None
        return Lens.of_sizes(self.sizes, self.model.config.input_size, fov_rad).with_known(
            self.known
        )


def _wait(event: torch.cuda.Event | None) -> None:
    if event is not None:
        event.synchronize()
