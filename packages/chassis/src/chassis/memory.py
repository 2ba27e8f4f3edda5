"""Memory that is free goes back to the system.

glibc keeps it: an arena for each few threads, and blocks of a megabyte too, once the
first of them was freed. A process would stay as large as its largest moment.
"""

import ctypes
import sys

# Of malloc.h; see mallopt(3). A threshold that is set no longer grows by itself.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
BLOCK = 128 * 1024  # bytes
ARENAS = 2


def give_back_memory() -> bool:
    """To be called before threads start; False where the C library is another."""
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
