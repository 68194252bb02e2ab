"""Keeping the memory of arrays that are gone for those that come.

The C library takes memory for a large array from the operating system and hands it back when the array is gone. The system
clears each page anew when it is first touched, which took a fifth of a training step. A step makes the same arrays again
and again; so the library is told to keep what becomes free, up to a bound. This concerns the whole process, as does
`release_memory`. Only the GNU C library, that of most Linux systems, can be told so.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

SWITCH = "TENSORGRAD_KEEP_MEMORY"
"""The environment variable that says how many MB of freed memory the process keeps; 0 leaves the C library as it is."""

KEPT_MB = 256

LARGEST_BYTES = 32 << 20
"""Larger arrays are handed back at once. The C library allows no higher limit."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # names and numbers of malloc.h


def keep_freed_memory() -> bool:
    """Tell the C library to keep the memory of freed arrays, unless the environment says otherwise. Whether it does now."""
    library, megabytes = _c_library(), int(os.environ.get(SWITCH, KEPT_MB))
    tuned = any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if library is None or tuned or megabytes <= 0:
        return False
    settings = (M_MMAP_THRESHOLD, LARGEST_BYTES), (M_TRIM_THRESHOLD, min(megabytes, 2047) << 20)
    return all(library.mallopt(name, value) for name, value in settings)


def release_memory() -> None:
    """Hand the memory of arrays that are gone back to the operating system.

    tensorgrad keeps up to 256 MB of it for the next arrays; the environment variable TENSORGRAD_KEEP_MEMORY, read on
    import, sets another number of MB, and 0 none. Does nothing where the C library is not GNU's.

    >>> import tensorgrad as tg
    >>> tg.release_memory()
    """
    library = _c_library()
    if library is not None:
        library.malloc_trim(0)


def _c_library() -> Any:
    """The C library where it is GNU's, else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
