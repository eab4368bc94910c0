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

"""Configurations: every published name, strict keys, overrides."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.errors import UserError
from mahmr_model.network import MAHMR
import pytest
import torch
from training.config import config_names, load_config, STAGES
from training.data.catalogue import find_split
from training.recipe import run_body
from training.run_data import is_agora_test

PUBLISHED = [
    'train_chmr',
    'train_chmr_fov_continue',
    'train_chmr_fov_opt_mloss',
    '3dpw_ft',
    'hi4d_ft',
    'panoptic_ft',
    'rh_ft',
    'demo',
    'eval_3dpw',
    'eval_hi4d',
    'eval_rh',
    'eval_agora',
    'eval_bedlam',
    'eval_panoptic',
    'eval_mupots',
]
OPEN = ['open_0', 'open_1', 'open_2', 'open_3', 'open_3_plain', 'eval_scenes']
ALL = ['agora', 'bedlam', 'coco', 'mpii', 'insta', 'aic']

STAGE_WEIGHTS = {
    'confs': 4,
    'poses': 5,
    'betas': 3,
    'boxes': 2,
    'giou': 2,
    'j3ds': 8,
    'j2ds': 40,
    'depths': 0.5,
    'map_confs': 4,
    'map_scales': 4,
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_name_loads_and_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    assert config.name == name
    for source in config.data.training + config.data.evaluation:
        if not is_agora_test(source):
            find_split(source.name, source.split)
    if name in STAGES.values():
        config.check_training()
    config.save(tmp_path / 'config.yaml')
    assert load_config(str(tmp_path / 'config.yaml')) == config


def test_there_are_no_other_names_but_those_of_the_open_default() -> None:
    assert sorted(PUBLISHED + OPEN) == config_names()


@pytest.mark.parametrize('name', OPEN[1:-1])
def test_open_default_is_below_60_mb_and_learns_what_is_published(name: str) -> None:
    config = load_config(name)
    config.check_training()
    published = load_config(STAGES[name.split('_')[1]])
    assert config.training.recorded  # so that fov is a mean over pictures, not their sum
    more = {'confs', 'map_confs', 'map_scales', 'j3ds'}  # than of trained weights
    assert all(config.losses[name] > published.losses[name] for name in more)
    assert config.losses['rotations'] > 0
    assert 'poses' not in config.losses
    names = (published.losses.keys() | {'depths_mt'}) - more - {'fov', 'poses', 'betas'}
    for loss in names - ({'depths_mt'} if name == 'open_3_plain' else set()):
        assert config.losses.get(loss, 0) == published.losses.get(loss, 0), loss
    assert config.denoising is None
    assert config.model == load_config('open_0').model
    with torch.device('meta'):
        network = MAHMR(config.model)
    assert 2 * sum(p.numel() for p in network.parameters()) < 58e6


@pytest.mark.parametrize(
    ('name', 'weights', 'batch', 'epochs', 'shapes', 'camera', 'scale', 'crop'),
    [
        ('train_chmr', STAGE_WEIGHTS, 16, 6, 10, False, (0.8, 1.8), 0.8),
        (
            'train_chmr_fov_continue',
            STAGE_WEIGHTS | {'depths': 0, 'fov': 0.5},
            32,
            6,
            10,
            True,
            (0.8, 1.8),
            0.8,
        ),
        (
            'train_chmr_fov_opt_mloss',
            STAGE_WEIGHTS | {'depths': 0, 'depths_mt': 0.5, 'fov': 0.5},
            32,
            6,
            11,
            True,
            (0.8, 1.8),
            0.8,
        ),
        (
            'hi4d_ft',
            {
                **dict.fromkeys(('confs', 'poses', 'boxes', 'giou', 'map_confs', 'map_scales'), 2),
                'betas': 0,
                'j3ds': 10,
                'j2ds': 40,
                'depths_mt': 0.5,
                'fov': 1,
            },
            32,
            10,
            11,
            True,
            (1, 2),
            0,
        ),
        (
            'rh_ft',
            {
                **dict.fromkeys(('confs', 'poses', 'betas'), 2),
                **dict.fromkeys(('boxes', 'giou', 'j3ds', 'fov', 'map_confs', 'map_scales'), 0),
                'j2ds': 10,
                'depths_re': 0.5,
            },
            8,
            10,
            11,
            True,
            (1, 2),
            0,
        ),
    ],
)
def test_recipe_is_the_published_one(
    name: str,
    weights: dict[str, float],
    batch: int,
    epochs: int,
    shapes: int,
    camera: bool,
    scale: tuple[float, float],
    crop: float,
) -> None:
    config = load_config(name)
    assert config.losses == weights
    assert (config.training.batch_size, config.training.epochs) == (batch, epochs)
    assert (config.model.shapes, config.model.camera_branch) == (shapes, camera)
    assert (config.data.augmentation.scale, config.data.augmentation.crop) == (scale, crop)
    assert (config.denoising is not None) == (name == 'train_chmr')
    assert config.joints == ('crowdpose' if name == 'rh_ft' else 'body')
    assert config.training.learning_rate == config.training.encoder_learning_rate == 1e-5


def test_stages_train_on_the_published_splits() -> None:
    def splits(name: str) -> list[tuple[str, str, int]]:
        return [(s.name, s.split, s.keep_every) for s in load_config(name).data.training]

    first = [(name, 'train_6fps' if name == 'bedlam' else 'train', 1) for name in ALL]
    assert splits('train_chmr') == splits('train_chmr_fov_continue') == first
    assert [s[1] for s in splits('train_chmr_fov_opt_mloss')] == [
        'train',
        'train_6fps',
        *['train_opt'] * 4,
    ]
    assert splits('panoptic_ft') == [
        ('3dpw', 'train', 1),
        ('bedlam', 'train_1fps', 4),
        ('agora', 'train', 1),
    ]


@pytest.mark.parametrize(
    ('override', 'hint'),
    [
        (
            'training.batchsize=3',
            "'training.batchsize' in the configuration; did you mean",
        ),
        ('losses.j3d=1', "'losses.j3d' in the configuration; did you mean 'j3ds'"),
        ('model.shape=3', "did you mean 'shapes'"),
        ('data.training=[{nam: agora, split: train}]', "'data.training[0].nam'"),
        ('traning.epochs=3', "did you mean 'training'"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_one(override: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        load_config('3dpw_ft', [override])
    assert hint in str(error.value)


@pytest.mark.parametrize(
    'override',
    [
        'training.batch_size=0',
        'training.batch_size=two',
        'training.epochs=1.5',
        'mixed_precision=int8',
        'data.augmentation.scale=[1]',
        'model=7',
        'training.epochs',
        'data.training=[{name: agora}]',
        'data.skip_limit=-1',
        'data.augmentation.scale=[2, 1]',
        'data.augmentation.scale=[0, 1]',
        'data.augmentation.flip=1.5',
        'data.augmentation.jitter=-1',
        'denoising.dn_number=0',
        'losses.poses=-1',
        'losses.poses=.nan',
        'training.learning_rate=-1',
        'training.learning_rate=.nan',
        'training.weight_decay=-1',
        'training.seed=-1',
        'evaluation.thresholds=[]',
        'evaluation.thresholds=[0.3, 1]',
    ],
)
def test_wrong_value_is_refused(override: str) -> None:
    with pytest.raises(UserError):
        load_config('3dpw_ft', [override])


def test_missing_key_is_named() -> None:
    with pytest.raises(UserError, match=r"lacks the key 'data.training\[0\].split'"):
        load_config('3dpw_ft', ['data.training=[{name: agora}]'])


def test_overrides_reach_every_kind_of_key() -> None:
    config = load_config(
        '3dpw_ft',
        [
            'training.learning_rate=1e-4',
            'starts_from=my.bin',
            'mixed_precision=no',
            'data.augmentation.rotation_deg=[-5, 5]',
            'losses.fov=2',
            'denoising={dn_number: 7}',
            'evaluation.thresholds=[0.2, 0.4]',
        ],
    )
    assert config.training.learning_rate == 1e-4
    assert config.starts_from == ('my.bin',)
    assert config.mixed_precision == 'no'
    assert config.data.augmentation.rotation_deg == (-5, 5)
    assert config.losses['fov'] == 2
    assert config.losses['poses'] == 2
    assert config.denoising is not None
    assert config.denoising.dn_number == 7
    assert config.evaluation.thresholds == (0.2, 0.4)


def test_training_refuses_a_network_with_a_loss_without_weight() -> None:
    config = load_config('train_chmr', ['model.camera_branch=true'])
    with pytest.raises(UserError, match='fov'):
        config.check_training()


@pytest.mark.parametrize(('name', 'joints'), [('rh_ft', 'body'), ('3dpw_ft', 'crowdpose')])
def test_training_refuses_joints_that_the_data_has_not(name: str, joints: str) -> None:
    with pytest.raises(UserError, match=f'joints={joints}'):
        load_config(name, [f'joints={joints}']).check_training()


def test_unknown_configuration_names_the_known_ones() -> None:
    with pytest.raises(UserError, match='eval_3dpw'):
        load_config('eval_3dwp')


def test_recorded_steps_have_neither_denoising_queries_nor_relative_order() -> None:
    with pytest.raises(UserError, match='Recorded steps need denoising: null'):
        load_config('open_0', ['denoising={dn_number: 2}']).check_training()
    with pytest.raises(UserError, match='Recorded steps need no weight of depths_re'):
        load_config('open_0', ['losses.confs=4', 'losses.depths_re=1']).check_training()
    with pytest.raises(UserError, match='gives no weight to confs'):
        load_config('open_0', ['losses.boxes=4']).check_training()


@pytest.mark.parametrize(
    ('override', 'expected'),
    [
        ('mixed_precision=fp16', 'mixed_precision no or bf16'),
        ('training.accumulation=2', 'training.accumulation=1'),
        ('training.minutes=null', 'training.minutes, which end them'),
        ('model.input_size=420', 'an input_size that is a multiple of 56, not 420'),
        ('model.levels=2', 'levels: 3 and a camera_branch'),
    ],
)
def test_recorded_steps_refuse_what_they_would_not_do(override: str, expected: str) -> None:
    with pytest.raises(UserError, match=f'Recorded steps need {expected}'):
        load_config('open_1', [override]).check_training()


def test_body_by_its_path_is_the_open_one_or_of_smpl(
    random_body_folder: Path, tmp_path: Path
) -> None:
    link = tmp_path / 'body.npz'
    link.symlink_to(OPEN_BODY)
    for path, kind in ((OPEN_BODY, 'open'), (link, 'open'), (random_body_folder, 'smpl')):
        found = run_body(load_config('train_chmr', [f'body={path}']))
        assert found == path
        assert load_body(found).kind == kind


def test_pictures_of_data_sets_are_not_kept_for_further_rounds() -> None:
    with pytest.raises(UserError, match=r'2 data\.rounds, but only recorded steps'):
        load_config('train_chmr', ['data.rounds=2']).check_training()
