"""Writing files so that nothing half-written is ever left under its own name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import tempfile

from mahmr_model.errors import UserError


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
    a folder that cannot be written.
    """
    temporaries: list[Path] = []
    try:
        for path in paths:
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
        raise UserError(
            f'{paths[0]} cannot be written ({error.strerror or error}); name another folder, or '
            'make this one writable and free space.'
        ) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
