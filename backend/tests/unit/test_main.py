"""What `python main.py` asks of the server, and what it does without."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

MAIN = Path(__file__).parents[2] / "main.py"


@pytest.mark.parametrize(
    ("host", "processes", "asked"),
    [
        # Without a name, a single process listens on IPv4 and IPv6.
        *(("::", "1", ""), ("::", "2", "::")),
        *(("0.0.0.0", "1", "0.0.0.0"), ("::1", "1", "::1")),
    ],
)
def test_it_listens_on_both_families_when_told_all(
    monkeypatch: pytest.MonkeyPatch, host: str, processes: str, asked: str
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: told.update(options))
    monkeypatch.setenv("API_HOST", host)
    monkeypatch.setenv("WEB_CONCURRENCY", processes)
    runpy.run_path(str(MAIN), run_name="__main__")
    assert told["host"] == asked


# They take 10 MB of memory, and only tokens need them.
WITHOUT_IDENTITY = """
import sys, main
heavy = {"cryptography.hazmat", "jwt"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_it_loads_no_cryptography_while_authentication_is_off() -> None:
    code = [sys.executable, "-c", WITHOUT_IDENTITY]
    env = {name: v for name, v in os.environ.items() if not name.startswith("AUTH_")}
    subprocess.run(code, cwd=MAIN.parent, env=env, check=True)
