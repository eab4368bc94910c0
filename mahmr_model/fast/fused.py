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

"""Whether the Triton kernels can be used: tried once, against torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
import logging
from typing import Any

from mahmr_model.decoder.query_decoder import LOGIT_EPS
from mahmr_model.encoder.sine import frequencies
import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_TURNS = [
    [1.0, 0, 0, 1, 0, 0] * 2 + [-1.0, 0, 0, 1, 0, 0] * 2,  # none, and half a turn about y
    [1.0, 0, 0, -1, 0, 0] * 2 + [-1.0, 0, 0, -1, 0, 0] * 2,  # half a turn about x, about z
]
"""Rotations at the ends of their range: six numbers each, of four joints."""


@cache
def fused_kernels(device: torch.device) -> Any:
    """Return the module of Triton kernels where they are right on a device, otherwise None."""
    if device.type != 'cuda':
        return None
    try:
        from mahmr_model.fast import kernels

        _try(kernels, device)
    except Exception as error:  # no Triton, no compiler, a wrong result: any means "no"
        first_line = str(error).strip().splitlines()[:1]
        logger.warning(
            'No fused kernels on %s: torch does their work in more steps (%s).',
            device,
            ' '.join(first_line),
        )
        return None
    return kernels


def _try(kernels: Any, device: torch.device) -> None:
    """Raise where a kernel's numbers are not those of torch on the CPU."""
    from mahmr_model.fast import ops  # which asks for these kernels

    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    boxes, omega = random(7, 4).sigmoid(), frequencies(48)
    stream, change = random(7, 96), random(7, 96).half()
    modulation = random(7, 104).half()
    scores, hidden = (random(6, 200), random(6, 200)), torch.zeros(2, 200)
    hidden[0, 50:] = -torch.inf
    half = torch.float16
    cases: list[tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[Any, ...]]] = [
        (kernels.add_normalised, ops.add_normalised, (stream, change, 1e-6)),
        (kernels.box_codes, ops.box_codes, (boxes, omega, half)),
        (kernels.modulated_code, ops.modulated_code, (boxes, omega, modulation)),
        (kernels.attention_weights, ops.attention_weights, (*scores, hidden, half)),
        (
            lambda x, w, b, y: kernels.refined_boxes(x, w, b, y, LOGIT_EPS),
            lambda x, w, b, y: ops.refined_boxes(x, ops.Linear(w, b), y),
            (random(7, 96).half(), random(4, 96), random(4), boxes),
        ),
        *(
            (
                lambda x, part=part: kernels.read_rotations(x)[part],
                lambda x, part=part: ops.read_rotations(x)[part],
                (torch.cat([random(3, 144), torch.tensor(_TURNS).repeat(1, 6)]),),
            )
            for part in (0, 1)
        ),
    ]
    for kernel, plain, arguments in cases:
        moved = [a.to(device, copy=True) if isinstance(a, Tensor) else a for a in arguments]
        ours = kernel(*moved).cpu()
        torch.testing.assert_close(ours, plain(*arguments), rtol=2e-3, atol=2e-3)
        if kernel == kernels.add_normalised:
            torch.testing.assert_close(moved[0].cpu(), stream)
