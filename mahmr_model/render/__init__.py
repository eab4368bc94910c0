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

"""Pictures of people: their meshes in the picture, from the side and from above."""

from mahmr_model.colours import colour_of
from mahmr_model.render.meshes import render_meshes, Rendering
from mahmr_model.render.overlay import draw_overlay
from mahmr_model.render.panel import draw_panel
from mahmr_model.render.rasteriser import Orthographic
from mahmr_model.render.views import draw_birds_eye_view, draw_side_view

__all__ = [
    'Orthographic',
    'Rendering',
    'colour_of',
    'draw_birds_eye_view',
    'draw_overlay',
    'draw_panel',
    'draw_side_view',
    'render_meshes',
]
