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
import math

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.body.joints import SMPL_JOINT_NAMES
from mahmr_model.config import ModelConfig
from mahmr_model.encoder.tokens import Tokens
from mahmr_model.errors import UserError
import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from training.batch_truth import BatchTruth
from training.config import load_config, TOKEN_LOSSES
from training.scene_pictures import collate_scenes, DrawnScene, SceneStudio
from training.synthetic.scenes.look import draw_look
from training.synthetic.scenes.scene import Scene
from training.token_people import (
    parts_of_tokens,
    STRIDE_PX,
    token_losses,
    TokenHead,
    TokenPeople,
)

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
def studio() -> SceneStudio:
    return SceneStudio(
        load_body(OPEN_BODY), ModelConfig(input_size=SIZE, shapes=11), torch.device('cpu')
    )


def truth_of(studio: SceneStudio, scenes: list[Scene]) -> BatchTruth:
    drawn = [DrawnScene(one, draw_look(one), 'scene') for one in scenes]
    return studio(collate_scenes(drawn), range(len(scenes))).truth


@pytest.fixture(scope='module')
def truth(studio: SceneStudio) -> BatchTruth:
    """Two scenes; in the first a person far away comes before the one nearby, in numbers."""
    return truth_of(studio, [scene([(0.9, 6.0), (0.0, 3.0)]), scene([(-50.0, 3.0), (-0.5, 4.0)])])


def at(truth: BatchTruth, picture: int, x_px: float, y_px: float) -> int:
    assert truth.person_map is not None
    return int(truth.person_map[picture, round(y_px / STRIDE_PX), round(x_px / STRIDE_PX)])


def part_at(truth: BatchTruth, picture: int, x_px: float, y_px: float) -> int:
    """Return which joint moves what is seen there; -1 none, as beyond the map."""
    assert truth.part_map is not None
    row, column = round(y_px / STRIDE_PX), round(x_px / STRIDE_PX)
    rows, columns = truth.part_map.shape[1:]
    there = 0 <= row < rows and 0 <= column < columns
    return int(truth.part_map[picture, row, column]) if there else -1


def test_the_map_names_the_kept_people_where_they_stand(truth: BatchTruth) -> None:
    # Somebody 50 m to the side is not kept: the person beside is the third of the batch.
    assert truth.people == (2, 1)
    for picture, person in ((0, 0), (0, 1), (1, 2)):
        x, y = truth.joints_px[person, 6].tolist()  # the middle of the spine
        assert at(truth, picture, x, y) == person
        assert SMPL_JOINT_NAMES[part_at(truth, picture, x, y)] in ('spine1', 'spine2', 'spine3')
    assert at(truth, 0, 7, 7) == part_at(truth, 0, 7, 7) == -1


def exact(truth: BatchTruth, centres_px: torch.Tensor, persons: list[int]) -> TokenPeople:
    """Return tokens of 14 pixels of the first picture that say exactly what is true."""
    joints = truth.joints_camera_m[persons]
    parts = [
        [part_at(truth, 0, x + right, y + down) for down in (-7, 0, 7) for right in (-7, 0, 7)]
        for x, y in centres_px.tolist()
    ]
    certain = 20.0 * functional.one_hot(1 + torch.tensor(parts), 1 + len(SMPL_JOINT_NAMES))
    zeros = torch.zeros(len(persons), dtype=torch.int64)
    return TokenPeople(
        (truth.joints_px[persons] - centres_px[:, None]) / SIZE,
        joints - joints[:, :1],
        certain,
        centres_px,
        zeros,
        zeros,
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


def test_a_part_costs_what_cross_entropy_says(truth: BatchTruth) -> None:
    """The mean of nine points, of which one says the truth half-heartedly and eight nothing."""
    centres = (truth.joints_px[[0, 1], 6] / STRIDE_PX).round() * STRIDE_PX
    said = exact(truth, centres, [0, 1])
    unsure = torch.zeros_like(said.part_logits)
    unsure[:, 2] = said.part_logits[:, 2] / 10
    losses = token_losses(replace(said, part_logits=unsure), truth, SIZE)
    one, nothing = math.log(24 + math.exp(2)) - 2, math.log(25)
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    assert float(losses['token_parts']) == pytest.approx(2 * (one + 8 * nothing) / 9 / cells)
    assert losses['token_j2ds'] < 1e-6
    assert losses['token_j3ds'] < 1e-6


def test_a_token_beside_somebody_learns_their_outline_alone(truth: BatchTruth) -> None:
    """A large one from farther away than a small one."""
    assert truth.part_map is not None
    column = int((truth.part_map[0, 15] >= 0).nonzero()[0])  # the first one at the hips' height
    assert not (truth.part_map[0, 12:19, :column] >= 0).any()
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    for columns, level, learns in ((1, 0, True), (2, 0, False), (2, 1, True), (3, 1, False)):
        centre_px = STRIDE_PX * torch.tensor([[column - columns, 15.0]])
        said = exact(truth, centre_px, [0])
        said = replace(
            said,
            offsets=said.offsets + 9,
            part_logits=said.part_logits * 0,
            levels=said.levels + level,
        )
        losses = token_losses(said, truth, SIZE)
        assert losses['token_j2ds'] == 0
        assert float(losses['token_parts']) == pytest.approx(learns * math.log(25) / cells)


def test_tokens_that_show_nobody_do_not_count(truth: BatchTruth) -> None:
    beside = torch.tensor([[7.0, 7.0], [140.0, 276.0]])  # background; below the picture
    said = exact(truth, beside, [0, 1])
    said = replace(said, offsets=said.offsets + 9, part_logits=-said.part_logits)
    assert all(value == 0 for value in token_losses(said, truth, SIZE).values())


def test_nobody_teaches_nothing(studio: SceneStudio, truth: BatchTruth) -> None:
    """But with a gradient, which processes wait for from each other."""
    said = exact(truth, torch.tensor([[140.0, 105.0]]), [0])
    learnt = said.offsets, said.joints_m, said.part_logits
    for value in learnt:
        value.requires_grad_()
    losses = token_losses(said, truth_of(studio, [scene([(-50.0, 3.0)])]), SIZE)
    assert set(losses) == set(TOKEN_LOSSES)
    assert all(value == 0 for value in losses.values())
    torch.stack([*losses.values()]).sum().backward()
    assert all(value.grad is not None and not value.grad.any() for value in learnt)


@pytest.mark.parametrize(
    ('level', 'centre_px', 'rows', 'columns'),
    [
        (0, (21, 35), (4, 5, 6), (2, 3, 4)),
        (1, (42, 70), (8, 10, 12), (4, 6, 8)),
        (2, (28, 84), (8, 12, 16), (0, 4, 8)),
        (0, (273, 203), (28, 29, None), (38, 39, None)),  # the last small one
        (1, (7, 7), (None, 1, 3), (None, 1, 3)),
    ],
)
def test_nine_points_lie_row_by_row_from_border_to_border(
    level: int,
    centre_px: tuple[int, int],
    rows: tuple[int | None, ...],
    columns: tuple[int | None, ...],
) -> None:
    """Those beyond the map, where this says None, show nothing of a body."""
    numbers = torch.arange(2 * 30 * 40).view(2, 30, 40)
    said = TokenPeople(
        torch.zeros(1, 45, 2),
        torch.zeros(1, 45, 3),
        torch.zeros(1, 9, 25),
        torch.tensor([centre_px]).float(),
        torch.tensor([level]),
        torch.tensor([1]),
    )
    expected = [
        0 if row is None or column is None else 1 + int(numbers[1, row, column])
        for row in rows
        for column in columns
    ]
    assert parts_of_tokens(said, numbers).tolist() == [expected]


def test_the_head_reads_packed_tokens_of_every_picture() -> None:
    head = TokenHead(8, SIZE)
    tokens = Tokens(
        torch.randn(5, 8), torch.rand(5, 2), torch.arange(5) % 3, [2, 3], torch.randn(2, 8)
    )
    said = head(tokens)
    assert said.offsets.shape == (5, 45, 2)
    assert said.joints_m.shape == (5, 45, 3)
    assert said.part_logits.shape == (5, 9, 25)
    assert said.levels.tolist() == [0, 1, 2, 0, 1]
    assert said.picture.tolist() == [0, 0, 1, 1, 1]
    assert said.offsets.std() < 0.2  # of the size of people from the start
    torch.testing.assert_close(said.centres_px, tokens.centres_xy_norm * SIZE)


def test_pictures_of_data_sets_cannot_teach_tokens() -> None:
    config = load_config('train_chmr', ['losses.token_j2ds=1'])
    with pytest.raises(UserError, match='only scenes'):
        config.check_training()
