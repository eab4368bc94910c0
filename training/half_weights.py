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
Weights in half precision, all of them cast at once.

Automatic casting starts a kernel for every weight and bias of every linear layer, and two more for
their gradients: more than a thousand in a step, most of which take less time than their start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn, Tensor

KEPT = (
    'pose_head',
    'shape_head',
    'cam_head',
    'conf_head',
    'fov_head',
    'bbox_embed',
    'token_head',
)
"""Heads that are computed in float32 (`MAHMR.heads` and `camera_branch`, `QueryDecoder`)."""


class HalfWeights:
    """The linear layers of a model whose weights may be in half precision."""

    def __init__(self, model: nn.Module) -> None:
        self._places = [
            (module, name)
            for prefix, module in model.named_modules()
            if isinstance(module, nn.Linear) and not set(prefix.split('.')) & set(KEPT)
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.requires_grad
        ]

    @contextmanager
    def __call__(self, dtype: torch.dtype) -> Iterator[None]:
        """
        Let the model compute with weights in another precision.

        They are not parameters but come from them, so that gradients arrive at the parameters.
        """
        parameters = [module._parameters[name] for module, name in self._places]
        cast: Callable[..., tuple[Tensor, ...]] = _Cast.apply
        halves = cast(dtype, *parameters) if parameters else ()
        try:
            for (module, name), half in zip(self._places, halves, strict=True):
                held: dict[str, Any] = module._parameters
                held[name] = half
            yield
        finally:
            for (module, name), parameter in zip(self._places, parameters, strict=True):
                module._parameters[name] = parameter


class _Cast(torch.autograd.Function):
    """Copies in another precision, whose gradients come back in the first one."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *values: Tensor) -> tuple[Tensor, ...]:
        return _copied(values, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_copied(gradients, torch.float32)


def _copied(values: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    copies = [torch.empty_like(value, dtype=dtype) for value in values]
    torch._foreach_copy_(copies, list(values))
    return tuple(copies)
