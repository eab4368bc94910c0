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

"""The benchmark on a tiny network: its cases, its numbers, its files. Nobody's speed is judged."""

from dataclasses import replace
import json
from pathlib import Path

from mahmr_model.benchmark import command
from mahmr_model.benchmark.cases import random_model, scale_map_for, SIZES
from mahmr_model.benchmark.flop import network_gflop
from mahmr_model.benchmark.measure import Bench, Case, distances_mm, Entrant, Way
from mahmr_model.checkpoint import read_checkpoint
from mahmr_model.cli import main
from mahmr_model.config import ModelConfig
from mahmr_model.encoder.cells import select_levels
from mahmr_model.predictor import Predictor
from mahmr_model.untrained import CONFIG
from mahmr_model.weights import OPEN
import numpy as np
import pytest
import torch

TINY = ModelConfig(**{**CONFIG.as_dict(), 'input_size': 224, 'encoder_depth': 4})


@pytest.mark.parametrize('levels', [2, 3])
@pytest.mark.parametrize('tokens', [400, 1001, 2153, 4700])
def test_scale_maps_make_the_tokens_they_are_made_for(levels: int, tokens: int) -> None:
    config = ModelConfig(levels=levels)
    cells = 26 * 46
    if levels == 2 and tokens < cells:
        tokens += cells
    scale_map, made = scale_map_for(tokens, cells, config)
    chosen = select_levels(scale_map[0], [cells], levels, 0.3, 0.5)
    assert chosen.token_lengths == [1 + made]
    assert abs(made - tokens) <= 2


def test_operations_are_those_counted_of_the_published_code() -> None:
    config, cells = ModelConfig(), 26 * 46
    for tokens, published in ((1001, 298), (2153, 654)):
        scale_map, made = scale_map_for(tokens, cells, config)
        fine = select_levels(scale_map[0], [cells], 3, 0.3, 0.5).fine_counts[0]
        gflop = network_gflop(config, cells, 1 + 4 * fine, 1 + made)
        assert gflop == pytest.approx(published, rel=0.02)


def test_impossible_cases_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['benchmark', '--device', 'cpu', '--case', 'many']) == 2
    assert 'TOKENS:PEOPLE, such as 2153:6, not many' in capsys.readouterr().err
    assert main(['benchmark', '--device', 'cpu', '--ways', 'fast:float8']) == 2
    assert 'BACKEND:PRECISION' in capsys.readouterr().err
    assert main(['benchmark', '--device', 'cpu', '--case', '1001:51']) == 2
    assert 'finds 50 people at most, not 51' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--batch', '--runs', '--threads'])
@pytest.mark.parametrize('number', ['0', '-1', '1.5', 'two'])
def test_numbers_that_are_none_are_refused(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(['benchmark', '--device', 'cpu', option, number])
    assert f'above 0, got {number}' in capsys.readouterr().err


def test_a_case_may_have_as_many_people_as_the_network_finds() -> None:
    bench = Bench(random_model(TINY), torch.device('cpu'), (120, 224), 1)
    entrant = Entrant(bench, Way('fast', 'float32'), Case(60, TINY.queries, 1))
    entrant.predictor.confidence_threshold = entrant.choose_threshold()
    assert len(entrant.call()[0]) == TINY.queries


def test_the_open_size_is_that_of_the_weights_that_are_shipped() -> None:
    shipped = read_checkpoint(Path(__file__).parents[1] / 'weights' / OPEN).config
    assert replace(shipped, overlap_threshold=1.0) == SIZES['open']


def test_table_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SIZES, 'open', TINY)
    monkeypatch.setitem(command.PICTURES, 'open', (120, 224))
    out, profile = tmp_path / 'numbers.json', tmp_path / 'profile.txt'
    options = ['--size', 'open', '--device', 'cpu', '--case', '60:3', '--runs', '2']
    files = ['--out', str(out), '--profile', str(profile)]
    ways = ['--ways', 'fast:float32', 'fast:bfloat16']
    assert main(['benchmark', *options, *ways, '--batch', '1', '2', *files]) == 0
    results = json.loads(out.read_text())['results']
    assert [(r['way'], r['case']['batch']) for r in results] == [
        (way, batch)
        for batch in (1, 2)
        for way in ('eager float32', 'fast float32', 'fast bfloat16')
    ]
    printed = capsys.readouterr().out
    for result in results:
        assert 58 <= result['tokens'] <= 62
        assert result['total']['low'] <= result['total']['median'] <= result['total']['high']
        for stage in ('coarse pass', 'fine pass', 'encoder', 'decoder', 'heads', 'bodies'):
            assert result['stages'][stage]['median'] > 0
        assert f'| {result["total"]["median"]:.2f} |' in printed
        if result['way'] == 'fast float32':
            assert result['vertices_mm'][0] < 0.1
        if result['way'] == 'fast bfloat16':
            assert result['vertices_mm'][0] > 0.1
    assert profile.read_text().count('aten::') > 50


def test_people_are_paired_by_where_they_are() -> None:
    predictor = Predictor(random_model(TINY), device='cpu', confidence_threshold=0.0)
    picture = np.random.default_rng(0).integers(0, 255, (120, 224, 3), dtype=np.uint8)
    people = predictor(picture)
    fields = {
        name: value[::-1]
        for name, value in vars(people).items()
        if isinstance(value, np.ndarray) and len(value) == len(people)
    }
    turned = type(people)(**{**vars(people), **fields})
    assert distances_mm([turned], [people], 'vertices_camera_m') == (0.0, 0.0)
    assert distances_mm([people], [predictor(picture[:, ::-1].copy())], 'joints_camera_m')[0] > 1
    predictor.confidence_threshold = 0.5
    assert distances_mm([predictor(picture)], [people], 'joints_camera_m')[0] == torch.inf
