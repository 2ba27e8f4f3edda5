"""Tables, and the models of requests and answers."""

from importlib import import_module
from pkgutil import iter_modules

from sqlmodel import SQLModel

# PostgreSQL's own naming scheme for unnamed constraints: migrations can then drop them
# by name.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


def import_all() -> None:
    """Import every module of this package, so that SQLModel knows every table."""
    for found in iter_modules(__path__):
        import_module(f"{__name__}.{found.name}")
