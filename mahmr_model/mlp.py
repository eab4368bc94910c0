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
