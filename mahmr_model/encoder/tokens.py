"""Packed tokens: what the encoder gives to the decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """The image tokens of a batch of pictures, packed: picture after picture."""

    features: Tensor
    """(T, C) after the encoder's last norm."""
    centres_xy_norm: Tensor
    """(T, 2) the centre of each token, in 0…1 of the square S×S."""
    levels: Tensor
    """(T,) int64: 0 for 14 pixels, 1 for 28, 2 for 56."""
    lengths: list[int]
    """How many tokens each picture has."""
    camera_tokens: Tensor
    """(B, C) each picture's camera token, before the encoder's last norm."""


def centres(yx: Tensor, cells_per_side: float) -> Tensor:
    """Return the centres (x, y) in 0…1 of the square S×S of cells (N, 2) given as (y, x)."""
    return (yx.flip(-1) + 0.5) / cells_per_side


def prepend(first: Tensor, rest: Tensor, lengths: list[int]) -> Tensor:
    """
    Put one token before each picture's tokens.

    first (B, C), rest (T, C) packed by `lengths` → (B + T, C).
    """
    pieces: list[Tensor] = []
    for one, tokens in zip(first.split(1), rest.split(lengths), strict=True):
        pieces += [one, tokens]
    return torch.cat(pieces)


def interleave(parts: list[tuple[Tensor, list[int]]]) -> Tensor:
    """
    Join packed parts so that each picture has its share of the first, then of the second, ….

    Every part is (T_i, ...) with the lengths that split it by picture.
    """
    split = [part.split(lengths) for part, lengths in parts]
    return torch.cat([piece for picture in zip(*split, strict=True) for piece in picture])


def without_first(x: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """
    Undo `prepend`: packed sequences (B + T, C) with lengths that count the first token.

    Returns the first tokens (B, C) and the rest (T, C).
    """
    pieces = x.split(lengths)
    return torch.stack([piece[0] for piece in pieces]), torch.cat([piece[1:] for piece in pieces])
