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

"""A batch on the device: normalised pictures and packed truth, whatever it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mahmr_model.preprocess import normalise, StackedImages
import torch
from torch import Tensor
from training.batch_truth import BatchTruth, packed
from training.data.dataset import Batch


@dataclass(frozen=True)
class DeviceBatch:
    """B pictures and their truth, as the network and the losses want them."""

    images: StackedImages
    """(B,) of float32 (3, H, W), padded and normalised."""
    truth: BatchTruth
    indices: Sequence[int]
    """(B,) the places of the samples in the data set."""
    made: torch.cuda.Event | None = None
    """When everything is there, where it is made beside the stream that uses it."""

    def wait(self) -> None:
        """Let the current stream, not the host, wait until everything is there."""
        if self.made is None:
            return
        current = torch.cuda.current_stream(self.truth.device)
        current.wait_event(self.made)
        for tensor in self.tensors():  # or their memory could be given away too early
            tensor.record_stream(current)

    def tensors(self) -> list[Tensor]:
        """Return everything on the device."""
        truth = [value for value in vars(self.truth).values() if isinstance(value, Tensor)]
        return [self.images.canvas, *truth]


def from_pictures(
    batch: Batch, indices: Sequence[int], multiple: int, device: torch.device
) -> DeviceBatch:
    """Put samples of data sets on the device; their sides are padded to a multiple."""
    sizes = [(image.shape[0], image.shape[1]) for image in batch.images]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    canvas = torch.zeros(len(sizes), height, width, 3, dtype=torch.uint8, device=device)
    for place, image in zip(canvas, batch.images, strict=True):
        place[: image.shape[0], : image.shape[1]].copy_(image, non_blocking=True)
    truth = packed(batch.targets)
    if device.type == 'cuda':
        truth = truth.pin_memory()
    return DeviceBatch(
        padded(canvas, sizes, multiple),
        truth.to(device),
        indices,
    )


def padded(canvas: Tensor, sizes_hw: Sequence[tuple[int, int]], multiple: int) -> StackedImages:
    """
    Return the pictures of a canvas (B, height, width, 3) of 8 bits, padded and normalised.

    Each begins at the canvas's upper left corner, and what of the canvas is not its own is black.
    """
    sizes = [(h + -h % multiple, w + -w % multiple) for h, w in sizes_hw]
    return StackedImages(normalise(canvas, multiple), sizes)
