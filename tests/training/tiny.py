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

"""A tiny network and random pictures with random truth, for tests of the training step."""

from __future__ import annotations

from pathlib import Path

from mahmr_model.body.data import load_body, OPEN_BODY
from mahmr_model.config import ModelConfig
import torch
from training.config import RunConfig
from training.data.dataset import Item, Sample, Source
from training.denoising import DenoisingConfig
from training.recipe import build_model
from training.target import Target
from training.train_model import TrainingModel

torch.set_num_threads(1)  # tensors are tiny: more threads wait for each other

MODEL = ModelConfig(
    input_size=112,
    encoder_dim=32,
    encoder_depth=4,
    encoder_heads=2,
    hidden_dim=32,
    decoder_layers=2,
    decoder_heads=2,
    feedforward_dim=32,
    queries=5,
    shapes=10,
)
WEIGHTS = {
    'confs': 4.0,
    'poses': 5.0,
    'rotations': 5.0,
    'betas': 3.0,
    'boxes': 2.0,
    'giou': 2.0,
    'j3ds': 8.0,
    'j2ds': 40.0,
    'depths': 0.5,
    'depths_mt': 0.5,
    'depths_re': 0.5,
    'fov': 0.5,
    'map_confs': 4.0,
    'map_scales': 4.0,
}
"""Every loss that there is."""


def run_config(**changes: object) -> RunConfig:
    return RunConfig(
        'tiny',
        **{
            'body': 'open',
            'model': MODEL,
            'losses': WEIGHTS,
            'denoising': DenoisingConfig(dn_number=2),
        }
        | changes,
    )


def tiny_model(config: RunConfig) -> TrainingModel:
    return build_model(config, load_body(OPEN_BODY))


def random_target(
    people: int, size_hw: tuple[int, int], seed: int, *, valid_3d: bool, everybody: bool
) -> Target:
    """Give people anywhere; the numbers do not fit each other, which no loss minds."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    z = 3 + 2 * uniform(people)
    cells = 4 * -(-size_hw[0] // 56) * -(-size_hw[1] // 56)
    presence = (uniform(cells) > 0.6).float()
    return Target(
        size_hw=size_hw,
        pose_axis_angle=uniform(people, 72) - 0.5,
        betas=uniform(people, 10) - 0.5,
        translation_m=torch.stack([z * 0, z * 0, z], 1),
        joints_camera_m=uniform(people, 45, 3) + z[:, None, None],
        joints_px=uniform(people, 45, 2) * torch.tensor(size_hw).flip(0),
        joints_mask=uniform(people, 45, 1).expand(-1, -1, 2) > 0.2,
        boxes_cxcywh_norm=torch.cat([uniform(people, 2), 0.2 + 0.2 * uniform(people, 2)], 1),
        depths=torch.stack([z, z / 100], 1),
        focal_px=torch.full((people,), 100.0),
        heights_m=torch.full((people,), 1.7),
        scale_map=torch.stack([presence, presence * uniform(cells)], 1),
        intrinsics=torch.eye(3)[None],
        valid_3d=valid_3d,
        detect_all_people=everybody,
        depth_layers=torch.arange(people) if seed % 2 else None,
    )


class RandomPictures:
    """Random pictures; `flags` says of each how many people, whether 3-D, whether everybody."""

    def __init__(self, flags: list[tuple[int, bool, bool]]) -> None:
        self._flags = flags

    def __len__(self) -> int:
        return len(self._flags)

    def set_epoch(self, epoch: int) -> None:
        pass

    def __getitem__(self, index: int) -> Item:
        people, valid_3d, everybody = self._flags[index]
        size = (112, 80) if index % 2 else (70, 112)
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (*size, 3), generator=generator, dtype=torch.uint8)
        target = random_target(people, size, index, valid_3d=valid_3d, everybody=everybody)
        source = Source('random', Path(f'{index}.png'), size, None)
        return Item(Sample(image, target, source), ())


PICTURES = RandomPictures(
    [
        (3, True, True),
        (1, False, True),
        (2, True, False),
        (2, False, False),
        (1, True, True),
        (4, True, False),
        (1, True, False),
        (2, False, True),
    ]
)
