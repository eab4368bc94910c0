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

"""What a network is made of: the few sizes that distinguish one checkpoint from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
import difflib
from typing import Any

from mahmr_model.errors import UserError

PATCH = 14
"""Side of a patch in pixels (DINOv2 ViT-*/14)."""

COARSE_BLOCKS = 3
"""Blocks of the coarse and of the fine pass, before the token levels are merged."""


@dataclass(frozen=True)
class ModelConfig:
    """
    The sizes of a network; the defaults are the published MA-HMR (arXiv 2511.13282), stage 3.

    Beside sizes there is what belongs to trained weights. Devices, precision and the confidence
    from which people are shown are not here.
    """

    input_size: int = 1288
    """S: the longer side of the resized picture in pixels."""
    levels: int = 3
    """Token levels: 0 for plain mode, 2 or 3 for adaptive mode."""
    encoder_dim: int = 768
    encoder_depth: int = 12
    encoder_heads: int = 12
    hidden_dim: int = 768
    decoder_layers: int = 6
    decoder_heads: int = 4
    feedforward_dim: int = 2048
    queries: int = 50
    shapes: int = 11
    """Shape parameters: 10, or 11 with the kid axis."""
    camera_branch: bool = True
    """Whether the network estimates the field of view."""
    presence_threshold: float = 0.3
    """A cell shows a person where the scale map's first channel is above this."""
    fine_threshold: float = 0.5
    """A person is small, and wants fine tokens, where the second channel is below this."""
    overlap_threshold: float = 1.0
    """
    Two people whose boxes around the joints have a larger IoU are taken for one, the more
    confident (1: never, as published). For networks that were trained too short to keep their
    queries apart.
    """

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        for name, value in asdict(self).items():
            if name.endswith('threshold'):
                if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                    raise UserError(f'{name} must be from 0 to 1, not {value!r}.')
            elif name == 'camera_branch':
                if not isinstance(value, bool):
                    raise UserError(f'{name} must be true or false, not {value!r}.')
            elif type(value) is not int or value < (name != 'levels'):
                raise UserError(f'{name} must be a whole number above 0, not {value!r}.')
        multiple = 2 * PATCH if self.levels else PATCH  # a cell, or a patch
        for wrong, expected in (
            (self.levels not in (0, 2, 3), f'levels 0, 2 or 3, not {self.levels}'),
            (self.shapes not in (10, 11), f'10 or 11 shapes, not {self.shapes}'),
            (
                self.input_size % multiple,
                f'an input_size that is a multiple of {multiple}, not {self.input_size}',
            ),
            (
                self.encoder_depth <= COARSE_BLOCKS,
                f'an encoder_depth above {COARSE_BLOCKS}, not {self.encoder_depth}',
            ),
            (
                self.encoder_dim % self.encoder_heads,
                f'encoder_heads that divide encoder_dim {self.encoder_dim}, '
                f'not {self.encoder_heads}',
            ),
            (
                self.hidden_dim % 4 or self.hidden_dim % self.decoder_heads,
                f'a hidden_dim divisible by 4 and by decoder_heads, not {self.hidden_dim}',
            ),
        ):
            if wrong:
                raise UserError(f'This network cannot be built: expected {expected}.')

    @property
    def adaptive(self) -> bool:
        """Whether tokens adapt to the size of people."""
        return self.levels > 0

    @property
    def pad_multiple(self) -> int:
        """Return the number of pixels that the sides of a padded picture are multiples of."""
        return 4 * PATCH if self.adaptive else PATCH

    def grid(self, level: int) -> int:
        """Return how many whole tokens of a level lie along S."""
        return self.input_size // (PATCH << level)

    def cells_per_side(self, level: int) -> float:
        """Return G_level = S / (14·2^level); S = 644 has 11½ of level 2."""
        return self.input_size / (PATCH << level)

    def with_input_size(self, input_size: int | None) -> ModelConfig:
        """Return the same network for pictures of another size; None keeps it."""
        return self if input_size is None else replace(self, input_size=input_size)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Make a config; an unknown key is refused with the nearest known one."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f'did you mean {near[0]!r}?' if near else f'known are {", ".join(known)}.'
                raise UserError(f'Unknown key {key!r} in a model configuration; {hint}')
        return cls(**values)
