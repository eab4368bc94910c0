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

"""Stages of fixed shapes: on CUDA each is captured as a graph, once, and replayed from then on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import cache
import logging
from typing import TypeVar

from mahmr_model.fast.attention import choosing
import torch

logger = logging.getLogger(__name__)

T = TypeVar('T')
_CALLS_BEFORE = 2
"""A stage is captured at its next call after these: pictures of ever new sizes pay nothing."""


@cache
def _stream_beside(device: torch.device) -> torch.cuda.Stream:
    """Return one stream for every trial before a capture: libraries keep 32 MiB for each."""
    return torch.cuda.Stream(device)


@cache
def _warn_once(reason: str) -> None:
    logger.warning(
        'CUDA graphs do not work here (%s): going on without them, more slowly.', reason
    )


class Stages:
    """
    Runs stages by key; everything on one device, one at a time.

    A captured stage reads and writes the tensors it was captured with, so whatever it takes has
    to lie where it lay then, and its result holds until its next call. Stages share their
    memory: what one has put out stays, what it needed in between is the next one's.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.graphs = device.type == 'cuda'
        self.at_once = False
        self._calls: Counter[Hashable] = Counter()
        self._captured: dict[Hashable, tuple[torch.cuda.CUDAGraph, object]] = {}
        self._pool = torch.cuda.graph_pool_handle() if self.graphs else None

    def __len__(self) -> int:
        """Return how many stages are captured."""
        return len(self._captured)

    @contextmanager
    def captured_at_once(self) -> Iterator[None]:
        """Capture stages at their first call, for pictures that are yet to come."""
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False

    def __call__(self, key: Hashable, stage: Callable[[], T]) -> T:
        """Run a stage; the key says all that its shapes and the tensors it takes depend on."""
        if not self.graphs:
            return stage()
        if key not in self._captured:
            self._calls[key] += 1
            if self._calls[key] <= _CALLS_BEFORE and not self.at_once:
                return stage()
            try:
                self._captured[key] = self._capture(stage)
            except RuntimeError as error:
                _warn_once(str(error).strip().partition('\n')[0])
                self.graphs = False
                torch.cuda.synchronize()
                return stage()
        graph, result = self._captured[key]
        graph.replay()
        return result  # type: ignore[return-value]  # the key stands for one kind of result

    def _capture(self, stage: Callable[[], T]) -> tuple[torch.cuda.CUDAGraph, T]:
        current, beside = torch.cuda.current_stream(), _stream_beside(self._device)
        beside.wait_stream(current)
        with torch.cuda.stream(beside), choosing():  # libraries choose kernels and get memory
            stage()
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA meanwhile; that is not this stage's business.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode='thread_local'):
            result = stage()
        return graph, result
