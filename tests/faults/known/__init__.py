"""Faults of our own, by what they break: each is one that a colleague could make."""

from pathlib import Path

from local.registry import registered
from local.removed import left_out
from tests.faults.known import (
    calls,
    code,
    containers,
    defences,
    gateway,
    kubernetes,
    leaving,
    limits,
    servers,
    work,
)
from tests.faults.planted import Fault

FAULTS = (
    *calls.FAULTS,
    *leaving.FAULTS,
    *work.FAULTS,
    *code.FAULTS,
    *defences.FAULTS,
    *limits.FAULTS,
    *servers.FAULTS,
    *gateway.FAULTS,
    *containers.FAULTS,
    *kubernetes.FAULTS,
)


def present(root: Path) -> list[Fault]:
    """Without those in parts that a team has deleted."""
    gone = left_out(root)
    return [
        fault
        for fault in FAULTS
        if (root / fault.file).exists()
        and not (fault.of_demo and "data" not in registered())
        and not any(gone & {*test.parents, test} for test in _paths(root, fault))
    ]


def _paths(root: Path, fault: Fault) -> list[Path]:
    return [root / test.partition("::")[0] for test in fault.tests]
