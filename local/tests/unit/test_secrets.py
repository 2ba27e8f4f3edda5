"""Fresh passwords; no value of the user is lost."""

import errno
import os
from pathlib import Path

import pytest

from local import secrets
from local.env_file import values
from local.registry import registered
from local.servers.postgres import USER

SERVICES = [f"{name.upper()}_RABBITMQ_PASSWORD" for name in registered()]
PASSWORDS = [
    *("RABBITMQ_PASSWORD", "RABBITMQ_MONITORING_PASSWORD", *SERVICES),
    *("REDIS_PASSWORD", "REDIS_KEYS_PASSWORD", "POSTGRES_PASSWORD"),
    "CLUSTER_PASSWORD",
]
# What `make secrets` of the previous release wrote, and a line of the user.
OLD = f"""\
RABBITMQ_PASSWORD=rabbit
POSTGRES_PASSWORD=pg
DATABASE_URL=postgresql+psycopg2://{USER}:pg@postgres:5432/db
CELERY_BROKER_URL=redis://redis:6379/0
CELERY_RESULT_BACKEND=redis://redis:6379/0
MINE=1
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(secrets, "TARGET", tmp_path / ".env")
    return tmp_path / ".env"


def written(target: Path) -> dict[str, str]:
    assert secrets.write() == 0
    assert target.stat().st_mode & 0o777 == 0o600
    return values(target.read_text())


def test_every_password_of_the_example_is_replaced(target: Path) -> None:
    found = written(target)
    made = [found[name] for name in PASSWORDS]
    assert len(set(made)) == len(made) and min(map(len, made)) >= 32
    text = target.read_text()
    assert "=welcome1" not in text and ":welcome1@" not in text
    assert f":{USER}@" not in text
    owner = f"//{USER}:{found['POSTGRES_PASSWORD']}@postgres"
    assert owner in found["MIGRATIONS_DATABASE_URL"]
    assert "//app:" in found["DATABASE_URL"] and owner not in found["DATABASE_URL"]
    for name, password in (
        ("CELERY_BROKER_URL", "REDIS_PASSWORD"),
        ("CELERY_RESULT_BACKEND", "REDIS_PASSWORD"),
        ("IDEMPOTENCY_REDIS_URL", "REDIS_KEYS_PASSWORD"),
    ):
        assert f"//:{found[password]}@redis" in found[name]


def test_a_file_of_the_previous_release_is_completed(target: Path) -> None:
    target.write_text(OLD)
    old, found = values(OLD), written(target)
    for name in ("RABBITMQ_PASSWORD", "POSTGRES_PASSWORD", "MINE"):
        assert found[name] == old[name]
    assert found["MIGRATIONS_DATABASE_URL"] == old["DATABASE_URL"]
    assert "//app:" in found["DATABASE_URL"]
    assert f"//:{found['REDIS_PASSWORD']}@redis:" in found["CELERY_BROKER_URL"]
    assert set(PASSWORDS) <= set(found)


def test_a_second_run_changes_nothing(
    target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(target)
    assert written(target) == first
    assert "left it unchanged" in capsys.readouterr().out


def test_servers_of_the_user_keep_their_urls(target: Path) -> None:
    urls = {
        "DATABASE_URL": "postgresql://u:p@db.example.org/d",
        "CELERY_BROKER_URL": "rediss://u:p@cache.example.org:6379/0",
        "CELERY_RESULT_BACKEND": "redis://cache/1",
    }
    target.write_text("".join(f"{name}={url}\n" for name, url in urls.items()))
    found = written(target)
    assert urls.items() <= found.items()
    assert "MIGRATIONS_DATABASE_URL" not in found


def test_a_full_disk_takes_no_password_away(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.write_text(OLD)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space left"):
        secrets.write()
    assert target.read_text() == OLD


def test_what_a_killed_command_has_left_is_written_anew(target: Path) -> None:
    target.with_name(".env.partial").write_text("half")
    assert written(target)["REDIS_PASSWORD"]
    assert [*target.parent.iterdir()] == [target]


def test_a_variable_that_begins_with_the_name_of_another_stays(target: Path) -> None:
    target.write_text(f"REDIS_PASSWORD_FILE=/a/file\n{OLD}")
    target.chmod(0o600)
    found = written(target)
    assert found["REDIS_PASSWORD_FILE"] == "/a/file" and found["REDIS_PASSWORD"]
