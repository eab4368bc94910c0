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

"""The network beyond the golden numbers: its size, its names, its batches."""

from pathlib import Path

from mahmr_model.config import ModelConfig
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
import pytest
import torch

NAMES = Path(__file__).parent / 'golden' / 'state_dict_names.txt'
SMALL = ModelConfig(
    input_size=224,
    encoder_dim=32,
    encoder_depth=5,
    encoder_heads=2,
    hidden_dim=32,
    decoder_layers=2,
    feedforward_dim=48,
    queries=6,
)


def published_names(stage: int) -> dict[str, tuple[int, ...]]:
    names: dict[str, tuple[int, ...]] = {}
    for line in NAMES.read_text().splitlines():
        if line.startswith('# stage 1') and stage == 3:
            return names
        if line.startswith('# stage 1 lacks'):
            for name in line.split(': ')[1].split(', '):
                del names[name]
        elif line and not line.startswith('#'):
            name, shape, _ = line.split('\t')
            names[name] = tuple(int(n) for n in shape.strip('()').split(',') if n.strip())
    return names


def millions(*modules: torch.nn.Module) -> float:
    parameters = {id(p): p for module in modules for p in module.parameters()}
    return sum(p.numel() for p in parameters.values()) / 1e6


@pytest.fixture(scope='module')
def official() -> MAHMR:
    return MAHMR(ModelConfig())


def test_official_size_has_the_published_names_and_shapes(official: MAHMR) -> None:
    ours = {name: tuple(value.shape) for name, value in official.state_dict().items()}
    assert ours == published_names(3)


def test_stage_1_has_the_published_names_but_for_denoising() -> None:
    with torch.device('meta'):
        network = MAHMR(ModelConfig(shapes=10, camera_branch=False))
    ours = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    published = published_names(1)
    assert published.pop('dn_enc.weight') == (768, 82)
    assert published.pop('dn_enc.bias') == (768,)
    assert ours == published


def test_official_parameter_counts(official: MAHMR) -> None:
    decoder = official.decoder['decoder']
    boxes = official.bbox_embed
    heads = [official.pose_head, official.shape_head, official.cam_head, official.conf_head, boxes]
    assert round(millions(official), 2) == 223.66
    assert round(millions(official.encoder), 2) == 106.34
    assert round(millions(decoder) - millions(boxes), 2) == 65.58
    assert round(millions(*heads), 2) == 40.16
    assert round(millions(official.fov_head), 2) == 1.77


def test_constants_are_those_of_the_published_buffers(official: MAHMR) -> None:
    assert official.cam_intrinsics[:2, 2].tolist() == [644, 644]
    assert official.cam_intrinsics[0, 0].item() == pytest.approx(644 * 3**0.5, rel=1e-6)
    assert official.z_order_map[5, 3].item() == 0b100111  # y=101, x=011, y's bits first
    assert (official.y_coords[5, 3].item(), official.x_coords[5, 3].item()) == (5, 3)


@pytest.mark.parametrize('levels', [0, 2, 3])
def test_a_batch_gives_each_picture_what_it_gets_alone(levels: int) -> None:
    torch.manual_seed(0)
    config = ModelConfig(**{**SMALL.as_dict(), 'levels': levels})
    network = MAHMR(config).eval()
    if levels:
        network.scale_head.last.weight.data.mul_(30)  # so that every kind of token occurs
    pictures = [torch.randn(3, 112, 224), torch.randn(3, 224, 168), torch.randn(3, 168, 168)]
    with torch.inference_mode():
        together = network(pictures)
        for i, picture in enumerate(pictures):
            alone = network([picture])
            assert together.tokens.lengths[i] == alone.tokens.lengths[0]
            for name, value in vars(alone.layers[-1]).items():
                batched = getattr(together.layers[-1], name)[slice(i, i + 1)]
                torch.testing.assert_close(batched, value, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.fov_rad[i], alone.fov_rad[0])


@pytest.mark.parametrize(('levels', 'size'), [(2, 308), (3, 308), (3, 644), (3, 28)])
def test_sizes_that_are_no_multiple_of_56(levels: int, size: int) -> None:
    config = ModelConfig(**{**SMALL.as_dict(), 'levels': levels, 'input_size': size})
    network = MAHMR(config).eval()
    padded = -(-size // 56) * 56
    # every cell is fine, those beyond S too
    torch.nn.init.zeros_(network.scale_head.last.weight)
    network.scale_head.last.bias.data = torch.tensor([9.0, -9.0])
    with torch.inference_mode():
        output = network([torch.randn(3, 56, padded), torch.randn(3, padded, padded)])
    assert output.tokens.lengths == [4 * 2 * padded // 28, (padded // 14) ** 2]
    assert output.tokens.centres_xy_norm.max() == pytest.approx((padded // 14 - 0.5) * 14 / size)
    for value in vars(output.layers[-1]).values():
        assert value.isfinite().all()


def test_every_layer_is_kept_on_request() -> None:
    network = MAHMR(SMALL).eval()
    picture = [torch.randn(3, 112, 224)]
    with torch.inference_mode():
        every = network(picture, all_layers=True)
        last = network(picture)
    assert len(every.layers) == SMALL.decoder_layers
    assert len(last.layers) == 1
    torch.testing.assert_close(every.layers[-1].pose_6d, last.layers[0].pose_6d)


def test_field_of_view_is_never_below_its_minimum() -> None:
    network = MAHMR(SMALL).eval()
    torch.nn.init.constant_(network.fov_head.last.bias, -10)
    with torch.inference_mode():
        fov = network([torch.randn(3, 112, 224)]).fov_rad
    assert fov.tolist() == pytest.approx([0.08])


@pytest.mark.parametrize(
    'change',
    [
        {'levels': 1},
        {'input_size': 100},
        {'input_size': 0},
        {'queries': -1},
        {'encoder_heads': 0},
        {'levels': 'x'},
        {'camera_branch': 1},
        {'presence_threshold': 2},
        {'shapes': 12},
        {'encoder_depth': 3},
        {'encoder_heads': 5},
        {'hidden_dim': 30},
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r'expected|must be'):
        ModelConfig(**{**SMALL.as_dict(), **change})


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'querys'.*did you mean 'queries'"):
        ModelConfig.from_dict({'querys': 3})
