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

"""Measures ways of running one network on one picture, one after the other, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import gc
import time
from typing import Any

from mahmr_model.benchmark.cases import random_picture, scale_map_for
from mahmr_model.benchmark.clock import Spread, StageClock
from mahmr_model.benchmark.flop import network_gflop
from mahmr_model.benchmark.machine import memory_mib
from mahmr_model.bodies import Body
from mahmr_model.body.layer import BodyOutput
from mahmr_model.eager import EagerBackend
from mahmr_model.fast.backend import FastBackend
from mahmr_model.fast.layout import make_layout, PictureSize
from mahmr_model.found import InputPicture
from mahmr_model.predictor import BackendName, Precision, Predictor
from mahmr_model.preprocess import resized_size
from mahmr_model.render import draw_overlay
from mahmr_model.types import ImageArray, People
from mahmr_model.weights import LoadedModel
import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor

WARM_UP_RUNS = 3
RENDERINGS = 5
"""Overlays are drawn on the host and change with nothing that is compared here."""


@dataclass(frozen=True)
class Way:
    """A way of running the network."""

    backend: BackendName
    precision: Precision
    tf32: bool = False
    """Whether float32 products on CUDA may use 10 bits only, as the published code's may."""

    @property
    def name(self) -> str:
        """Return what tables call it."""
        return f'{self.backend} {self.precision}' + (' tf32' if self.tf32 else '')


REFERENCE = Way('eager', 'float32')


@dataclass(frozen=True)
class Case:
    """What goes through the network: pictures of one size with so many tokens and people."""

    tokens: int
    people: int
    batch: int


@dataclass(frozen=True)
class Result:
    """What one way took for one case."""

    way: str
    case: Case
    tokens: int
    """Of each picture, the camera token not counted."""
    gflop: float
    """Of the whole batch, without bodies."""
    total: Spread
    """From the picture on the host to arrays of people on the host."""
    stages: dict[str, Spread]
    first_s: float
    """The first call: folding, kernels, graphs."""
    memory_mib: float
    """What the first call took at most beyond the weights of the network as it is written."""
    graphs: int
    vertices_mm: tuple[float, float] | None
    """Mean and largest distance to the reference's vertices; None for itself."""
    joints_mm: tuple[float, float] | None
    distance_m: float
    """The mean of people's distances, for comparison with those errors."""


class Entrant:
    """One way of running the network on one case, and its times so far."""

    def __init__(self, bench: Bench, way: Way, case: Case) -> None:
        self.way = way
        self.case = case
        self.clock = StageClock(bench.device.type == 'cuda')
        self.totals_ms: list[float] = []
        self._pictures: list[ImageArray] = [bench.picture] * case.batch
        self._maps = bench.scale_map(case)[0].repeat(case.batch, 1, 1).to(bench.device)
        gc.collect()
        if bench.device.type == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        before = memory_mib(bench.device)
        start = time.perf_counter()
        self.predictor = Predictor(
            bench.model, device=str(bench.device), precision=way.precision, backend=way.backend
        )
        self.people = self.call()
        self.first_s = time.perf_counter() - start
        self.memory_mib = memory_mib(bench.device) - before

    def call(self, *, timed: bool = False) -> list[People]:
        """Run once."""
        with _tf32(self.way.tf32), forced(self.predictor, self._maps, self.clock):
            self.clock.start()
            start = time.perf_counter()
            self.people = self.predictor.predict_batch(self._pictures, [None] * self.case.batch)
            spent_ms = (time.perf_counter() - start) * 1e3
            if timed:
                self.totals_ms.append(spent_ms)
                self.clock.stop()
        return self.people

    def choose_threshold(self) -> float:
        """Return a threshold that leaves as many people as the case wants."""
        self.predictor.confidence_threshold = 0.0
        confidence = self.call()[0].confidence
        if self.case.people == len(confidence):
            return 0.0
        return float(confidence[slice(self.case.people - 1, self.case.people + 1)].mean())


class Bench:
    """One network and its picture."""

    def __init__(
        self, model: LoadedModel, device: torch.device, picture_hw: tuple[int, int], runs: int
    ) -> None:
        self.model = model
        self.device = device
        self.runs = runs
        self.picture = random_picture(*picture_hw)
        config = model.network.config
        model.network.to(device)
        resized = resized_size(*picture_hw, config.input_size)
        size = PictureSize(1, *picture_hw, *resized)
        self.cells = make_layout(size, config, torch.device('cpu')).cells
        self.rendering: dict[int, Spread] = {}

    def scale_map(self, case: Case) -> tuple[Tensor, int]:
        """Return the scale map (1, N, 2) of a case, and the tokens that it makes."""
        return scale_map_for(case.tokens, self.cells, self.model.network.config)

    def measure(
        self, ways: Sequence[Way], case: Case, profile: Callable[[str], None] | None
    ) -> list[Result]:
        """
        Run ways on a case, in turn, so that whatever else the machine does meets all alike.

        The first of them is the one that the others are compared with.
        """
        entrants = [Entrant(self, way, case) for way in ways]
        threshold = entrants[0].choose_threshold()
        for entrant in entrants:
            entrant.predictor.confidence_threshold = threshold
            for _ in range(WARM_UP_RUNS):
                entrant.call()
        for _ in range(self.runs):
            for entrant in entrants:
                entrant.call(timed=True)
        if profile is not None:
            for entrant in entrants:
                profile(f'{entrant.way.name}, {case}\n{_profiled(entrant.call, self.device)}')
        reference = entrants[0].people
        if case.batch == 1:
            self.rendering[case.people] = self._rendering(reference[0])
        return [self._result(entrant, reference) for entrant in entrants]

    def _result(self, entrant: Entrant, reference: list[People]) -> Result:
        case, people = entrant.case, entrant.people
        scale_map, tokens = self.scale_map(case)
        fine = int((scale_map[..., 0] * (1 - scale_map[..., 1])).sum())
        gflop = network_gflop(self.model.network.config, self.cells, 1 + 4 * fine, 1 + tokens)
        backend = entrant.predictor.running_backend
        same = people is reference
        return Result(
            entrant.way.name,
            case,
            tokens,
            case.batch * gflop,
            Spread.of(entrant.totals_ms),
            entrant.clock.spreads(),
            entrant.first_s,
            entrant.memory_mib,
            backend.graphs if isinstance(backend, FastBackend) else 0,
            None if same else distances_mm(people, reference, 'vertices_camera_m'),
            None if same else distances_mm(people, reference, 'joints_camera_m'),
            float(np.mean([one.root_m[:, 2].mean() for one in reference])),
        )

    def _rendering(self, people: People) -> Spread:
        spent_ms: list[float] = []
        while len(spent_ms) < RENDERINGS and sum(spent_ms) < 1e3:
            start = time.perf_counter()
            draw_overlay(self.picture, people)
            spent_ms.append((time.perf_counter() - start) * 1e3)
        return Spread.of(spent_ms)


@contextmanager
def forced(predictor: Predictor, maps: Tensor, clock: StageClock) -> Iterator[None]:
    """Put scale maps (B, N, 2) in the place of the network's own, and time the stages."""
    backend = predictor.running_backend
    network = predictor.network
    if isinstance(backend, FastBackend):
        predictor.use(lambda pictures, threshold: backend(pictures, threshold, maps, clock))
        yield
        return
    with _timed(network, clock), _timed_bodies(backend, clock):
        packed = maps.flatten(0, 1)

        def run(pictures: Sequence[InputPicture], threshold: float) -> list[Any]:
            found = EagerBackend.__call__(backend, pictures, threshold, packed)
            clock('result copy')
            return found

        predictor.use(run)
        yield


@contextmanager
def _timed(network: torch.nn.Module, clock: StageClock) -> Iterator[None]:
    """Mark the steps of the plain network."""
    steps = {
        'coarse_pass': ('preprocess', 'coarse pass'),
        'select': ('', 'counts'),
        'fine_pass': ('', 'fine pass'),
        'merge': ('', 'encoder'),
        'decode': ('encoder', 'decoder'),
        'heads': ('', 'heads'),
    }
    for name, (before, stage) in steps.items():
        setattr(network, name, clock.wrapped(getattr(network, name), before, stage))
    try:
        yield
    finally:
        for name in steps:
            delattr(network, name)


class _MarkedBody:
    """A body that marks when it is asked, and when it has answered."""

    def __init__(self, body: Body, clock: StageClock) -> None:
        self._body = body
        self._clock = clock

    def __call__(self, rotations: Tensor, betas: Tensor) -> BodyOutput:
        self._clock('choice')
        return self._body(rotations, betas)

    def heights(self, betas: Tensor) -> Tensor:
        heights = self._body.heights(betas)
        self._clock('bodies')
        return heights


@contextmanager
def _timed_bodies(backend: EagerBackend, clock: StageClock) -> Iterator[None]:
    """Mark the bodies of the plain way."""
    body = backend.body
    backend.body = _MarkedBody(body, clock)
    try:
        yield
    finally:
        backend.body = body


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('high' if allowed else 'highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def distances_mm(people: list[People], reference: list[People], field: str) -> tuple[float, float]:
    """
    Return mean and largest distance of points to the reference's, in millimetres.

    People are paired by where they stand; infinity where their numbers differ.
    """
    distances: list[np.ndarray] = []
    for ours, theirs in zip(people, reference, strict=True):
        if len(ours) != len(theirs):
            return float('inf'), float('inf')
        cost = np.linalg.norm(ours.joints_camera_m[:, None] - theirs.joints_camera_m, axis=-1)
        rows, columns = linear_sum_assignment(cost.mean(-1))
        difference = getattr(ours, field)[rows] - getattr(theirs, field)[columns]
        distances.append(np.linalg.norm(difference, axis=-1).ravel() * 1e3)
    every = np.concatenate(distances)
    return float(every.mean()), float(every.max())


def _profiled(call: Callable[[], object], device: torch.device) -> str:
    """Return a table of the kernels (or operators) of one call."""
    from torch.profiler import profile, ProfilerActivity

    cuda = device.type == 'cuda'
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if cuda else [])
    with profile(activities=activities) as trace:
        call()
    order = 'self_cuda_time_total' if cuda else 'self_cpu_time_total'
    return str(trace.key_averages().table(sort_by=order, row_limit=60, max_name_column_width=90))
