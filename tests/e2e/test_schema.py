"""The published schema is what the API does.

Each operation gets some dozens of generated requests, good and bad; more with
`SCHEMA_EXAMPLES=2000 make e2e`.
"""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "30"))


def test_every_answer_is_as_published(url: str, tmp_path: Path) -> None:
    """All checks of schemathesis, with examples, edge cases, chance and sequences."""
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(Path(__file__).with_name("schemathesis.toml"))]
    command += ["run", "--no-color", "--checks", "all", "--seed", "1"]
    command += ["--max-examples", str(EXAMPLES), "--request-timeout", "60"]
    command += [f"{url}/api/v1/openapi.json"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout)
