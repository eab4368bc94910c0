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

"""The truth of rendered scenes, made on the device they were rendered on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mahmr_model.transfer import on_device
import numpy as np
import torch
from torch import Tensor
from training.batch_truth import BatchTruth, LAYERS_UNKNOWN
from training.data.annotation import Bools, Floats, Ints
from training.data.sample import (
    BOX_MARGIN,
    FEWEST_VISIBLE_JOINTS,
    MAIN_JOINTS,
    SMALLEST_CORNER,
)
from training.data.scale_map import CELL_PX, edges, grid_size, morton_order
from training.synthetic.scenes.renderer import Rendered
from training.synthetic.scenes.scene import Scene
from training.token_people import STRIDE_PX

NEAREST_JOINT_M = 0.1
"""Somebody with a joint behind this plane has no projection to learn from."""
FEWEST_PIXELS = 20
SMALLEST_SHARE = 0.02
"""Of the box. People fill about a quarter of theirs, so that below a twelfth of one is seen."""


@dataclass(frozen=True)
class SceneNumbers:
    """What the truth of B scenes with P people follows from, beside what is rendered."""

    sizes_hw: tuple[tuple[int, int], ...]
    person_counts: tuple[int, ...]
    intrinsics: Tensor
    """(B, 3, 3)."""
    pose_axis_angle: Tensor
    """(P, 72)."""
    betas: Tensor
    """(P, 11)."""

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> SceneNumbers:
        """Take the numbers of scenes."""
        return cls(
            tuple(scene.size_hw for scene in scenes),
            tuple(len(scene.betas) for scene in scenes),
            _float(np.stack([scene.intrinsics for scene in scenes])),
            _float(np.concatenate([scene.pose_axis_angle for scene in scenes])),
            _float(np.concatenate([scene.betas for scene in scenes])),
        )

    @property
    def picture(self) -> Ints:
        """(P,) the scene of each person."""
        return np.repeat(np.arange(len(self.person_counts)), self.person_counts)

    def to(self, device: torch.device) -> SceneNumbers:
        """Return the same with its tensors on another device."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def pin_memory(self) -> SceneNumbers:
        """Return the same in memory that a device can fetch from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> SceneNumbers:
        return SceneNumbers(
            self.sizes_hw,
            self.person_counts,
            *(change(v) for v in (self.intrinsics, self.pose_axis_angle, self.betas)),
        )


class SceneTruth:
    """
    Makes the truth of scenes, equal to that which `SampleMaker` makes of them as annotations.

    Left out is who shows too few joints in the picture (step 7 of the recipe), and also who is
    hidden almost entirely or has a joint beside or behind the lens: they are drawn, but nobody is
    asked to find them.
    """

    def __init__(self, faces: Tensor, input_size: int, shapes: int) -> None:
        """Take the body's triangles (F, 3), the longer side S, and the shapes of a target."""
        self._edges = edges(faces)
        self._input_size, self._shapes = input_size, shapes

    @torch.no_grad()
    def __call__(self, scenes: SceneNumbers, rendered: Rendered) -> BatchTruth:
        """
        Return the truth of rendered scenes; the host waits once, for who is kept.

        The numbers of the scenes are on the device that rendered them.
        """
        joints, everybody = rendered.joints_camera_m, scenes.picture
        device = joints.device
        owners = on_device(everybody, device)
        intrinsics = scenes.intrinsics[owners]
        sizes = on_device(np.asarray(scenes.sizes_hw, np.int64)[everybody], device).flip(1)
        pixels = _projected(joints, intrinsics)
        boxes = self._boxes(pixels, sizes)
        seen = seen_pixels(rendered, everybody)
        kept = self._kept(joints, pixels, boxes, sizes, seen).cpu().numpy()
        rows, picture = on_device(np.flatnonzero(kept), device), everybody[kept]
        grids = tuple(grid_size(size) for size in scenes.sizes_hw)
        intrinsics, boxes, z = intrinsics[rows], boxes[rows], joints[rows, 0, 2]
        focal = intrinsics[:, 0, 0]
        depths = torch.stack([z, z / focal], 1)
        vertices = rendered.vertices_camera_m[rows]
        every = (True,) * len(grids)
        person_map = _person_map(rendered, kept, everybody)
        return BatchTruth(
            sizes_hw=scenes.sizes_hw,
            people=tuple(np.bincount(picture, minlength=len(grids)).tolist()),
            cells=tuple(_cells(grid) for grid in grids),
            valid_3d=every,
            detect_all_people=every,
            pose_axis_angle=scenes.pose_axis_angle[rows],
            betas=scenes.betas[rows, : self._shapes],
            joints_camera_m=joints[rows],
            joints_px=pixels[rows],
            joints_mask=torch.ones_like(pixels[rows], dtype=torch.bool),
            boxes_cxcywh_norm=boxes,
            depths=depths,
            focal_px=focal,
            depth_layers=torch.full_like(rows, LAYERS_UNKNOWN),
            scale_map=self._scale_map(vertices, intrinsics, picture, grids, boxes, depths),
            picture_focal_px=scenes.intrinsics[:, 0, 0],
            person_map=person_map,
            part_map=rendered.part[:, ::STRIDE_PX, ::STRIDE_PX].contiguous(),
            depth_map=_depth_map(rendered, person_map, z),
        )

    def _boxes(self, joints_px: Tensor, size_px: Tensor) -> Tensor:
        """Return boxes (P, 4) as of `sample.people_boxes`; `size_px` (P, 2) is width, height."""
        low, high = joints_px.amin(1), joints_px.amax(1)
        centre, half = (low + high) / 2, (high - low) * BOX_MARGIN / 2
        largest = (size_px - 1) / self._input_size
        low, high = (
            (corner / self._input_size).clamp(min=SMALLEST_CORNER).minimum(largest)
            for corner in (centre - half, centre + half)
        )
        return torch.cat([(low + high) / 2, high - low], dim=1)

    def _kept(
        self, joints_m: Tensor, joints_px: Tensor, boxes: Tensor, size_px: Tensor, seen: Tensor
    ) -> Tensor:
        """Return who (P,) can be asked for; `seen` (P,) pixels show them."""
        visible = ((joints_px >= 0) & (joints_px < size_px[:, None])).all(-1)
        enough = visible.sum(1) >= FEWEST_VISIBLE_JOINTS
        in_front = joints_m[..., 2].amin(1) > NEAREST_JOINT_M
        area = boxes[:, 2] * boxes[:, 3] * self._input_size**2
        shown = (seen >= FEWEST_PIXELS) & (seen >= SMALLEST_SHARE * area)
        return enough & visible[:, :MAIN_JOINTS].any(1) & in_front & shown

    def _scale_map(
        self,
        vertices_m: Tensor,
        intrinsics: Tensor,
        picture: Ints,
        grids: tuple[tuple[int, int], ...],
        boxes: Tensor,
        depths: Tensor,
    ) -> Tensor:
        """Return the packed map (N, 2) of step 11: each cell of the nearest person on it."""
        device, count = vertices_m.device, len(picture)
        places, cells = _places(grids, device)
        owners = on_device(picture, device)
        sizes = on_device(np.asarray(grids, np.int64), device)[owners]
        self._edges = self._edges.to(device)  # once
        ends = vertices_m[:, self._edges]
        points = torch.cat([vertices_m, (ends[:, 0] + ends[:, 1]) / 2], dim=1)
        cell = (_projected(points, intrinsics) / CELL_PX).nan_to_num_()
        column = cell[..., 0].clamp(min=0).minimum((sizes[:, 1:] - 1).float()).long()
        row = cell[..., 1].clamp(min=0).minimum((sizes[:, :1] - 1).float()).long()
        covered = places[owners[:, None], row, column]
        # Near people have low ranks; of equally near ones the last is painted last.
        order = (-depths[:, 1]).sort(stable=True).indices.flip(0)
        rank = torch.empty_like(order).index_copy_(0, order, torch.arange(count, device=device))
        nearest = torch.full((cells,), count, device=device)
        nearest.scatter_reduce_(
            0, covered.flatten(), rank[:, None].expand_as(covered).flatten(), 'amin'
        )
        # The last row stands for nobody.
        person = torch.cat([order, order.new_full((1,), count)])[nearest]
        diagonal = boxes[:, 2:].norm(dim=1).clamp(max=1)
        painted = torch.stack([torch.ones_like(diagonal), diagonal], dim=1)
        return torch.cat([painted, painted.new_zeros(1, 2)])[person]


def _person_map(rendered: Rendered, kept: Bools, picture: Ints) -> Tensor:
    """Return who of the kept people is seen where, as of `BatchTruth`; `picture` (P,)."""
    device, counts = rendered.person.device, np.asarray(rendered.person_counts)
    numbers = np.arange(len(picture)) - (counts.cumsum() - counts)[picture]
    # A last column for nobody, which the number -1 finds as well.
    table = np.full((len(counts), counts.max(initial=0) + 1), -1, np.int64)
    table[picture[kept], numbers[kept]] = np.arange(int(kept.sum()))
    seen = rendered.person[:, ::STRIDE_PX, ::STRIDE_PX].long()
    pictures = torch.arange(len(counts), device=device)[:, None, None]
    return on_device(table, device)[pictures, seen]


def _depth_map(rendered: Rendered, person_map: Tensor, root_z_m: Tensor) -> Tensor:
    """Return `BatchTruth.depth_map`; `root_z_m` (P,) is of the kept people."""
    nobody = root_z_m.new_full((1,), -torch.inf)  # a last one, which the number -1 finds
    roots = torch.cat([root_z_m, nobody])[person_map]
    return rendered.depth_m[:, ::STRIDE_PX, ::STRIDE_PX] - roots


def seen_pixels(rendered: Rendered, picture: Ints) -> Tensor:
    """Return how many pixels show each person (P,); `picture` (P,) is the scene of each."""
    most = max(rendered.person_counts)
    counts = [(rendered.person == number).sum((1, 2)) for number in range(max(most, 1))]
    first = np.cumsum(rendered.person_counts) - rendered.person_counts
    rows = np.stack([picture, np.arange(len(picture)) - first[picture]])
    scene, number = on_device(rows, rendered.person.device)
    return torch.stack(counts, dim=1)[scene, number]


def _float(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _projected(points_m: Tensor, intrinsics: Tensor) -> Tensor:
    """Project points (P, K, 3) with a camera each (P, 3, 3) to pixels (P, K, 2)."""
    pixels = points_m @ intrinsics.transpose(1, 2)
    return pixels[..., :2] / pixels[..., 2:]


def _cells(grid: tuple[int, int]) -> int:
    return (grid[0] + grid[0] % 2) * (grid[1] + grid[1] % 2)


def _places(grids: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, int]:
    """Return where (B, G, G) each picture's cells are among all N packed ones, and N."""
    side = max(max(grid) for grid in grids)
    counts = np.array([_cells(grid) for grid in grids])
    places = np.stack([_morton_places(*grid, side) for grid in grids])
    places = places + (counts.cumsum() - counts)[:, None, None]
    return on_device(places, device), int(counts.sum())


@lru_cache(maxsize=512)
def _morton_places(rows: int, columns: int, side: int) -> Ints:
    """Return the place (side, side) of each cell of a grid, padded to even, in Morton order."""
    padded = rows + rows % 2, columns + columns % 2
    order = morton_order(*padded)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    result = np.zeros((side + side % 2, side + side % 2), np.int64)
    result[: padded[0], : padded[1]] = places.reshape(padded)
    return result
