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

"""Writing files so that nothing half-written is ever left under its own name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import tempfile

from mahmr_model.errors import UserError


def check_writable(path: Path) -> None:
    """Raise UserError where a file cannot be written to `path`; leaves nothing there."""
    try:
        if path.is_dir():
            raise IsADirectoryError('it is a folder')
        folder = next(one for one in path.parents if one.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _refused(path, error) from error


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Do what `all_written_beside` does for one path."""
    with all_written_beside(path) as (temporary,):
        yield temporary


@contextmanager
def all_written_beside(*paths: Path) -> Iterator[list[Path]]:
    """
    Give a temporary path for each of `paths`, all renamed once the block succeeds.

    Each is in the folder of its path and has its suffix. After an error they are removed, and
    what stood at the paths still stands. Raises UserError where the system refuses: a full disk,
    a folder that cannot be written, or one that stands where a file is to go.
    """
    temporaries: list[Path] = []
    try:
        for path in paths:
            if path.is_dir():  # found out by the last rename, the others would be done
                raise _refused(path, IsADirectoryError('it is a folder'))
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f'.{path.stem}.', suffix=path.suffix, dir=path.parent
            )
            os.close(handle)
            temporaries.append(Path(name))
        yield temporaries
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.chmod(0o666 & ~_umask())  # mkstemp's own mode shuts everyone else out
            temporary.replace(path)
    except OSError as error:
        raise _refused(paths[0], error) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_written_beside(path: Path, *, keep: bool = True) -> Iterator[Path]:
    """
    Give a temporary folder that is renamed to `path` once the block succeeds, or removed.

    Raises UserError where `path` is there already (an empty folder may be, unless it is where
    the process stands or something is mounted), or where the system refuses. Where that is the
    renaming itself, the temporary folder stays if it is to be kept, and the message names it.
    """
    try:
        path = path.resolve()
    except RuntimeError as error:  # a ring of links
        raise _refused(path, OSError(str(error))) from error
    temporary: Path | None = None
    try:
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise UserError(
                f'{path} is there already and is not overwritten; name another folder, or take '
                'it away.'
            )
        if path.is_mount() or (path.exists() and path.samefile('.')):
            raise UserError(f'{path} itself cannot be replaced; name a new folder in it.')
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        try:
            temporary.replace(path)
        except OSError as error:
            if not keep:
                raise
            done, temporary = temporary, None
            raise UserError(
                f'{path} cannot be made ({error.strerror}); everything is in {done}.'
            ) from error
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _refused(path: Path, error: OSError) -> UserError:
    return UserError(
        f'{path} cannot be written ({error.strerror or error}); name another folder, or make '
        'this one writable and free space.'
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
