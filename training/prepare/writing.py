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

"""Writing annotation files in the published format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mahmr_model.files import written_beside
import numpy as np


def save_annotations(path: Path, annotations: Mapping[str, Any]) -> None:
    """Write `annots`, a dictionary keyed by the picture's path; raises UserError."""
    content = np.empty((), dtype=object)
    content[()] = dict(annotations)
    with written_beside(path) as unfinished:
        np.savez(unfinished, annots=content)
