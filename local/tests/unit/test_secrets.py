"""Fresh passwords; no file of the user is lost."""

import re
from pathlib import Path

import pytest

from local import secrets


def test_every_password_of_the_example_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / ".env"
    assert secrets.write(target) == 0
    text = target.read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert len(values["RABBITMQ_PASSWORD"]) >= 32
    password = re.search(r"//fastapi:([^@]+)@postgres", values["DATABASE_URL"])
    assert password and len(password[1]) >= 32
    assert "welcome1" not in text and ":fastapi@" not in text
    example = secrets.EXAMPLE.read_text()
    assert text.count("\n") == example.count("\n")
    assert target.stat().st_mode & 0o777 == 0o600


def test_one_password_for_the_database_and_its_clients() -> None:
    text = secrets.fresh(
        "POSTGRES_PASSWORD=a\nDATABASE_URL=x://u:a@h/d\nASYNC_DATABASE_URL=y://u:a@h/d"
    )
    assert len(set(re.findall(r"(?:PASSWORD=|u:)([\w-]+)", text))) == 1
    assert secrets.fresh(text) != text


def test_a_file_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / ".env"
    target.write_text("mine")
    assert secrets.write(target) == 1
    assert target.read_text() == "mine"
    assert "left it unchanged" in capsys.readouterr().err
