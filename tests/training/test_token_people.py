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
    depths_of_tokens,
    parts_of_tokens,
    STRIDE_PX,
    token_losses,
    TokenHead,
    TokenPeople,
    TYPICAL_M,
    TYPICAL_OFFSET,
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
    return int(value_at(truth.part_map, picture, x_px, y_px, -1))


def depth_at(truth: BatchTruth, picture: int, x_px: float, y_px: float) -> float:
    """Return how far behind their root somebody is seen there; infinite as beyond the map."""
    assert truth.depth_map is not None
    return value_at(truth.depth_map, picture, x_px, y_px, math.inf)


def value_at(seen: torch.Tensor, picture: int, x_px: float, y_px: float, beyond: float) -> float:
    row, column = round(y_px / STRIDE_PX), round(x_px / STRIDE_PX)
    rows, columns = seen.shape[1:]
    there = 0 <= row < rows and 0 <= column < columns
    return float(seen[picture, row, column]) if there else beyond


def test_the_map_names_the_kept_people_where_they_stand(truth: BatchTruth) -> None:
    # Somebody 50 m to the side is not kept: the person beside is the third of the batch.
    assert truth.people == (2, 1)
    for picture, person in ((0, 0), (0, 1), (1, 2)):
        x, y = truth.joints_px[person, 6].tolist()  # the middle of the spine
        assert at(truth, picture, x, y) == person
        assert SMPL_JOINT_NAMES[part_at(truth, picture, x, y)] in ('spine1', 'spine2', 'spine3')
        assert -0.25 < depth_at(truth, picture, x, y) < -0.02  # the belly of who faces us
    assert at(truth, 0, 7, 7) == part_at(truth, 0, 7, 7) == -1
    assert depth_at(truth, 0, 7, 7) == math.inf


def nine_points_px(x_px: float, y_px: float, level: int) -> list[tuple[float, float]]:
    steps = [7 * 2**level * one for one in (-1, 0, 1)]
    return [(x_px + right, y_px + down) for down in steps for right in steps]


def exact(
    truth: BatchTruth, centres_px: torch.Tensor, persons: list[int], level: int = 0
) -> TokenPeople:
    """Return tokens of the first picture, of 14 pixels or more, that say exactly what is true."""
    joints = truth.joints_camera_m[persons]
    points = [nine_points_px(x, y, level) for x, y in centres_px.tolist()]
    parts = [[part_at(truth, 0, *point) for point in nine] for nine in points]
    depths = [[depth_at(truth, 0, *point) for point in nine] for nine in points]
    certain = 20.0 * functional.one_hot(1 + torch.tensor(parts), 1 + len(SMPL_JOINT_NAMES))
    return TokenPeople(
        (truth.joints_px[persons] - centres_px[:, None]) / SIZE,
        joints - joints[:, :1],
        certain,
        torch.tensor(depths).nan_to_num(posinf=0),
        centres_px,
        torch.full((len(persons),), level),
        torch.zeros(len(persons), dtype=torch.int64),
    )


def test_the_truth_costs_nothing_and_an_error_its_size(truth: BatchTruth) -> None:
    centres = (truth.joints_px[[0, 1], 6] / STRIDE_PX).round() * STRIDE_PX
    said = exact(truth, centres, [0, 1])
    assert all(value < 1e-6 for value in token_losses(said, truth, SIZE).values())
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    wrong = replace(said, joints_m=said.joints_m + 0.3, offsets=said.offsets - 0.1)
    losses = token_losses(wrong, truth, SIZE)
    assert losses['token_depths'] < 1e-6
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
    assert losses['token_depths'] < 1e-6


def test_a_depth_costs_its_error_where_somebody_is_seen(truth: BatchTruth) -> None:
    """A ninth of it; where nobody is seen, whatever is said costs nothing and learns nothing."""
    # One in the middle of the nearby person, one of another level on the left arm of the far one.
    errors = torch.tensor([0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9])
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    for person, joint, level in ((1, 6, 0), (0, 20, 1)):
        centre = (truth.joints_px[[person], joint] / STRIDE_PX).round() * STRIDE_PX
        said = exact(truth, centre, [person], level)
        depths = (said.depths_m + errors).requires_grad_()
        losses = token_losses(replace(said, depths_m=depths), truth, SIZE)
        ((x, y),) = centre.tolist()
        points = nine_points_px(x, y, level)
        known = torch.tensor([depth_at(truth, 0, *point) < math.inf for point in points])
        assert known.sum() == 9 if level == 0 else 0 < known.sum() < 9
        expected = errors[known].abs().sum() / 9 / cells
        assert losses['token_depths'].item() == pytest.approx(expected.item(), rel=1e-4)
        losses['token_depths'].backward()
        assert depths.grad is not None
        torch.testing.assert_close(depths.grad[0], errors.sign() * known / 9 / cells)
        assert all(losses[name] < 1e-6 for name in TOKEN_LOSSES if name != 'token_depths')


def test_a_token_beside_somebody_learns_their_outline_alone(truth: BatchTruth) -> None:
    """A large one from farther away than a small one."""
    assert truth.part_map is not None
    column = int((truth.part_map[0, 15] >= 0).nonzero()[0])  # the first one at the hips' height
    assert not (truth.part_map[0, 12:19, :column] >= 0).any()
    cells = float((truth.scale_map[:, 0] > 0.5).sum())
    for columns, level, learns in ((1, 0, True), (2, 0, False), (2, 1, True), (3, 1, False)):
        centre_px = STRIDE_PX * torch.tensor([[column - columns, 15.0]])
        said = exact(truth, centre_px, [0], level)
        assert token_losses(said, truth, SIZE)['token_depths'] < 1e-6
        said = replace(
            said,
            offsets=said.offsets + 9,
            part_logits=said.part_logits * 0,
            depths_m=said.depths_m + 9,
        )
        points = nine_points_px(7.0 * (column - columns), 105.0, level)
        known = sum(depth_at(truth, 0, *point) < math.inf for point in points)
        assert (known > 0) == learns
        losses = token_losses(said, truth, SIZE)
        assert losses['token_j2ds'] == 0
        assert float(losses['token_parts']) == pytest.approx(learns * math.log(25) / cells)
        assert float(losses['token_depths']) == pytest.approx(known / cells, rel=1e-4)


def test_tokens_that_show_nobody_do_not_count(truth: BatchTruth) -> None:
    beside = torch.tensor([[7.0, 7.0], [140.0, 276.0]])  # background; below the picture
    said = exact(truth, beside, [0, 1])
    said = replace(
        said,
        offsets=said.offsets + 9,
        part_logits=-said.part_logits,
        depths_m=said.depths_m + 9,
    )
    assert all(value == 0 for value in token_losses(said, truth, SIZE).values())


def test_nobody_teaches_nothing(studio: SceneStudio, truth: BatchTruth) -> None:
    """But with a gradient, which processes wait for from each other."""
    said = exact(truth, torch.tensor([[140.0, 105.0]]), [0])
    learnt = said.offsets, said.joints_m, said.part_logits, said.depths_m
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
    """Those beyond the map, where this says None, show nothing of a body, at no depth."""
    numbers = torch.arange(2 * 30 * 40).view(2, 30, 40)
    said = TokenPeople(
        torch.zeros(1, 45, 2),
        torch.zeros(1, 45, 3),
        torch.zeros(1, 9, 25),
        torch.zeros(1, 9),
        torch.tensor([centre_px]).float(),
        torch.tensor([level]),
        torch.tensor([1]),
    )
    expected = [
        None if row is None or column is None else int(numbers[1, row, column])
        for row in rows
        for column in columns
    ]
    parts = parts_of_tokens(said, numbers)
    assert parts.tolist() == [[0 if one is None else 1 + one for one in expected]]
    depths_m = depths_of_tokens(said, numbers / 2)
    assert depths_m.tolist() == [[math.inf if one is None else one / 2 for one in expected]]
    halves = depths_of_tokens(said, (numbers / 4096).half())  # as of the pool
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, depths_m / 2048, rtol=1e-3, atol=0)


def test_the_head_reads_packed_tokens_of_every_picture() -> None:
    head = TokenHead(8, SIZE)
    tokens = Tokens(
        torch.randn(5, 8), torch.rand(5, 2), torch.arange(5) % 3, [2, 3], torch.randn(2, 8)
    )
    said = head(tokens)
    assert said.offsets.shape == (5, 45, 2)
    assert said.joints_m.shape == (5, 45, 3)
    assert said.part_logits.shape == (5, 9, 25)
    assert said.depths_m.shape == (5, 9)
    assert said.levels.tolist() == [0, 1, 2, 0, 1]
    assert said.picture.tolist() == [0, 0, 1, 1, 1]
    assert said.offsets.std() < 0.2  # of the size of people from the start
    torch.testing.assert_close(said.centres_px, tokens.centres_xy_norm * SIZE)


def test_what_is_said_at_first_is_of_the_size_of_people() -> None:
    head = TokenHead(8, SIZE)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.ones_(head.bias)
    said = head(Tokens(torch.randn(3, 8), torch.rand(3, 2), torch.arange(3), [3], torch.empty(0)))
    for value, size in (
        (said.offsets, TYPICAL_OFFSET),
        (said.joints_m, TYPICAL_M),
        (said.part_logits, 1.0),
        (said.depths_m, TYPICAL_M),
    ):
        torch.testing.assert_close(value, torch.full_like(value, size))


def test_pictures_of_data_sets_cannot_teach_tokens() -> None:
    config = load_config('train_chmr', ['losses.token_j2ds=1'])
    with pytest.raises(UserError, match='only scenes'):
        config.check_training()
