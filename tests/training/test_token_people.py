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

"""Tokens that learn of the person they show."""

from __future__ import annotations

from dataclasses import replace

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.config import ModelConfig
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.errors import UserError
import numpy as np
import pytest
import torch
from training.batch_truth import BatchTruth
from training.config import load_config
from training.scene_pictures import collate_scenes, DrawnScene, SceneStudio
from training.synthetic.scenes.look import draw_look
from training.synthetic.scenes.scene import Scene
from training.token_people import STRIDE_PX, token_losses, TokenHead, TokenPeople

SIZE = 280
FOCAL = 260.0


def scene(places_m: list[tuple[float, float]]) -> Scene:
    """Put people upright at (x, z), their hips at the camera's height."""
    count = len(places_m)
    pose = np.zeros((count, 72))
    pose[:, 0] = np.pi
    x, z = np.array(places_m).reshape(-1, 2).T
    return Scene(
        (210, SIZE),
        np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, 105], [0, 0, 1]]),
        pose,
        np.zeros((count, 11)),
        np.stack([x, 0 * x, z], 1),
        (),
        np.array([0.0, -1.0, 0.0]),
        1.5,
        np.array([0.48, -0.8, -0.36]),
        5,
    )


@pytest.fixture(scope='module')
def truth() -> BatchTruth:
    """Two scenes; in the first a person far away comes before the one nearby, in numbers."""
    studio = SceneStudio(
        load_body(OPEN_BODY), ModelConfig(input_size=SIZE, shapes=11), torch.device('cpu')
    )
    scenes = [scene([(0.9, 6.0), (0.0, 3.0)]), scene([(-50.0, 3.0), (-0.5, 4.0)])]
    drawn = [DrawnScene(one, draw_look(one), 'scene') for one in scenes]
    return studio(collate_scenes(drawn), [0, 1]).truth


def at(truth: BatchTruth, picture: int, x_px: float, y_px: float) -> int:
    assert truth.person_map is not None
    return int(truth.person_map[picture, round(y_px / STRIDE_PX), round(x_px / STRIDE_PX)])


def test_the_map_names_the_kept_people_where_they_stand(truth: BatchTruth) -> None:
    # Somebody 50 m to the side is not kept: the person beside is the third of the batch.
    assert truth.people == (2, 1)
    for picture, person in ((0, 0), (0, 1), (1, 2)):
        x, y = truth.joints_px[person, 6].tolist()  # the middle of the spine
        assert at(truth, picture, x, y) == person
    assert at(truth, 0, 7, 7) == -1


def exact(truth: BatchTruth, centres_px: torch.Tensor, persons: list[int]) -> TokenPeople:
    """Return tokens of the first picture that say exactly what is true."""
    joints = truth.joints_camera_m[persons]
    return TokenPeople(
        (truth.joints_px[persons] - centres_px[:, None]) / SIZE,
        joints - joints[:, :1],
        centres_px,
        torch.zeros(len(persons), dtype=torch.int64),
    )


def test_the_truth_costs_nothing_and_an_error_its_size(truth: BatchTruth) -> None:
    centres = (truth.joints_px[[0, 1], 6] / STRIDE_PX).round() * STRIDE_PX
    said = exact(truth, centres, [0, 1])
    assert all(value < 1e-6 for value in token_losses(said, truth, SIZE).values())
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    wrong = replace(said, joints_m=said.joints_m + 0.3, offsets=said.offsets - 0.1)
    losses = token_losses(wrong, truth, SIZE)
    assert float(losses['token_j3ds']) == pytest.approx(2 * 0.3 / cells, rel=1e-4)
    assert float(losses['token_j2ds']) == pytest.approx(2 * 0.1 / cells, rel=1e-4)


def test_tokens_that_show_nobody_do_not_count(truth: BatchTruth) -> None:
    beside = torch.tensor([[7.0, 7.0], [140.0, 276.0]])  # background; below the picture
    said = exact(truth, beside, [0, 1])
    said = replace(said, offsets=said.offsets + 9)
    assert all(value == 0 for value in token_losses(said, truth, SIZE).values())


def test_the_head_reads_packed_tokens_of_every_picture() -> None:
    head = TokenHead(8, SIZE)
    tokens = Tokens(
        torch.randn(5, 8), torch.rand(5, 2), torch.zeros(5).long(), [2, 3], torch.randn(2, 8)
    )
    said = head(tokens)
    assert said.offsets.shape == (5, 45, 2)
    assert said.joints_m.shape == (5, 45, 3)
    assert said.picture.tolist() == [0, 0, 1, 1, 1]
    assert said.offsets.std() < 0.2  # of the size of people from the start
    torch.testing.assert_close(said.centres_px, tokens.centres_xy_norm * SIZE)


def test_pictures_of_data_sets_cannot_teach_tokens() -> None:
    config = load_config('train_chmr', ['losses.token_j2ds=1'])
    with pytest.raises(UserError, match='only scenes'):
        config.check_training()
