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

"""The multi-layer perceptron of all heads."""

from __future__ import annotations

from itertools import pairwise

from torch import nn, Tensor
import torch.nn.functional as functional


class MLP(nn.Module):
    """`count` linear layers a → h → … → o with ReLU between (DETR, arXiv 2005.12872)."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, count: int) -> None:
        super().__init__()
        sizes = [input_dim] + [hidden_dim] * (count - 1) + [output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    @property
    def last(self) -> nn.Linear:
        """Return the layer that gives the output: where a head's initial value is set."""
        layer = self.layers[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., a) → (..., o)."""
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.last(x)
