"""The faults of our own, by what they break."""

from pathlib import Path

from tests.faults.planted import Fault

FAULTS: tuple[Fault, ...] = ()


def present(root: Path) -> list[Fault]:
    """Without those in parts that a team has deleted."""
    return [
        fault
        for fault in FAULTS
        if all(
            (root / path.partition("::")[0]).exists()
            for path in (fault.file, *fault.tests)
        )
    ]
