"""The services that the backend calls; standard library only, as `bootstrap.py`."""

import runpy
from pathlib import Path

REGISTRY = Path(__file__).parents[1] / "backend/app/core/services.py"


def registered() -> dict[str, str]:
    """The queue of each service by its name."""
    services = runpy.run_path(str(REGISTRY))["SERVICES"]
    return {service.name: service.queue for service in services}


def lacks_demo(command: str) -> bool:
    """Whether the data service was taken out; says so for a command that asks it."""
    if lacks := "data" not in registered():
        print(f"{command} asks the data service, which is not here: nothing is done.")
    return lacks
