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
Kernels for CUDA, in Triton: each does in one launch what takes torch three to eight.

`ops.py` has the same functions in torch, says what they compute, and chooses.
"""

from __future__ import annotations

import math

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
def _refined_boxes(hidden, weight, bias, boxes, out, columns, least, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    values = tl.load(hidden + row * columns + at, mask=inside, other=0.0).to(tl.float32)
    for number in tl.static_range(4):
        factors = tl.load(weight + number * columns + at, mask=inside, other=0.0)
        change = tl.sum(values * factors, 0) + tl.load(bias + number)
        box = tl.load(boxes + row * 4 + number)
        box = tl.minimum(tl.maximum(box, 0.0), 1.0)
        logit = tl.log(tl.maximum(box, least) / tl.maximum(1.0 - box, least))
        tl.store(out + row * 4 + number, 1.0 / (1.0 + tl.exp(-change - logit)))


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


@triton.jit
def _attend_columns(q, k, v, columns, end, weights, total, best, scale, MASKED: tl.constexpr):
    """One block of keys of FlashAttention-2 (arXiv 2307.08691); scores are in powers of two."""
    if MASKED:  # noqa: SIM108 – settled when it is compiled
        keys = tl.load(k, mask=columns[None, :] < end, other=0.0)
    else:
        keys = tl.load(k)
    scores = tl.dot(q, keys) * scale
    if MASKED:
        scores = tl.where(columns[None, :] < end, scores, float('-inf'))
    higher = tl.maximum(best, tl.max(scores, 1))
    shares = tl.exp2(scores - higher[:, None])
    shrink = tl.exp2(best - higher)
    total = total * shrink + tl.sum(shares, 1)
    if MASKED:  # noqa: SIM108
        values = tl.load(v, mask=columns[:, None] < end, other=0.0)
    else:
        values = tl.load(v)
    weights = tl.dot(shares.to(values.dtype), values, weights * shrink[:, None])
    return weights, total, higher


@triton.jit
def _attend(
    q,
    k,
    v,
    out,
    starts,
    stride,
    heads,
    scale,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    head = tl.program_id(1)
    begin = tl.load(starts + tl.program_id(2))
    end = tl.load(starts + tl.program_id(2) + 1)
    first = begin + tl.program_id(0) * ROWS
    if first < end:
        rows = first + tl.arange(0, ROWS)
        channels = head * WIDTH + tl.arange(0, WIDTH)
        mine = rows[:, None] < end
        queries = tl.load(q + rows[:, None] * stride + channels[None, :], mask=mine, other=0.0)
        weights = tl.zeros([ROWS, WIDTH], dtype=tl.float32)
        total = tl.zeros([ROWS], dtype=tl.float32)
        best = tl.full([ROWS], float('-inf'), dtype=tl.float32)
        whole = begin + (end - begin) // COLUMNS * COLUMNS
        for at in range(begin, whole, COLUMNS):
            columns = at + tl.arange(0, COLUMNS)
            weights, total, best = _attend_columns(
                queries,
                k + columns[None, :] * stride + channels[:, None],
                v + columns[:, None] * stride + channels[None, :],
                columns,
                end,
                weights,
                total,
                best,
                scale,
                False,
            )
        if whole < end:
            columns = whole + tl.arange(0, COLUMNS)
            weights, total, best = _attend_columns(
                queries,
                k + columns[None, :] * stride + channels[:, None],
                v + columns[:, None] * stride + channels[None, :],
                columns,
                end,
                weights,
                total,
                best,
                scale,
                True,
            )
        weights = weights / total[:, None]
        place = out + rows[:, None] * heads * WIDTH + channels[None, :]
        tl.store(place, weights.to(out.dtype.element_ty), mask=mine)


@triton.jit
def _over_length(x, y, z):
    length = tl.maximum(tl.sqrt(x * x + y * y + z * z), 1e-12)
    return x / length, y / length, z / length


@triton.jit
def _read_rotations(numbers, rotations, axis_angles, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    first = numbers + 6 * at
    ax, ay, az = _over_length(
        tl.load(first, mask=inside, other=1.0),
        tl.load(first + 2, mask=inside, other=0.0),
        tl.load(first + 4, mask=inside, other=0.0),
    )
    bx = tl.load(first + 1, mask=inside, other=0.0)
    by = tl.load(first + 3, mask=inside, other=1.0)
    bz = tl.load(first + 5, mask=inside, other=0.0)
    along = ax * bx + ay * by + az * bz
    bx, by, bz = _over_length(bx - along * ax, by - along * ay, bz - along * az)
    cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    out = rotations + 9 * at
    tl.store(out, ax, mask=inside)
    tl.store(out + 1, bx, mask=inside)
    tl.store(out + 2, cx, mask=inside)
    tl.store(out + 3, ay, mask=inside)
    tl.store(out + 4, by, mask=inside)
    tl.store(out + 5, cy, mask=inside)
    tl.store(out + 6, az, mask=inside)
    tl.store(out + 7, bz, mask=inside)
    tl.store(out + 8, cz, mask=inside)

    # The row of q·qᵀ with the largest diagonal, as in geometry/rotations.py.
    w, x, y, z = 1 + ax + by + cz, bz - cy, cx - az, ay - bx
    best = w
    diagonal = 1 + ax - by - cz
    better = diagonal > best
    best = tl.where(better, diagonal, best)
    w, x = tl.where(better, bz - cy, w), tl.where(better, diagonal, x)
    y, z = tl.where(better, bx + ay, y), tl.where(better, cx + az, z)
    diagonal = 1 - ax + by - cz
    better = diagonal > best
    best = tl.where(better, diagonal, best)
    w, x = tl.where(better, cx - az, w), tl.where(better, bx + ay, x)
    y, z = tl.where(better, diagonal, y), tl.where(better, cy + bz, z)
    diagonal = 1 - ax - by + cz
    better = diagonal > best
    w, x = tl.where(better, ay - bx, w), tl.where(better, cx + az, x)
    y, z = tl.where(better, cy + bz, y), tl.where(better, diagonal, z)

    length = tl.sqrt(w * w + x * x + y * y + z * z)
    length = tl.where(w < 0, -length, length)
    w, x, y, z = w / length, x / length, y / length, z / length
    squared = x * x + y * y + z * z
    # angle = 2·atan2(sine, w) = 8·atan(u), u = sine·share, at most tan(π/8); then its series.
    quarter = tl.sqrt(squared) / (1 + w)
    share = 1 / ((1 + w) * (1 + tl.sqrt(1 + quarter * quarter)))
    u = squared * share * share
    series = 1 / 11 - u * (1 / 13 - u * (1 / 15 - u / 17))
    series = 1 - u * (1 / 3 - u * (1 / 5 - u * (1 / 7 - u * (1 / 9 - u * series))))
    ratio = 8 * share * series
    out = axis_angles + 3 * at
    tl.store(out, x * ratio, mask=inside)
    tl.store(out + 1, y * ratio, mask=inside)
    tl.store(out + 2, z * ratio, mask=inside)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    starts: Tensor,
    longest: int,
    rows: int,
    columns: int,
    warps: int,
) -> Tensor:
    """
    Attend within packed sequences, as `encoder.attention.variable_length_attention` does.

    q, k, v (T, heads, c) are alike in their strides, c a power of two; every row belongs to a
    sequence. A program takes `rows` queries of a head and goes through the keys by `columns`.
    """
    count, heads, width = q.shape
    assert q.stride() == k.stride() == v.stride()
    assert q.stride(1) == width
    out = torch.empty(count, heads, width, dtype=q.dtype, device=q.device)
    grid = (triton.cdiv(longest, rows), heads, len(starts) - 1)
    _attend[grid](
        q,
        k,
        v,
        out,
        starts,
        q.stride(0),
        heads,
        width**-0.5 / math.log(2),
        WIDTH=width,
        ROWS=rows,
        COLUMNS=columns,
        num_warps=warps,
        num_stages=3,
    )
    return out


def read_rotations(pose_6d: Tensor) -> tuple[Tensor, Tensor]:
    """See `ops.read_rotations`."""
    count = pose_6d.numel() // 6
    shape = (*pose_6d.shape[:-1], pose_6d.shape[-1] // 6)
    rotations = torch.empty(*shape, 3, 3, dtype=torch.float32, device=pose_6d.device)
    axis_angles = torch.empty(*shape, 3, dtype=torch.float32, device=pose_6d.device)
    _read_rotations[(triton.cdiv(count, 64),)](
        pose_6d.contiguous(), rotations, axis_angles, count, BLOCK=64, num_warps=2
    )
    return rotations, axis_angles


def add_normalised(x: Tensor, change: Tensor, eps: float) -> Tensor:
    """See `ops.add_normalised`."""
    out = torch.empty_like(change)
    rows, columns = x.shape
    _add_normalised[(rows,)](
        x, change, out, columns, eps, BLOCK=triton.next_power_of_2(columns), num_warps=4
    )
    return out


def refined_boxes(
    hidden: Tensor, weight: Tensor, bias: Tensor, boxes: Tensor, least: float
) -> Tensor:
    """See `ops.refined_boxes`."""
    out = torch.empty_like(boxes)
    rows, columns = hidden.shape
    block = triton.next_power_of_2(columns)
    _refined_boxes[(rows,)](
        hidden, weight, bias, boxes, out, columns, least, BLOCK=block, num_warps=4
    )
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
