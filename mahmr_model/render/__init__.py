"""Pictures of people: their meshes in the picture, from the side and from above."""

from mahmr_model.render.colours import colour_of
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
