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

"""The few operations that the fast path is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mahmr_model.decoder.query_decoder import logit, LOGIT_EPS
from mahmr_model.encoder.attention import torch_attention
from mahmr_model.encoder.sine import sine_code
from mahmr_model.fast.attention import attend
from mahmr_model.fast.fused import fused_kernels
from mahmr_model.geometry import rotations
import torch
from torch import Tensor
import torch.nn.functional as functional


@dataclass(frozen=True)
class Linear:
    """A product with folded weights, in the precision of the weights."""

    weight: Tensor
    """(o, a), or (n, a, o) for n products at once."""
    bias: Tensor
    """(o,), or (n, 1, o)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Map x (..., a) → (..., o), or (n, ..., a) → (n, ..., o)."""
        if self.weight.dim() == 3:
            return torch.baddbmm(self.bias, x, self.weight)
        return functional.linear(x, self.weight, self.bias)

    def relu(self, x: Tensor) -> Tensor:
        """Map x and take what is positive."""
        if x.device.type == 'cuda' and self.weight.dim() == 2 and x.dim() == 2:
            return torch._addmm_activation(self.bias, x, self.weight.T)  # one kernel
        return functional.relu(self(x))

    def gelu(self, x: Tensor) -> Tensor:
        """
        Map x (n, a) and apply GELU.

        In half precision on CUDA it is the one with a hyperbolic tangent, which the product's
        kernel knows: it differs by at most 5e-4, as much as rounding does.
        """
        if x.device.type == 'cuda' and x.dtype != torch.float32:
            return torch._addmm_activation(self.bias, x, self.weight.T, use_gelu=True)
        return functional.gelu(self(x))

    def of_few(self, x: Tensor) -> Tensor:
        """Map very few rows (n, a), one at a time: in float32 quicker on CUDA than all at once."""
        return torch.stack([torch.addmv(self.bias, self.weight, row) for row in x])

    def to(self, dtype: torch.dtype) -> Linear:
        """Return the same in another precision."""
        return Linear(self.weight.to(dtype).contiguous(), self.bias.to(dtype).contiguous())


def normalised(x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    """Return x (..., c) with mean 0 and deviation 1: a LayerNorm whose factors are folded away."""
    return functional.layer_norm(x, x.shape[-1:], eps=eps).to(dtype)


def add_normalised(x: Tensor, change: Tensor, eps: float) -> Tensor:
    """Add a change to the float32 stream x (T, c) in place; return it normalised, as `change`."""
    kernels = fused_kernels(x.device)
    if kernels is not None:
        return kernels.add_normalised(x, change, eps)
    x.add_(change)
    return normalised(x, eps, change.dtype)


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """Return a (m, k) · b (k, n) in float32, also of half precision."""
    if a.dtype == torch.float32:
        return a @ b
    if a.device.type == 'cuda':
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def refined_boxes(hidden: Tensor, last: Linear, boxes: Tensor) -> Tensor:
    """Return boxes (n, 4) in 0…1 moved by what `last` makes of hidden (n, d), in float32."""
    kernels = fused_kernels(boxes.device)
    if kernels is not None:
        return kernels.refined_boxes(hidden, last.weight, last.bias, boxes, LOGIT_EPS)
    return (last(hidden.float()) + logit(boxes)).sigmoid()


def box_codes(boxes: Tensor, omega: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the sine codes of boxes' four numbers, in their order: (n, 4) → (n, 4·len(omega))."""
    kernels = fused_kernels(boxes.device)
    if kernels is not None:
        return kernels.box_codes(boxes, omega, dtype)
    return sine_code(boxes.view(-1, 2, 2).flip(-1), omega).flatten(1).to(dtype)


def modulated_code(boxes: Tensor, omega: Tensor, modulation: Tensor) -> Tensor:
    """
    Return the modulated sine code of boxes' places (DAB-DETR, eq. 6), (n, d), d = 2·len(omega).

    boxes (n, 4) are (y, x, h, w); modulation (n, at least d + 2): a factor for each channel, then
    the anchor's height and width before the sigmoid.
    """
    kernels = fused_kernels(boxes.device)
    if kernels is not None:
        return kernels.modulated_code(boxes, omega, modulation)
    d = 2 * len(omega)
    numbers = modulation.float()
    ratio = numbers[:, slice(d, d + 2)].sigmoid() / boxes[:, 2:]
    scaled = sine_code(boxes[:, :2].flip(-1), omega) * numbers[:, :d]
    code = (scaled.unflatten(1, (2, -1)) * ratio[..., None]).flatten(1)
    return code.to(modulation.dtype)


def attention_weights(first: Tensor, second: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """
    Return softmax(first + second + hidden) over tokens.

    first, second: float32 (B·n, T), overwritten; hidden (B, T) for the n rows of each picture.
    """
    kernels = fused_kernels(first.device)
    if kernels is not None and first.shape[1] <= kernels.MOST_TOKENS:
        return kernels.attention_weights(first, second, hidden, dtype)
    scores = first.add_(second).view(len(hidden), -1, first.shape[1]) + hidden[:, None]
    return scores.softmax(-1).flatten(0, 1).to(dtype)


def read_rotations(pose_6d: Tensor) -> tuple[Tensor, Tensor]:
    """Do what `geometry.rotations.read_rotations` does."""
    kernels = fused_kernels(pose_6d.device)
    if kernels is not None:
        return kernels.read_rotations(pose_6d)
    return rotations.read_rotations(pose_6d)


@dataclass(frozen=True)
class Sequences:
    """Where packed sequences begin; rows that belong to nobody are a sequence of their own."""

    starts: Tensor
    """(n + 1,) int32 on the device, from 0 to the number of rows."""
    longest: int
    """No sequence is longer."""
    equal: bool = False
    """Whether all are as long as that."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend within each sequence: q, k, v (T, heads, c) → (T, heads, c)."""
        if q.device.type == 'cuda':
            return attend(q, k, v, self.starts, self.longest, equal=self.equal)
        lengths = [n for n in self.starts.diff().tolist() if n]
        return torch_attention(q, k, v, lengths, lengths)


class Beside:
    """
    A second queue on CUDA for what does not depend on the work at hand; on a CPU there is none.

    Whatever is made in it has to be kept until `join`: the allocator knows nothing of it.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == 'cuda' else None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Put work into the second queue, after all that is in the first one now."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield

    def join(self) -> None:
        """Let the first queue wait for the second one."""
        if self._stream is not None:
            torch.cuda.current_stream().wait_stream(self._stream)
