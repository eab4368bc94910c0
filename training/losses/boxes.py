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

"""Boxes as the losses and the matcher compare them."""

from __future__ import annotations

import torch
from torch import Tensor


def corners(boxes_cxcywh: Tensor) -> Tensor:
    """Return (left, top, right, bottom) of boxes (..., 4) given by centre and size."""
    centre, size = boxes_cxcywh.split(2, dim=-1)
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def generalised_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """Return the generalised IoU (arXiv 1902.09630) of boxes that broadcast, (..., 4) → (...)."""
    inner = (
        torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
        - torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2])
    ).clamp(min=0)
    hull = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.minimum(
        a_xyxy[..., :2], b_xyxy[..., :2]
    )
    intersection = _area(inner)
    areas = [_area(box[..., 2:] - box[..., :2]) for box in (a_xyxy, b_xyxy)]
    union = areas[0] + areas[1] - intersection
    hull_area = _area(hull)
    return intersection / union - (hull_area - union) / hull_area


def _area(sides: Tensor) -> Tensor:
    """Return the product of two sides (..., 2); the gradient of torch's own asks for zeros."""
    return sides[..., 0] * sides[..., 1]
