"""Tables, and what the API takes and gives."""

from importlib import import_module
from pkgutil import iter_modules


def import_all() -> None:
    """Import every module of this package, so that SQLModel knows every table."""
    for found in iter_modules(__path__):
        import_module(f"{__name__}.{found.name}")
