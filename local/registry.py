"""The services that the backend calls; standard library only, like `bootstrap.py`."""

import runpy
from pathlib import Path

REGISTRY = Path(__file__).parents[1] / "backend/app/core/services.py"


def registered() -> dict[str, str]:
    """Each service's name with its queue."""
    services = runpy.run_path(str(REGISTRY))["SERVICES"]
    return {service.name: service.queue for service in services}


def lacks_demo(command: str) -> bool:
    """Whether the data service was removed; if so, says why the command does
    nothing."""
    if lacks := "data" not in registered():
        print(f"{command} needs the data service, which was removed: nothing to do.")
    return lacks
