"""The tasks that workers run: every module of this package is imported."""

from importlib import import_module
from pkgutil import iter_modules


def import_tasks() -> None:
    """Import every module of this package, so that Celery knows all tasks, and beat
    their schedules."""
    for found in iter_modules(__path__):
        import_module(f"{__name__}.{found.name}")
