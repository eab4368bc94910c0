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

"""From a picture to the network's input."""

from mahmr_model.errors import UserError
from mahmr_model.preprocess import as_rgb, pad_and_normalise, resize, resized_size
import numpy as np
import pytest
import torch


@pytest.mark.parametrize(
    ('height', 'width', 'size', 'expected'),
    [
        (360, 640, 448, (252, 448)),  # 251.99999 in exact numbers, 252 in float32
        (720, 1280, 1288, (724, 1288)),
        (640, 480, 448, (448, 336)),
        (500, 500, 448, (448, 448)),
        (1, 1, 448, (448, 448)),
        (1, 12_000, 448, (1, 448)),
    ],
)
def test_resized_size(height: int, width: int, size: int, expected: tuple[int, int]) -> None:
    assert resized_size(height, width, size) == expected
    image = np.zeros((height, width, 3), np.uint8)
    assert resize(image, size).shape[:2] == expected


@pytest.mark.parametrize('channels', [None, 1, 3, 4])
def test_every_usual_number_of_channels_becomes_rgb(channels: int | None) -> None:
    shape = (4, 5) if channels is None else (4, 5, channels)
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    rgb = as_rgb(image)
    assert rgb.shape == (4, 5, 3)
    expected = image if channels in (3, 4) else image.reshape(4, 5, 1)
    np.testing.assert_array_equal(rgb, np.broadcast_to(expected[..., :3], (4, 5, 3)))


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 3), np.uint16),
    ],
)
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match='frame 7: expected'):
        as_rgb(image, 'frame 7')


@pytest.mark.parametrize(('multiple', 'expected'), [(56, (56, 112)), (14, (28, 70))])
def test_padding_is_black_on_the_right_and_the_bottom(
    multiple: int, expected: tuple[int, int]
) -> None:
    padded = pad_and_normalise(torch.full((20, 60, 3), 255, dtype=torch.uint8), multiple)
    assert padded.shape == (3, *expected)
    white = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    black = -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(padded[:, 19, 59], white)
    torch.testing.assert_close(padded[:, 20, 59], black)
    torch.testing.assert_close(padded[:, 19, 60], black)
