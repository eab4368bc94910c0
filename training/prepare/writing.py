"""Writing annotation files in the published format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mahmr_model.files import written_beside


def save_annotations(path: Path, annotations: Mapping[str, Any]) -> None:
    """Write `annots`, a dictionary keyed by the picture's path; raises UserError."""
    content = np.empty((), dtype=object)
    content[()] = dict(annotations)
    with written_beside(path) as unfinished:
        np.savez(unfinished, annots=content)
