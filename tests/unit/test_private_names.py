"""What ships uses public names alone: a private one of another package may be gone, or
mean something else, with any release."""

from pathlib import Path

import pytest

from local.apps import ROOT
from tests.unit.private_names import Package, read

SHIPPED = ["app/**/*.py", "src/**/*.py", "alembic/**/*.py", "*.py"]
FOLDERS = [ROOT / "backend", *ROOT.glob("packages/*/"), *ROOT.glob("services/*/")]


def package(folder: Path) -> Package:
    """A component of ours. Each has an `app`, or is one in `src`."""
    top = [file.stem for file in folder.glob("src/*")]
    return Package(read(folder, *SHIPPED), ["app", "main", "rabbitmq_client", *top])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_private_name_of_another_package(folder: Path) -> None:
    found = list(package(folder).findings())
    assert not found, "\n".join(found)


def findings(code: str) -> set[str]:
    """Names in one file of a package called `app`."""
    found = Package({"app/x.py": code}, ["app"]).findings()
    return {line.partition(" ")[2] for line in found}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("connection._transport.close()", "_transport"),
        ("import kombu\nkombu.Connection._closed = True", "kombu.Connection._closed"),
        ("from kombu import _x", "kombu._x"),
        ("from kombu._x import y", "kombu._x.y"),
        ("import kombu._x as x", "kombu._x"),
        ("setattr(channel, '_delivered', [])", "_delivered"),
        ("import operator\noperator.attrgetter('_x')(channel)", "_x"),
        ("from opentelemetry.sdk import _logs", "opentelemetry.sdk._logs"),
        # That ours have such a name makes it no name of another's class ...
        (
            "import kombu\nclass A:\n    def _x(self): kombu.Queue._x()",
            "kombu.Queue._x",
        ),
        # ... nor does a function.
        ("def _x(): ...\nconnection._x()", "_x"),
        # Taken by a subclass: a method, what is set, what is only declared.
        (
            "from threading import Thread\nclass A(Thread):\n"
            "    def _bootstrap(self): ...",
            "_bootstrap",
        ),
        (
            "import threading as t\nclass A(t.Thread):\n"
            "    def go(self): self._target = 1",
            "_target",
        ),
        (
            "from threading import Thread\nclass A(Thread): ...\n"
            "class B(A):\n    _started: bool",
            "_started",
        ),
        (
            "from threading import Thread\nclass A(Thread):\n"
            "    def go(self): return self._kwargs",
            "_kwargs",
        ),
        (
            "from threading import Thread\nclass Mixin:\n"
            "    def _bootstrap(self): ...\nclass A(Mixin, Thread): ...",
            "_bootstrap",
        ),
        # Also where a class of ours has the same name of its own.
        (
            "from threading import Thread\nclass A(Thread):\n"
            "    def go(self): return self._kwargs\nclass B:\n    _kwargs = 1",
            "_kwargs",
        ),
    ],
)
def test_private_names_are_found(code: str, name: str) -> None:
    assert findings(code) == {name}


@pytest.mark.parametrize(
    "code",
    [
        "class A:\n    def _x(self): return self._x()",
        "class A:\n    __slots__ = ('_x',)\ndef f(a): a._x",
        "class A:\n    def f(self): self._x = 1\ndef f(a): getattr(a, '_x')",
        "class A:\n    _x: int\ndef f(a): a._x = 2",
        "import os\nos._exit(1)",
        "row._replace(a=1)",
        "from app._own import _x",
        "def _x(): ...\n_x()",
        "from threading import Thread\nclass A(Thread):\n    def _of_ours(self): ...",
        "from enum import Enum\nclass A(Enum):\n    def f(self): return self._value_",
        "kind.__name__",
    ],
)
def test_public_and_own_names_pass(code: str) -> None:
    assert findings(code) == set()
