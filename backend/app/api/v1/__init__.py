"""Version 1 of the API: every module of `endpoints` has a `router`."""

from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter

from app.api import openapi
from app.api.v1 import endpoints

PREFIX = "/api/v1"

# Sorted by name, so that the order is stable.
_modules = [
    import_module(f"{endpoints.__name__}.{found.name}")
    for found in iter_modules(endpoints.__path__)
]

# Included one by one: each level of nesting makes FastAPI match a request once more.
routers: tuple[APIRouter, ...] = tuple(module.router for module in _modules)


def tags() -> list[dict[str, str]]:
    """The schema's tags; one without a text there uses its module's docstring."""
    known = {tag["name"] for tag in openapi.TAGS}
    own = [
        {"name": str(name), "description": (module.__doc__ or "").partition("\n")[0]}
        for module in _modules
        for name in module.router.tags
        if name not in known
    ]
    return [*openapi.TAGS, *own]
