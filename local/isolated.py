"""Isolates pytest before it imports anything of ours: `addopts` in `pyproject.toml`.

`make test` does the same earlier; this is for pytest on its own, as editors run it.
"""

from local.isolation import isolate

isolate()
