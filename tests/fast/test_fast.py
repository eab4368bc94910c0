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

"""The fast path against the network as it is written, and against the published numbers."""

from collections.abc import Callable
import dataclasses
import json
import logging
from pathlib import Path
import sys

import cv2
from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.layer import BodyLayer
from mahmr_model.config import ModelConfig
from mahmr_model.eager import EagerBackend
from mahmr_model.encoder.cells import select_levels
from mahmr_model.fast.backend import FastBackend, FastModel
from mahmr_model.fast.body import FastBody
from mahmr_model.fast.encoder import resized
from mahmr_model.fast.layout import bucket, make_layout, PictureSize
from mahmr_model.fast.session import no_mark, Session
from mahmr_model.fast.stages import Stages
from mahmr_model.found import InputPicture
from mahmr_model.geometry.rotations import rotation_from_axis_angle
from mahmr_model.network import MAHMR
from mahmr_model.preprocess import pad_and_normalise, resized_size
from mahmr_model.types import Camera
from mahmr_model.untrained import untrained_network
import numpy as np
import pytest
import torch

GOLDEN = Path(__file__).parents[1] / 'golden'
sys.path.insert(0, str(GOLDEN))

from golden_tools import (  # noqa: E402, I100
    build_network,
    error_in_tolerances,
    golden_body,
    model_config,
    OUTPUT,
)

CPU = torch.device('cpu')


def network_of(levels: int, size: int = 308) -> MAHMR:
    """Make a small network with all weights at random, so that nothing is 0 or 1 by chance."""
    torch.manual_seed(levels)
    network = MAHMR(
        ModelConfig(
            input_size=size,
            levels=levels,
            encoder_dim=48,
            encoder_depth=5,
            encoder_heads=3,
            hidden_dim=32,
            decoder_layers=3,
            feedforward_dim=48,
            queries=6,
        )
    ).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        network.scale_head.last.weight.mul_(10)
        network.scale_head.last.bias[0] = -1.2  # so that there are cells of every level
    return network


def pictures_of(count: int, height: int, width: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize('spare', [0, 37])
@pytest.mark.parametrize(
    ('levels', 'size', 'height'), [(2, 308, 200), (3, 308, 157), (3, 644, 90)]
)
def test_every_number_of_the_network(levels: int, size: int, height: int, spare: int) -> None:
    """Also with rows that belong to nobody, which must change nothing."""
    network = network_of(levels, size)
    pictures = [torch.from_numpy(p) for p in pictures_of(2, height, size)]
    batch, config = len(pictures), network.config
    with torch.inference_mode():
        plain = network([pad_and_normalise(p, config.pad_multiple) for p in pictures])
        model = FastModel(network, BodyLayer(load_body(OPEN_BODY), kid=True), torch.float32)
        session = Session(model, PictureSize(batch, *(height, size) * 2), ahead=False)
        layout, features = session.layout, session.features
        features.fill_(777.0)  # whatever an earlier picture left
        encoder = model.encoder
        patches = encoder.patches(torch.stack(pictures), layout, session.patches)
        logits = encoder.coarse(patches, layout, features)
        choice = encoder.choose(logits.sigmoid(), layout)
        fine_rows, rows = choice.totals.tolist()
        encoder.fine(patches, layout, choice, features, fine_rows + spare)
        encoded = encoder.rest(layout, choice, features, session.codes, rows + spare)
        last = model.heads(model.decoder(encoded, batch), batch)
    torch.testing.assert_close(
        logits.flatten(0, 1), plain.coarse.scale_logits, rtol=1e-5, atol=1e-5
    )
    assert rows == sum(plain.tokens.lengths) + batch
    assert sum((plain.tokens.levels == level).sum() > 0 for level in range(levels)) == levels
    torch.testing.assert_close(encoded.fov_rad, plain.fov_rad, rtol=1e-5, atol=1e-5)
    for name, value in vars(plain.layers[-1]).items():
        torch.testing.assert_close(getattr(last, name), value, rtol=1e-5, atol=1e-5)


def test_choice_is_that_of_the_network() -> None:
    layout = make_layout(PictureSize(2, 308, 308, 308, 308), network_of(3).config, CPU)
    encoder = FastModel(
        network_of(3), BodyLayer(load_body(OPEN_BODY), kid=True), torch.float32
    ).encoder
    scale_map = torch.rand(2, layout.cells, 2, generator=torch.Generator().manual_seed(0))
    plain = select_levels(scale_map.flatten(0, 1), [layout.cells] * 2, 3, 0.3, 0.5)
    choice = encoder.choose(scale_map, layout)
    assert choice.totals.tolist() == [
        2 + 4 * sum(plain.fine_counts),
        sum(plain.token_lengths),
    ]


def test_bodies() -> None:
    layer = BodyLayer(load_body(OPEN_BODY), kid=True)
    generator = torch.Generator().manual_seed(0)
    rotations = rotation_from_axis_angle(torch.randn(5, 24, 3, generator=generator))
    betas = torch.randn(5, 11, generator=generator)
    plain, fast = layer(rotations, betas), FastBody(layer)(rotations, betas)
    torch.testing.assert_close(fast.vertices, plain.vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(fast.joints, plain.joints, rtol=0, atol=1e-5)
    torch.testing.assert_close(FastBody(layer).heights(betas), layer.heights(betas))


@pytest.mark.parametrize('name', ['adaptive', 'two_levels'])
def test_published_numbers(name: str) -> None:
    with np.load(GOLDEN / f'network_{name}.npz') as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop('meta_json')))
    config, body = model_config(meta['config']), golden_body()
    network = build_network(config, meta['seed'], arrays, body)
    backend = FastBackend(network, BodyLayer(body, kid=config.shapes == 11), torch.float32)
    inputs = [
        InputPicture(arrays[f'image_{i}'][:height, :width], (height, width), None)
        for i, (height, width) in enumerate(meta['image_sizes'])
    ]
    for index, found in enumerate(backend(inputs, -1.0)):
        order = np.argsort(-arrays['out/pred_confs'][index, :, 0], kind='stable')
        ours = {
            'confs': found.confidence[:, None],
            'poses': found.pose_axis_angle.reshape(len(order), -1),
            'betas': found.betas,
            'boxes': found.boxes_cxcywh_norm,
            'transl': found.translation_m,
            'j3ds': found.joints_camera_m,
            'verts': found.vertices_camera_m[:, :: meta['vertex_stride']],
        }
        for key, value in ours.items():
            golden = arrays[f'out/pred_{key}'][index][order]
            assert error_in_tolerances(value, golden, OUTPUT) <= 1, (index, key)


@pytest.fixture(scope='module')
def default() -> tuple[MAHMR, BodyLayer]:
    body = load_body(OPEN_BODY)
    return untrained_network(body).eval(), BodyLayer(body, kid=True)


def inputs_of(network: MAHMR) -> list[InputPicture]:
    """Give three pictures, two of one size, one with a lens that is known."""
    size = network.config.input_size
    wide, tall = pictures_of(2, 300, 500), pictures_of(1, 448, 200)
    lens = Camera.from_horizontal_fov(1.1, 500, 300)
    return [
        InputPicture(wide[0], resized_size(300, 500, size), None),
        InputPicture(tall[0], resized_size(448, 200, size), None),
        InputPicture(wide[1], resized_size(300, 500, size), lens),
    ]


@pytest.mark.parametrize(('ahead', 'threshold'), [(False, 0.3), (True, 0.3), (True, 0.99)])
def test_people_of_a_mixed_batch(
    default: tuple[MAHMR, BodyLayer], ahead: bool, threshold: float
) -> None:
    """Working ahead as on CUDA: resized on the device, in buckets, more bodies than wanted."""
    network, body = default
    inputs = inputs_of(network)
    plain = EagerBackend(network, body, torch.float32)(inputs, threshold)
    backend = FastBackend(network, body, torch.float32, ahead=ahead)
    fast = backend(inputs, threshold)
    assert [len(one.confidence) for one in fast] == [len(one.confidence) for one in plain]
    # a grey level of the resized picture, here and there, where the device resizes
    tolerance = 2e-2 if ahead else 1e-4
    for ours, theirs in zip(fast, plain, strict=True):
        for name, value in vars(theirs).items():
            np.testing.assert_allclose(
                getattr(ours, name), value, rtol=tolerance, atol=tolerance, err_msg=name
            )
    tall = inputs[1]  # resized by nobody: exact
    for name, value in vars(plain[1]).items():
        again = backend([tall], threshold)[0]
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-4, atol=1e-4)


def test_more_bodies_are_posed_where_the_first_were_too_few(
    default: tuple[MAHMR, BodyLayer],
) -> None:
    network, body = default
    backend = FastBackend(network, body, torch.float32, ahead=True)
    picture = inputs_of(network)[1]
    everybody = backend([picture], 0.0)[0]
    assert len(everybody.confidence) == network.config.queries > 8
    one = backend([picture], float(everybody.confidence[1]))[0]
    np.testing.assert_allclose(one.vertices_camera_m, everybody.vertices_camera_m[:1], atol=1e-5)


@pytest.mark.parametrize('size', [(720, 1280), (1080, 1920), (480, 640), (2000, 1500)])
def test_resizing_on_the_device_is_opencv_s(size: tuple[int, int]) -> None:
    height, width = size
    picture = cv2.GaussianBlur(pictures_of(1, height, width)[0], (0, 0), 2)
    config = ModelConfig()
    new = resized_size(height, width, config.input_size)
    layout = make_layout(PictureSize(1, height, width, *new), config, CPU)
    ours = resized(torch.from_numpy(picture)[None], layout)[0].numpy()
    theirs = cv2.resize(picture, new[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(ours - theirs).max() <= 1


def test_buckets() -> None:
    sizes = sorted({bucket(rows) for rows in range(1, 4097)})
    assert len(sizes) == 20
    assert all(rows <= bucket(rows) for rows in range(1, 9000))
    assert max(bucket(rows) / rows for rows in range(1024, 9000)) <= 1.25


def test_warm_up_reaches_every_bucket(default: tuple[MAHMR, BodyLayer]) -> None:
    network, body = default
    backend = FastBackend(network, body, torch.float32, ahead=True)
    picture = inputs_of(network)[1]
    before = backend([picture], 0.3)[0]
    said: list[str] = []
    backend.warm_up(1, 448, 200, said.append, 600)
    assert said == [f'capturing {128 * i} tokens ({i} of 5)' for i in range(1, 6)]
    after = backend([picture], 0.3)[0]
    np.testing.assert_allclose(after.vertices_camera_m, before.vertices_camera_m, atol=1e-5)


@pytest.mark.parametrize(('batch', 'parts'), [(1, [1]), (8, [8]), (16, [8]), (19, [3, 8])])
def test_warm_up_is_of_the_batches_that_calls_have(
    default: tuple[MAHMR, BodyLayer],
    batch: int,
    parts: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than eight pictures go through the network one batch after the other."""
    warmed: list[tuple[int, int]] = []

    def warm_up(self: Session, say: object, most_tokens: int) -> None:
        warmed.append((self.layout.size.batch, most_tokens))

    monkeypatch.setattr(Session, 'warm_up', warm_up)
    FastBackend(*default, torch.float32, ahead=True).warm_up(batch, 448, 200, print, 600)
    assert warmed == [(part, 600 * part) for part in parts]


@pytest.mark.parametrize('most_tokens', [1, 600])
def test_a_warm_up_that_is_stopped_leaves_nothing_behind(
    default: tuple[MAHMR, BodyLayer], most_tokens: int
) -> None:
    network, body = default
    backend = FastBackend(network, body, torch.float32, ahead=True)

    def stop(said: str) -> None:
        raise KeyboardInterrupt(said)

    with pytest.raises(KeyboardInterrupt, match='capturing 128 tokens'):
        backend.warm_up(1, 448, 200, stop, most_tokens)
    assert not backend.session(1, (448, 200)).stages.at_once
    said: list[str] = []
    backend.warm_up(1, 448, 200, said.append, most_tokens)
    assert len(said) == -(-most_tokens // 128)


def test_where_no_graph_can_be_captured_it_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Stages, stage: object) -> None:
        raise RuntimeError('operation not permitted when stream is capturing\nand more')

    monkeypatch.setattr(Stages, '_capture', refuse)
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: None)
    stages = Stages(CPU)
    stages.graphs = True
    with caplog.at_level(logging.WARNING):
        results = [stages('key', lambda n=n: n) for n in range(5)]  # the third is captured
    assert results == list(range(5))
    assert len(caplog.messages) == 1
    assert 'not permitted when stream is capturing)' in caplog.messages[0]


def test_a_stage_is_captured_once_it_comes_again_and_then_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replays: list[str] = []

    class Graph:
        """Notes that it is played again."""

        def replay(self) -> None:
            replays.append('replay')

    monkeypatch.setattr(Stages, '_capture', lambda self, stage: (Graph(), stage()))
    stages = Stages(CPU)
    stages.graphs = True
    assert [stages('key', lambda n=n: n) for n in range(5)] == [0, 1, 2, 2, 2]
    assert stages('another', lambda: 7) == 7
    assert len(replays) == 3
    assert len(stages) == 1
    with stages.captured_at_once():
        assert stages('a third', lambda: 8) == 8
    assert stages('a fourth', lambda: 9) == 9
    assert len(stages) == 2


class Replay:
    """Does on a CPU what a graph does: the captured call again, into the captured results."""

    def __init__(self, stage: Callable[[], object]) -> None:
        self.stage = stage
        self.result = stage()

    def replay(self) -> None:
        self.write(self.result, self.stage())

    def write(self, into: object, new: object) -> None:
        if isinstance(into, torch.Tensor):
            into.copy_(new)
        elif dataclasses.is_dataclass(into):
            for name, value in vars(into).items():
                self.write(value, getattr(new, name))


def test_what_is_captured_holds_for_other_pictures(
    default: tuple[MAHMR, BodyLayer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Captured stages find everything where it lay: other pictures, counts, lenses, batches."""

    def capture(self: Stages, stage: Callable[[], object]) -> tuple[Replay, object]:
        replay = Replay(stage)
        return replay, replay.result

    monkeypatch.setattr(Stages, '_capture', capture)
    network, body = default
    plain = EagerBackend(network, body, torch.float32)
    backend = FastBackend(network, body, torch.float32, ahead=True)
    size = network.config.input_size
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 1, 1, 2, 1, 2, 2, 1, 2, 2, 1):
        session = backend.session(batch, (200, size))
        session.stages.graphs = True
        lens = Camera.from_horizontal_fov(
            float(torch.rand(1, generator=generator)) + 0.5, size, 200
        )
        noise = torch.randint(0, 255, (batch, 200, size, 3), generator=generator)
        inputs = [
            InputPicture(image.numpy().astype(np.uint8), (200, size), camera)
            for image, camera in zip(noise, (lens, None), strict=False)
        ]
        scale_map = torch.rand(batch, session.layout.cells, 2, generator=generator)
        scale_map[..., 0] *= float(torch.rand(1, generator=generator))
        theirs = plain(inputs, 0.3, scale_map.flatten(0, 1))
        for ours, right in zip(backend(inputs, 0.3, scale_map), theirs, strict=True):
            for name, value in vars(right).items():
                np.testing.assert_allclose(getattr(ours, name), value, rtol=2e-4, atol=2e-4)
    assert backend.graphs > 10


def test_pictures_of_many_sizes_do_not_pile_up(default: tuple[MAHMR, BodyLayer]) -> None:
    network, body = default
    backend = FastBackend(network, body, torch.float32)
    for width in range(300, 440, 14):
        backend.session(1, (448, width))
    assert len(backend._sessions) == 6
    assert backend.session(1, (448, 426)).layout.size.width == 426


def test_stages_are_marked(default: tuple[MAHMR, BodyLayer]) -> None:
    network, body = default
    marks: list[str] = []
    FastBackend(network, body, torch.float32)(inputs_of(network)[:1], 0.3, None, marks.append)
    no_mark('nothing')
    assert marks == [
        'copy',
        'preprocess',
        'coarse pass',
        'counts',
        'fine pass',
        'encoder',
        'decoder',
        'heads',
        'bodies',
    ]
