"""Measures ways of running one network on one picture, one after the other, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import gc
import time
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor

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
    graphs: int
    vertices_mm: tuple[float, float] | None
    """Mean and largest distance to the reference's vertices; None for itself."""
    joints_mm: tuple[float, float] | None
    distance_m: float
    """The mean of people's distances, for comparison with those errors."""


class Bench:
    """One network, its picture, and the reference's people for each case."""

    def __init__(
        self, model: LoadedModel, device: torch.device, picture_hw: tuple[int, int], runs: int
    ) -> None:
        self.model = model
        self.device = device
        self.runs = runs
        self.picture = random_picture(*picture_hw)
        config = model.network.config
        resized = resized_size(*picture_hw, config.input_size)
        size = PictureSize(1, *picture_hw, *resized)
        self.cells = make_layout(size, config, torch.device('cpu')).cells
        self._reference: dict[Case, tuple[float, list[People]]] = {}

    def measure(self, way: Way, case: Case, profile: Callable[[str], None] | None) -> Result:
        """Run one way on one case; the reference has to be run on it first."""
        config = self.model.network.config
        scale_map, tokens = scale_map_for(case.tokens, self.cells, config)
        maps = scale_map.repeat(case.batch, 1, 1).to(self.device)
        fine = int((scale_map[..., 0] * (1 - scale_map[..., 1])).sum())
        predictor = Predictor(
            self.model, device=str(self.device), precision=way.precision, backend=way.backend
        )
        gc.collect()
        if self.device.type == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        with _tf32(way.tf32), forced(predictor, maps) as clock:
            people = self._call(predictor, case)
            first_s = time.perf_counter() - start
            if way == REFERENCE:
                self._set_reference(predictor, case)
            predictor.confidence_threshold, reference = self._reference[case]
            for _ in range(3):
                people = self._call(predictor, case)
            totals: list[float] = []
            clock.times_ms.clear()
            for _ in range(self.runs):
                clock.start()
                start = time.perf_counter()
                people = self._call(predictor, case)
                totals.append((time.perf_counter() - start) * 1e3)
                clock.stop()
            if profile is not None:
                table = _profiled(lambda: self._call(predictor, case), self.device)
                profile(f'{way.name}, {tokens} tokens, batch {case.batch}\n{table}')
            backend = predictor.running_backend
        same = way == REFERENCE
        return Result(
            way.name,
            case,
            tokens,
            case.batch * network_gflop(config, self.cells, 1 + 4 * fine, 1 + tokens),
            Spread.of(totals),
            clock.spreads(),
            first_s,
            memory_mib(self.device),
            backend.graphs if isinstance(backend, FastBackend) else 0,
            None if same else distances_mm(people, reference, 'vertices_camera_m'),
            None if same else distances_mm(people, reference, 'joints_camera_m'),
            float(np.mean([one.root_m[:, 2].mean() for one in reference])),
        )

    def rendering(self) -> dict[int, Spread]:
        """Return what drawing the overlay takes, by people."""
        times: dict[int, Spread] = {}
        for case, (_, people) in self._reference.items():
            if case.batch == 1:
                spent: list[float] = []
                for _ in range(RENDERINGS):
                    start = time.perf_counter()
                    draw_overlay(self.picture, people[0])
                    spent.append((time.perf_counter() - start) * 1e3)
                times[case.people] = Spread.of(spent)
        return times

    def _call(self, predictor: Predictor, case: Case) -> list[People]:
        pictures: list[ImageArray] = [self.picture] * case.batch
        return predictor.predict_batch(pictures, [None] * case.batch)

    def _set_reference(self, predictor: Predictor, case: Case) -> None:
        """Choose the threshold that leaves so many people, and keep them."""
        predictor.confidence_threshold = 0.0
        confidence = self._call(predictor, case)[0].confidence
        last, next_one = confidence[case.people - 1 : case.people + 1]
        predictor.confidence_threshold = float(last + next_one) / 2
        self._reference[case] = (
            predictor.confidence_threshold,
            self._call(predictor, case),
        )


@contextmanager
def forced(predictor: Predictor, maps: Tensor) -> Iterator[StageClock]:
    """Put scale maps (B, N, 2) in the place of the network's own, and time the stages."""
    clock = StageClock(predictor.device.type == 'cuda')
    backend = predictor.running_backend
    network = predictor.network
    if isinstance(backend, FastBackend):
        predictor.use(lambda pictures, threshold: backend(pictures, threshold, maps, clock))
        yield clock
        return
    with _timed(network, clock), _timed_bodies(backend, clock):
        packed = maps.flatten(0, 1)

        def run(pictures: Sequence[InputPicture], threshold: float) -> list[Any]:
            found = EagerBackend.__call__(backend, pictures, threshold, packed)
            clock('result copy')
            return found

        predictor.use(run)
        yield clock


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
