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

"""Floating-point operations of the network as it is written, a multiplication and addition two."""

from __future__ import annotations

from mahmr_model.config import COARSE_BLOCKS, ModelConfig

_SCALE_LAYERS = 3


def network_gflop(config: ModelConfig, cells: int, fine_rows: int, token_rows: int) -> float:
    """
    Return the operations of one picture in 10⁹, bodies apart.

    cells of the coarse pass; rows of the fine pass and of the merged sequence, camera tokens
    counted. Products and attention only: the rest is under one part in a hundred.
    """
    c, d = config.encoder_dim, config.hidden_dim
    rest = config.encoder_depth - COARSE_BLOCKS
    flop = COARSE_BLOCKS * (_block(c, 1 + cells) + _block(c, fine_rows))
    flop += rest * _block(c, token_rows)
    flop += 2 * 588 * c * (cells + fine_rows) + _SCALE_LAYERS * 2 * c * c * cells
    memory = 2 * c * d + config.decoder_layers * 3 * 2 * d * d
    flop += memory * token_rows
    queries = config.queries
    layer = 16 * 2 * d * d + 4 * d * config.feedforward_dim + 2 * 3 * d * token_rows
    heads = (5 + 4 + 2 + 1) * 2 * d * d
    flop += config.decoder_layers * queries * (layer + heads)
    return flop / 1e9


def _block(c: int, rows: int) -> float:
    return 24 * c * c * rows + 4 * c * rows * rows
