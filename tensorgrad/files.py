"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
import stat
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new path beside `path` to write to: it takes the place of `path` when the block ends well, and is removed when not.

    A `~` at the beginning is the home folder, and a folder that is missing is made. A link stays one, and what it points to is
    replaced. A file that is replaced keeps its permissions, and a new one has those that the process gives new files. The new
    path has the same suffix, for writers that choose a format by it. What killed processes left of their own attempts
    to write this file is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "notes.txt")) as new:
    ...         _ = new.write_text("whole")
    ...     print([(file.name, file.read_text()) for file in Path(folder).iterdir()])
    [('notes.txt', 'whole')]
    """
    path = Path(os.path.realpath(os.path.expanduser(path)))
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f".{zlib.crc32(path.name.encode('utf-8', 'surrogatepass')):08x}."  # short, whatever the name
    _remove_leftovers(path.parent, mark)
    suffix = path.suffix if len(path.suffix) < 32 else ""
    new = path.with_name(f"{mark}{os.getpid()}.{uuid.uuid4().hex[:12]}{suffix}")
    try:
        new.touch(exist_ok=False)
        mode = stat.S_IMODE((path if path.exists() else new).stat().st_mode)
        yield new
        with open(new, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(new, mode)  # some writers give their own
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, mark: str) -> None:
    """Remove what processes that run no more have begun to write under this mark."""
    for file in folder.glob(f"{mark}*.*"):
        process = file.name.removeprefix(mark).partition(".")[0]
        if process.isdigit() and not _runs(int(process)):
            with suppress(OSError):
                file.unlink()


def _runs(process: int) -> bool:
    if os.name != "posix":
        return True  # there os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
