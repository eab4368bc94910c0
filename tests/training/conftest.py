"""Fixtures of the trainer's tests; their folder holds the makers `fixtures` and `scenes`."""

from __future__ import annotations

from pathlib import Path

from fixtures import make_data
import pytest

from mahmr_model.body.data import OPEN_BODY
from training.data.posing import WorkerBodies


@pytest.fixture(scope='session')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with all datasets, four pictures each; only for reading."""
    return make_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='session')
def open_bodies() -> WorkerBodies:
    """Give the open body for all genders."""
    return WorkerBodies(OPEN_BODY)
