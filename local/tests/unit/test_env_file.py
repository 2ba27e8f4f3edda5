"""A variable of `.env` that is almost a setting is told; another program's is not."""

import pytest

from local.env_file import misspelled


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RABBITMQ_HOTS", "RABBITMQ_HOST"),
        ("RPC_TIMEOUT_SECOND", "RPC_TIMEOUT_SECONDS"),
        ("rpc_timeout_second", "RPC_TIMEOUT_SECONDS"),
    ],
)
def test_a_slip_is_told(name: str, meant: str) -> None:
    assert list(misspelled([name])) == [f"nothing reads {name}: did you mean {meant}?"]


@pytest.mark.parametrize(
    "name",
    ["RABBITMQ_HOST", "rpc_timeout_seconds", "RABBITMQ_PASSWORD_FILE", "AWS_REGION"],
)
def test_other_names_are_not(name: str) -> None:
    assert not list(misspelled([name]))
