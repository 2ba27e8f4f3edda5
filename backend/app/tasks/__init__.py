"""What workers run: each module here may define tasks, and is found by its place."""

from importlib import import_module
from pkgutil import iter_modules


def import_tasks() -> None:
    """Import every module of this package, so that Celery knows every task, and beat
    its schedule."""
    for found in iter_modules(__path__):
        import_module(f"{__name__}.{found.name}")
