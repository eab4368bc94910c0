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

"""The predictor: one call from a picture to people, on the built-in default."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
import threading

from mahmr_model.body.layer import BodyLayer
from mahmr_model.config import ModelConfig
from mahmr_model.eager import EagerBackend
from mahmr_model.errors import UserError
from mahmr_model.fast.backend import FastBackend
from mahmr_model.fast.body import FastBody
from mahmr_model.fast.encoder import Choice
from mahmr_model.fast.layout import Layout
from mahmr_model.found import Found, InputPicture
from mahmr_model.network import MAHMR
from mahmr_model.predictor import BackendName, choose_device, Predictor
from mahmr_model.transfer import working_on
from mahmr_model.types import Camera, People
from mahmr_model.weights import load_model, LoadedModel
import numpy as np
import pytest
import torch

pytestmark = pytest.mark.usefixtures('untrained')


@pytest.fixture(scope='module')
def predictor(untrained: None) -> Predictor:
    return Predictor.load(device='cpu')


@pytest.fixture(scope='module')
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, (18, 32, 3), dtype=np.uint8)
    return np.kron(noise, np.ones((20, 20, 1), np.uint8))


def assert_same(a: People, b: People, tolerance: float = 1e-4) -> None:
    for name in ('confidence', 'translation_m', 'vertices_camera_m', 'joints_px'):
        ours, theirs = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=name)


def test_people_have_the_promised_shapes(predictor: Predictor, picture: np.ndarray) -> None:
    people = predictor(picture)
    n, v = len(people), len(predictor.body.v_template)
    assert 0 < n < predictor.network.config.queries
    assert people.confidence.shape == (n,)
    assert (people.confidence > 0.3).all()
    assert (np.diff(people.confidence) <= 0).all()
    assert people.boxes_xyxy_px.shape == (n, 4)
    assert people.pose_axis_angle.shape == (n, 24, 3)
    assert people.betas.shape == (n, 11)
    assert people.joints_camera_m.shape == (n, 45, 3)
    assert people.joints_px.shape == (n, 45, 2)
    assert people.vertices_camera_m.shape == (n, v, 3)
    assert people.faces.max() == v - 1
    for name, value in vars(people).items():
        if isinstance(value, np.ndarray) and name != 'faces':
            assert value.dtype == np.float32, name
    assert people.untrained
    assert people.camera_source == 'estimated'
    assert (people.camera.width, people.camera.height) == (640, 360)
    assert people.inference_s > 0


def test_joints_project_where_they_are_said_to_be(
    predictor: Predictor, picture: np.ndarray
) -> None:
    people = predictor(picture)
    k = people.camera.matrix
    pixels = people.joints_camera_m @ k.T
    np.testing.assert_allclose(people.joints_px, pixels[..., :2] / pixels[..., 2:], rtol=1e-4)


@pytest.mark.parametrize('backend', ['fast', 'eager'])
def test_only_people_above_the_threshold_are_posed(
    backend: BackendName, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(device='cpu', backend=backend)
    posed: list[int] = []
    kind = FastBody if backend == 'fast' else BodyLayer
    call = kind.__call__

    def counting(body: object, rotations: torch.Tensor, betas: torch.Tensor) -> object:
        posed.append(len(betas))
        return call(body, rotations, betas)

    monkeypatch.setattr(kind, '__call__', counting)
    everybody = predictor(picture)
    monkeypatch.setattr(predictor, 'confidence_threshold', float(everybody.confidence[1]))
    most_confident = predictor(picture)
    monkeypatch.setattr(predictor, 'confidence_threshold', 0.999)
    nobody = predictor(picture)
    assert posed == [len(everybody), 1, 0]
    assert len(most_confident) == 1
    assert nobody.vertices_camera_m.shape == (0, len(predictor.body.v_template), 3)
    assert nobody.joints_px.shape == (0, 45, 2)


def test_a_batch_of_different_pictures_equals_each_alone(
    predictor: Predictor, picture: np.ndarray
) -> None:
    tall = np.ascontiguousarray(picture.transpose(1, 0, 2)[:500])
    lens = Camera.from_horizontal_fov(1.2, 360, 500)
    together = predictor.predict_batch([picture, tall, picture[:200, :300]], [None, lens, None])
    assert_same(together[0], predictor(picture))
    assert_same(together[1], predictor(tall, lens))
    assert_same(together[2], predictor(np.ascontiguousarray(picture[:200, :300])))
    assert together[1].camera_source == 'given'
    assert predictor.predict_batch([], []) == []


def test_a_known_lens_sets_the_distance_and_keeps_the_picture(
    predictor: Predictor, picture: np.ndarray
) -> None:
    wide = Camera(400, 400, 320, 180, 640, 360)
    long = Camera(800, 800, 320, 180, 640, 360)
    near, far = predictor(picture, wide), predictor(picture, long)
    np.testing.assert_allclose(far.translation_m[:, 2], 2 * near.translation_m[:, 2], rtol=1e-5)
    np.testing.assert_allclose(far.height_m, near.height_m)
    # the body's origin stays where it is in the picture
    np.testing.assert_allclose(
        long.project(far.translation_m), wide.project(near.translation_m), atol=0.01
    )
    assert near.camera == wide
    # pixel lengths are those of the picture that was given, not of the resized one
    estimated = predictor(picture)
    same = predictor(picture, estimated.camera)
    np.testing.assert_allclose(same.translation_m, estimated.translation_m, rtol=1e-4)


def test_principal_point_off_the_middle(predictor: Predictor, picture: np.ndarray) -> None:
    centred = Camera(500, 500, 320, 180, 640, 360)
    shifted = Camera(500, 500, 290, 200, 640, 360)
    a, b = predictor(picture, centred), predictor(picture, shifted)
    np.testing.assert_allclose(a.translation_m[:, 2], b.translation_m[:, 2], rtol=1e-5)
    np.testing.assert_allclose(
        shifted.project(b.translation_m), centred.project(a.translation_m), atol=0.05
    )


@pytest.mark.parametrize(
    'shape',
    [(1, 1, 3), (1, 12_000, 3), (300, 12_000, 3), (360, 640), (360, 640, 1), (360, 640, 4)],
)
def test_odd_pictures_give_a_result(predictor: Predictor, shape: tuple[int, ...]) -> None:
    people = predictor(np.full(shape, 128, np.uint8))
    assert np.isfinite(people.vertices_camera_m).all()
    assert (people.camera.height, people.camera.width) == shape[:2]


def test_grey_equals_its_own_colour_picture(predictor: Predictor, picture: np.ndarray) -> None:
    grey = picture[:, :, 0]
    assert_same(predictor(grey), predictor(np.repeat(grey[..., None], 3, axis=2)))


def test_a_camera_of_another_size_is_refused(predictor: Predictor, picture: np.ndarray) -> None:
    with pytest.raises(UserError, match=r'1280×720 pixels, but this one has 640×360'):
        predictor(picture, Camera(900, 900, 640, 360, 1280, 720))


def test_half_precision_stays_near(predictor: Predictor, picture: np.ndarray) -> None:
    half = Predictor.load(device='cpu', precision='bfloat16', confidence_threshold=0.0)
    full = Predictor.load(device='cpu', confidence_threshold=0.0)
    a, b = half(picture), full(picture)
    assert len(a) == len(b) == full.network.config.queries
    a_order, b_order = (np.argsort(x.translation_m[:, 0]) for x in (a, b))
    difference = np.abs(a.vertices_camera_m[a_order] - b.vertices_camera_m[b_order])
    relative = difference.mean((1, 2)) / b.translation_m[b_order, 2]
    assert relative.max() < 0.03
    assert relative.max() > 0  # half precision was really used
    assert a.vertices_camera_m.dtype == np.float32


@pytest.mark.parametrize('backend', ['fast', 'eager'])
@pytest.mark.parametrize('head', ['conf_head', 'cam_head', 'scale_head'])
def test_numbers_that_are_not_finite_are_an_error(
    picture: np.ndarray, head: str, backend: BackendName
) -> None:
    broken = Predictor.load(device='cpu', backend=backend)
    for parameter in getattr(broken.network, head).parameters():
        parameter.data.fill_(torch.nan)
    with pytest.raises(UserError, match='not finite'):
        broken(picture)


def test_both_ways_give_the_same_people(predictor: Predictor, picture: np.ndarray) -> None:
    plain = Predictor.load(device='cpu', backend='eager')
    assert_same(predictor(picture), plain(picture))
    lens = Camera(500, 480, 290, 200, 640, 360)
    assert_same(predictor(picture, lens), plain(picture, lens))
    assert isinstance(predictor.running_backend, FastBackend)
    assert not isinstance(plain.running_backend, FastBackend)


def test_a_network_of_plain_tokens_goes_the_plain_way(picture: np.ndarray) -> None:
    default = load_model()
    config = ModelConfig(**{**default.network.config.as_dict(), 'levels': 0})
    model = LoadedModel(MAHMR(config), default.body, 'plain', True)
    plain = Predictor(model, device='cpu', confidence_threshold=0.0)
    assert len(plain(picture)) == config.queries
    assert not isinstance(plain.running_backend, FastBackend)
    with pytest.raises(UserError, match='networks of adaptive tokens'):
        Predictor(model, device='cpu', backend='fast')


def test_half_precision_that_overflows_goes_on_in_float32(
    predictor: Predictor,
    picture: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen = property(lambda self: 'float16' if self.precision == 'auto' else self.precision)
    monkeypatch.setattr(Predictor, 'used_precision', chosen)  # as on CUDA
    large = Predictor.load(device='cpu')
    block = large.network.encoder.blocks[0].mlp
    block.fc1.weight.data *= 1e6  # beyond float16's largest number; float32 does not mind
    block.fc2.weight.data /= 1e6
    block.fc1.bias.data *= 1e6
    people = large(picture)
    assert [m for m in caplog.messages if 'going on in float32' in m] == caplog.messages
    assert len(caplog.messages) == 1
    assert people.vertices_camera_m.shape[1:] == predictor.body.v_template.shape
    large(picture)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize('backend', ['auto', 'fast'])
def test_where_the_fast_way_fails_the_plain_one_goes_on(
    backend: BackendName,
    picture: np.ndarray,
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError('no kernel image is available\nand more')

    monkeypatch.setattr(FastBackend, '__call__', refuse)
    broken = Predictor.load(device='cpu', backend=backend)
    if backend == 'fast':
        with pytest.raises(RuntimeError, match='no kernel image'):
            broken(picture)
        return
    people = broken(picture)
    monkeypatch.undo()
    assert_same(people, predictor(picture))
    assert caplog.messages == [
        'The fast way does not work here (no kernel image is available): going on with the '
        'plain one.'
    ]


def test_warming_up_changes_nothing(predictor: Predictor, picture: np.ndarray) -> None:
    fresh = Predictor.load(device='cpu')
    fresh.warm_up(360, 640, batch=2)
    assert_same(fresh(picture), predictor(picture))


@pytest.mark.parametrize('ahead', [False, True])
def test_a_stream_gives_what_calls_give(
    ahead: bool, predictor: Predictor, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running ahead is what CUDA does; pictures of another size and lenses come in between."""
    streaming = Predictor.load(device='cpu')
    backend = streaming.running_backend
    assert isinstance(backend, FastBackend)
    monkeypatch.setattr(backend, 'ahead', ahead)
    size = predictor.network.config.input_size
    square = picture[:, :size] if picture.shape[1] > size else picture
    lens = Camera.from_horizontal_fov(1.2, square.shape[1], square.shape[0])
    flipped = np.ascontiguousarray(square[::-1])
    tall = np.ascontiguousarray(square.transpose(1, 0, 2)[:size])
    given = [(square, None), (flipped, lens), (square, lens), (tall, None), (flipped, None)]
    streamed = list(streaming.stream(iter(given)))
    assert len(streamed) == len(given)
    for people, (image, camera) in zip(streamed, given, strict=True):
        assert_same(people, predictor(image, camera))
    assert list(streaming.stream([])) == []


def test_a_stream_survives_numbers_that_are_not_finite(
    predictor: Predictor, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = Predictor.load(device='cpu')
    backend = streaming.running_backend
    assert isinstance(backend, FastBackend)
    monkeypatch.setattr(backend, 'ahead', True)
    given = [(picture, None), (picture[::-1].copy(), None), (picture, None)]
    people = streaming.stream(given)
    assert_same(next(people), predictor(picture))
    with torch.inference_mode():
        backend.model.heads.confidence.bias.fill_(torch.nan)  # as where float16 overflows
    with pytest.raises(UserError, match='not finite'):
        next(people)


def test_another_input_size(picture: np.ndarray) -> None:
    small = Predictor.load(device='cpu', input_size=224)
    assert small.network.config.input_size == 224
    assert np.isfinite(small(picture).vertices_camera_m).all()
    with pytest.raises(UserError, match='multiple of 28, not 225'):
        Predictor.load(device='cpu', input_size=225)


def test_devices() -> None:
    assert choose_device('cpu') == torch.device('cpu')
    assert choose_device('auto').type == ('cuda' if torch.cuda.is_available() else 'cpu')
    with pytest.raises(UserError, match="device 'gpu7' cannot be used here"):
        choose_device('gpu7')


def test_the_default_is_the_same_every_time(predictor: Predictor, picture: np.ndarray) -> None:
    state = torch.random.get_rng_state()
    assert_same(Predictor.load(device='cpu')(picture), predictor(picture), tolerance=1e-6)
    assert torch.equal(torch.random.get_rng_state(), state)


def streaming_ahead(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """Run ahead as on CUDA; pictures of the network's size are not resized, so numbers agree."""
    streaming = Predictor.load(device='cpu')
    backend = streaming.running_backend
    assert isinstance(backend, FastBackend)
    monkeypatch.setattr(backend, 'ahead', True)
    return streaming


def some_pictures(predictor: Predictor, count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    shape = (200, predictor.network.config.input_size, 3)
    return [generator.integers(0, 255, shape, dtype=np.uint8) for _ in range(count)]


def test_calls_between_and_within_a_stream_change_nothing(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next picture lies in the network's memory already when somebody else calls."""
    streaming = streaming_ahead(monkeypatch)
    *images, other = some_pictures(predictor, 6)
    lens = Camera.from_horizontal_fov(1.2, other.shape[1], other.shape[0])
    right = predictor(other, lens)

    def taken() -> Iterator[tuple[np.ndarray, None]]:
        for image in images:
            assert_same(streaming(other, lens), right)
            yield image, None

    streamed: list[People] = []
    for people in streaming.stream(taken()):
        streamed.append(people)
        assert_same(streaming(other, lens), right)
    assert len(streamed) == len(images)
    for people, image in zip(streamed, images, strict=True):
        assert_same(people, predictor(image))


@pytest.mark.parametrize('ahead', [False, True])
def test_a_bad_picture_in_a_stream_costs_no_people(
    ahead: bool, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = streaming_ahead(monkeypatch) if ahead else predictor
    images = some_pictures(predictor, 3)
    given = [(image, None) for image in (*images, images[0].astype(np.float32))]
    streamed: list[People] = []
    with pytest.raises(UserError, match='expected 8-bit pixels'):
        streamed.extend(streaming.stream(given))
    assert len(streamed) == len(images)
    for people, image in zip(streamed, images, strict=True):
        assert_same(people, predictor(image))


def test_a_stream_goes_the_way_that_was_given(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    streaming = streaming_ahead(monkeypatch)
    asked: list[int] = []
    plain = EagerBackend(predictor.network, predictor.body, torch.float32)

    def counting(pictures: Sequence[InputPicture], threshold: float) -> list[Found]:
        asked.append(len(pictures))
        return plain(pictures, threshold)

    streaming.use(counting)
    images = some_pictures(predictor, 3)
    assert len(list(streaming.stream((image, None) for image in images))) == 3
    assert asked == [1, 1, 1]


def test_two_threads_call_one_predictor(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one picture is in the network, another thread's of the same size has to wait."""
    first, second = some_pictures(predictor, 2)
    right = predictor(second)
    shared = Predictor.load(device='cpu')
    backend = shared.running_backend
    assert isinstance(backend, FastBackend)
    choose = backend.model.encoder.choose
    others: list[threading.Thread] = []
    results: list[People] = []

    def chosen(scale_map: torch.Tensor, layout: Layout) -> Choice:
        if not others:  # in the middle of the first picture
            others.append(threading.Thread(target=lambda: results.append(shared(second))))
            others[0].start()
            others[0].join(1)  # it cannot end before this picture does
            assert not results
        return choose(scale_map, layout)

    monkeypatch.setattr(backend.model.encoder, 'choose', chosen)
    assert_same(shared(first), predictor(first))
    others[0].join()
    assert_same(results[0], right)


def test_the_device_that_was_chosen_is_the_one_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams and graphs of CUDA are of the current device where none is named."""
    entered: list[torch.device] = []

    @contextmanager
    def device(which: torch.device) -> Iterator[None]:
        entered.append(which)
        yield

    monkeypatch.setattr(torch.cuda, 'device', device)
    second = torch.device('cuda', 1)
    with working_on(second):
        assert entered == [second]
    with working_on(torch.device('cpu')):
        assert entered == [second]
