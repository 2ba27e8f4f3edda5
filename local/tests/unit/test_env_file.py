"""A variable of `.env` that almost matches a setting is reported; other programs'
variables are not."""

import re

import pytest

from local.apps import ROOT
from local.env_file import misspelled, values
from local.tests.troubleshooting import explanation


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RABBITMQ_HOTS", "RABBITMQ_HOST"),
        ("RPC_TIMEOUT_SECOND", "RPC_TIMEOUT_SECONDS"),
        ("rpc_timeout_second", "RPC_TIMEOUT_SECONDS"),
    ],
)
def test_a_slip_is_told(name: str, meant: str) -> None:
    (said,) = misspelled([name])
    assert said == f"nothing reads {name}: did you mean {meant}?"
    assert "correct the name" in explanation(said)


@pytest.mark.parametrize("password", ["a$b", "a${HOME}b", "$HOME"])
def test_a_value_is_read_as_it_stands(password: str) -> None:
    """`make secrets` copies it to other lines, and must not expand what is there."""
    assert values(f"PASSWORD={password}\n") == {"PASSWORD": password}


@pytest.mark.parametrize("name", ["RPC_RETRIES", "rabbitmq_pool"])
def test_a_setting_of_another_version_is_told(name: str) -> None:
    (said,) = misspelled([name])
    assert name in said and "CHANGELOG.md" in explanation(said)


@pytest.mark.parametrize(
    "name",
    [
        "RABBITMQ_HOST",
        "rpc_timeout_seconds",
        "RABBITMQ_PASSWORD_FILE",
        "AWS_REGION",
        "API_KEY",
        "OTEL_RESOURCE_ATTRIBUTES",
        "DATA_QUEUE_NAME",
        "ENV_FILE",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert not list(misspelled([name]))


def test_a_secret_may_be_in_a_file() -> None:
    example = (ROOT / ".env.example").read_text()
    secrets = re.findall(r"^(?:# )?([A-Z_]+_(?:URL|PASSWORD))=", example, re.MULTILINE)
    assert len(secrets) > 5
    assert not list(misspelled(f"{name}_FILE" for name in secrets))
