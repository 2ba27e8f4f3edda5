"""What `make run` prints when all is up, by who may call. The tests of the launcher run
the request that is printed."""

from pathlib import Path

import pytest

from local import ready
from local.servers.issuer import Issuer
from local.state import State


@pytest.fixture(autouse=True)
def services(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """With the data service, though a team may have removed it."""
    found = {"data": "data_queue"}
    monkeypatch.setattr(ready, "registered", lambda: found)
    return found


def summary(issuer: Issuer | None = None, **env: str) -> str:
    return ready.summary(
        [],
        "http://g",
        seconds=1.0,
        logs=Path("/logs"),
        colours=False,
        env=env,
        issuer=issuer,
        trust="",
    )


def test_anybody_may_call() -> None:
    said = summary(AUTH_ISSUER="")
    assert said.endswith("""
  Logs          /logs

Try it:

  curl -s http://g/api/v1/data/process -H 'Content-Type: application/json' \\
       -d '{"payload": "hello world", "description": "uppercase"}'

Ctrl-C stops everything.
""")


def test_whoever_the_provider_of_the_user_knows() -> None:
    said = summary(AUTH_ISSUER="https://id.example.org")
    assert "set TOKEN to one of https://id.example.org\n" in said
    assert '\\\n       -H "Authorization: Bearer $TOKEN" \\\n       -d ' in said


def test_whoever_signs_in_at_the_local_issuer(tmp_path: Path) -> None:
    issuer = Issuer(State(tmp_path), 8082)
    said = summary(issuer, **issuer.environment)
    assert "make token" in said and str(tmp_path / "issuer/client-secret") in said
    assert "$TOKEN" not in said and "-m local token)" in said


def test_without_the_data_service(services: dict[str, str]) -> None:
    services.clear()
    assert "\n  curl -s http://g/health\n\n" in summary()
