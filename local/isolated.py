"""Isolates pytest before it imports our code: see `addopts` in `pyproject.toml`.

`make test` does the same earlier; this is for pytest alone, as editors run it.
"""

from local.isolation import isolate

isolate()
