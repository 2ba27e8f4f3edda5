"""Returns free memory to the system.

glibc keeps it: in an arena per few threads, and in blocks of a megabyte once one of
them was freed. Without this, a process stays as large as it ever was.
"""

import ctypes
import sys

# From malloc.h; see mallopt(3). Setting a threshold stops glibc from raising it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
BLOCK = 128 * 1024  # bytes
ARENAS = 2


def give_back_memory() -> bool:
    """Call this before threads start; False if the C library is not glibc."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = (
        (M_ARENA_MAX, ARENAS),
        (M_MMAP_THRESHOLD, BLOCK),
        (M_TRIM_THRESHOLD, BLOCK),
    )
    return all([mallopt(option, value) for option, value in options])
