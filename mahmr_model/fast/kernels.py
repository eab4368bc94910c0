"""
Kernels for CUDA, in Triton: each does in one launch what takes torch three to eight.

`ops.py` has the same functions in torch, says what they compute, and chooses.
"""

from __future__ import annotations

import torch
from torch import Tensor
import triton
import triton.language as tl

MOST_TOKENS = 16384
"""A row of the softmax has to fit into one program."""


@triton.jit
def _add_normalised(x, change, out, columns, eps, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * columns
    at = tl.arange(0, BLOCK)
    inside = at < columns
    values = tl.load(x + start + at, mask=inside, other=0.0)
    values += tl.load(change + start + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + start + at, values, mask=inside)
    mean = tl.sum(values, 0) / columns
    centred = tl.where(inside, values - mean, 0.0)
    variance = tl.sum(centred * centred, 0) / columns
    normalised = centred / tl.sqrt(variance + eps)
    tl.store(out + start + at, normalised.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _refined_boxes(change, boxes, out, count, least, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    box = tl.load(boxes + at, mask=inside, other=0.5)
    box = tl.minimum(tl.maximum(box, 0.0), 1.0)
    logit = tl.log(tl.maximum(box, least) / tl.maximum(1.0 - box, least))
    moved = logit + tl.load(change + at, mask=inside, other=0.0)
    tl.store(out + at, 1.0 / (1.0 + tl.exp(-moved)), mask=inside)


@triton.jit
def _code(number, omega, channel):
    angle = number * omega
    return tl.where(channel % 2 == 0, tl.sin(angle), tl.cos(angle))


@triton.jit
def _box_codes(boxes, omega, out, half, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < 4 * half
    channel = at % half
    box = tl.load(boxes + row * 4 + at // half, mask=inside, other=0.0)
    frequency = tl.load(omega + channel, mask=inside, other=0.0)
    code = _code(box, frequency, channel)
    tl.store(out + row * 4 * half + at, code.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _modulated_code(boxes, omega, modulation, out, half, stride, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < 2 * half
    channel, axis = at % half, at // half
    place = tl.load(boxes + row * 4 + axis, mask=inside, other=0.0)
    size = tl.load(boxes + row * 4 + 2 + axis, mask=inside, other=1.0)
    frequency = tl.load(omega + channel, mask=inside, other=0.0)
    numbers = modulation + row * stride
    factor = tl.load(numbers + at, mask=inside, other=0.0).to(tl.float32)
    anchor = tl.load(numbers + 2 * half + axis, mask=inside, other=0.0).to(tl.float32)
    ratio = 1.0 / (1.0 + tl.exp(-anchor)) / size
    code = _code(place, frequency, channel) * factor * ratio
    tl.store(out + row * 2 * half + at, code.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _attention_weights(first, second, hidden, out, columns, per_picture, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    scores = tl.load(first + row * columns + at, mask=inside, other=float('-inf'))
    scores += tl.load(second + row * columns + at, mask=inside, other=0.0)
    scores += tl.load(hidden + row // per_picture * columns + at, mask=inside, other=0.0)
    weights = tl.exp(scores - tl.max(scores, 0))
    weights = weights / tl.sum(weights, 0)
    tl.store(out + row * columns + at, weights.to(out.dtype.element_ty), mask=inside)


def add_normalised(x: Tensor, change: Tensor, eps: float) -> Tensor:
    """See `ops.add_normalised`."""
    out = torch.empty_like(change)
    rows, columns = x.shape
    _add_normalised[(rows,)](
        x, change, out, columns, eps, BLOCK=triton.next_power_of_2(columns), num_warps=4
    )
    return out


def refined_boxes(change: Tensor, boxes: Tensor, least: float) -> Tensor:
    """See `ops.refined_boxes`."""
    out = torch.empty_like(boxes)
    count = boxes.numel()
    _refined_boxes[(triton.cdiv(count, 256),)](change, boxes, out, count, least, BLOCK=256)
    return out


def box_codes(boxes: Tensor, omega: Tensor, dtype: torch.dtype) -> Tensor:
    """See `ops.box_codes`."""
    half = len(omega)
    out = torch.empty(len(boxes), 4 * half, dtype=dtype, device=boxes.device)
    _box_codes[(len(boxes),)](
        boxes, omega, out, half, BLOCK=triton.next_power_of_2(4 * half), num_warps=4
    )
    return out


def modulated_code(boxes: Tensor, omega: Tensor, modulation: Tensor) -> Tensor:
    """See `ops.modulated_code`."""
    half = len(omega)
    out = torch.empty(len(boxes), 2 * half, dtype=modulation.dtype, device=boxes.device)
    _modulated_code[(len(boxes),)](
        boxes,
        omega,
        modulation,
        out,
        half,
        modulation.stride(0),
        BLOCK=triton.next_power_of_2(2 * half),
        num_warps=4,
    )
    return out


def attention_weights(first: Tensor, second: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """See `ops.attention_weights`."""
    rows, columns = first.shape
    out = torch.empty(rows, columns, dtype=dtype, device=first.device)
    _attention_weights[(rows,)](
        first,
        second,
        hidden,
        out,
        columns,
        rows // len(hidden),
        BLOCK=triton.next_power_of_2(columns),
        num_warps=8,
    )
    return out
