"""The renderer, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mahmr_model.body.data import load_body
from mahmr_model.body.layer import BodyLayer
from training.synthetic.scenes.renderer import SceneRenderer

_BODY = Path(__file__).parents[3] / 'mahmr_model' / 'body' / 'open_body.npz'


@pytest.fixture(scope='session')
def open_body() -> BodyLayer:
    return BodyLayer(load_body(_BODY), kid=True)


@pytest.fixture(scope='session')
def renderer(open_body: BodyLayer) -> SceneRenderer:
    return SceneRenderer(open_body, 'cpu')
