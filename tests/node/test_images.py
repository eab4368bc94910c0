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

from __future__ import annotations

import array

from bad_pictures import oversized_png
import cv2
from mahmr_model.errors import UserError
from mahmr_node import images
from mahmr_node.images import ENCODINGS, to_rgb
import numpy as np
import pytest
from ros_tools import compressed
from sensor_msgs.msg import Image

WIDTH, HEIGHT = 16, 12


def gradient_rgb() -> np.ndarray:
    """Return a smooth coloured picture, so that conversions that halve the colours come close."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([60 + 4 * x, 180 - 5 * y, 40 + 2 * x + 3 * y], axis=-1).astype(np.uint8)


def message(data: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """Make a picture message of rows of bytes, with `padding` bytes of rubbish after each."""
    rows = np.pad(data.reshape(HEIGHT, -1), ((0, 0), (0, padding)), constant_values=255)
    image = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=rows.shape[1])
    image.data = array.array('B', rows.tobytes())
    return image


def packed(rgb: np.ndarray, order: str) -> np.ndarray:
    """Pack into 4:2:2 with BT.601 video levels, bytes in the given order (u and v by turns)."""
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 16 + 0.257 * r + 0.504 * g + 0.098 * b
    u = (128 - 0.148 * r - 0.291 * g + 0.439 * b).reshape(HEIGHT, -1, 2).mean(axis=2)
    v = (128 + 0.439 * r - 0.368 * g - 0.071 * b).reshape(HEIGHT, -1, 2).mean(axis=2)
    parts = {'y': y[:, 0::2], 'Y': y[:, 1::2], 'u': u, 'v': v}
    return np.stack([parts[c] for c in order], axis=-1).round().astype(np.uint8)


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """Keep one colour a pixel: `pattern` names those of the first 2×2 pixels, row by row."""
    raw = np.zeros((HEIGHT, WIDTH), np.uint8)
    for i, colour in enumerate(pattern):
        rows, columns = slice(i // 2, None, 2), slice(i % 2, None, 2)
        raw[rows, columns] = rgb[rows, columns, 'rgb'.index(colour)]
    return raw


RGB = gradient_rgb()
GREY = RGB[..., 1].copy()
ALPHA = np.full((HEIGHT, WIDTH, 1), 7, np.uint8)
AS_GREY = np.repeat(GREY[..., None], 3, axis=2)

# Encoding: its bytes, what must come out, and the tolerance (colours are halved or guessed).
CASES = {
    'rgb8': (RGB, RGB, 0),
    'bgr8': (RGB[..., ::-1], RGB, 0),
    'rgba8': (np.concatenate([RGB, ALPHA], axis=2), RGB, 0),
    'bgra8': (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), RGB, 0),
    'mono8': (GREY, AS_GREY, 0),
    '8UC1': (GREY, AS_GREY, 0),
    '8UC3': (RGB[..., ::-1], RGB, 0),
    '8UC4': (np.concatenate([RGB[..., ::-1], ALPHA], axis=2), RGB, 0),
    'yuv422': (packed(RGB, 'uyvY'), RGB, 6),
    'uyvy': (packed(RGB, 'uyvY'), RGB, 6),
    'yuv422_yuy2': (packed(RGB, 'yuYv'), RGB, 6),
    'yuyv': (packed(RGB, 'yuYv'), RGB, 6),
    'bayer_rggb8': (mosaic(RGB, 'rggb'), RGB, 8),
    'bayer_bggr8': (mosaic(RGB, 'bggr'), RGB, 8),
    'bayer_gbrg8': (mosaic(RGB, 'gbrg'), RGB, 8),
    'bayer_grbg8': (mosaic(RGB, 'grbg'), RGB, 8),
}


@pytest.mark.parametrize('bridge', [True, False], ids=['cv_bridge', 'without'])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_encoding(
    encoding: str, padding: int, bridge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every encoding gives the same colours, with padded rows, and where cv_bridge is broken."""
    assert images._bridge is not None
    if not bridge:
        monkeypatch.setattr(images, '_bridge', None)
    data, expected, tolerance = CASES[encoding]
    rgb = to_rgb(message(np.ascontiguousarray(data), encoding, padding))
    assert rgb.dtype == np.uint8
    assert rgb.shape == (HEIGHT, WIDTH, 3)
    # The border of a Bayer picture is guessed from one side only.
    inner = slice(2, -2) if 'bayer' in encoding else slice(None)
    difference = np.abs(rgb.astype(int) - expected.astype(int))[inner, inner]
    assert difference.max() <= tolerance


def test_compressed() -> None:
    """PNG comes back exactly; what is no picture is refused."""
    _, png = cv2.imencode('.png', RGB[..., ::-1])
    assert np.array_equal(to_rgb(compressed(png.tobytes(), 'png')), RGB)
    for rubbish in (b'', b'no picture', oversized_png()):
        with pytest.raises(UserError, match='cannot be decoded'):
            to_rgb(compressed(rubbish))


def refused(**changes: object) -> str:
    """Return the reason why a changed rgb8 picture is refused."""
    image = message(RGB, 'rgb8')
    for name, value in changes.items():
        setattr(image, name, value)
    with pytest.raises(UserError) as caught:
        to_rgb(image)
    return str(caught.value)


def test_refused() -> None:
    """What cannot be read is named."""
    assert '"32FC1"' in refused(encoding='32FC1')
    assert '"mono16"' in refused(encoding='mono16')
    assert 'big-endian' in refused(is_bigendian=1)
    assert 'no pixels (0x12)' in refused(width=0)
    assert 'at least 48 bytes, but this one has step 47' in refused(step=47)
    assert '100 bytes in all' in refused(data=array.array('B', bytes(100)))
    assert 'even width' in refused(encoding='yuyv', width=15, step=30)
