"""What the user has set for the stack: in the environment, or in `.env`."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values

from local.apps import ROOT


def file() -> Path:
    """`.env`, or what ENV_FILE names; it need not be there."""
    return Path(os.environ.get("ENV_FILE") or ROOT / ".env")


def from_file() -> dict[str, str]:
    """What the file sets."""
    return {key: value or "" for key, value in dotenv_values(file()).items()}


def merged() -> dict[str, str]:
    """The file's settings, for those that do not read it, below the environment's."""
    return {**from_file(), **os.environ}


def ignored(needed: Mapping[str, str]) -> Iterator[str]:
    """Sentences on what the user has set and `make run` sets otherwise.

    `.env` has addresses for containers, which nobody expects to be used here; what
    stands in the environment was meant for this command.
    """
    user = merged()
    environment = user.get("ENVIRONMENT") or needed["ENVIRONMENT"]
    if environment != needed["ENVIRONMENT"]:
        yield (
            f"ENVIRONMENT={environment} is ignored: `make run` is for development. "
            "docs/DEPLOYMENT.md and docs/CONTAINERS.md are about production."
        )
    others = [
        name
        for name, value in needed.items()
        if name != "ENVIRONMENT" and os.environ.get(name, value) != value
    ]
    if others:
        yield f"ignored, because `make run` starts its own servers: {', '.join(others)}"
