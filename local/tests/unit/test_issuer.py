"""Parts of the local issuer that need no process."""

from pathlib import Path

import pytest

from local.issuer import codes
from local.issuer.clients import PERSON, Clients, is_callback, kept_secret
from local.issuer.codes import LIFETIME, Codes, Grant
from local.issuer.keys import KEY_FILE, SigningKey
from local.issuer.parameters import Refused, parse
from local.issuer.tokens import AUDIENCE
from local.servers.issuer import Issuer
from local.state import State

GRANT = Grant(PERSON, "http://127.0.0.1/callback", "c" * 43, "alice", "a", None)


class Clock:
    """Stands until somebody turns it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_code_can_be_taken_once_and_not_too_late() -> None:
    clock = Clock()
    waiting = Codes(clock)
    code = waiting.create(GRANT)
    assert waiting.take(code) == GRANT
    assert waiting.take(code) is None
    in_time, late = waiting.create(GRANT), waiting.create(GRANT)
    clock.now += LIFETIME - 0.1
    assert waiting.take(in_time) == GRANT
    clock.now += 0.1
    assert waiting.take(late) is None


def test_only_so_many_codes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "MOST", 2)
    waiting = Codes()
    oldest, *rest = [waiting.create(GRANT) for _ in range(3)]
    assert waiting.take(oldest) is None
    assert [waiting.take(code) for code in rest] == [GRANT, GRANT]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_program_of_this_machine_chooses_its_port(host: str) -> None:
    assert is_callback(f"http://{host}:5173/callback")
    assert is_callback(f"http://{host}/callback")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://127.0.0.1/callback",
        "http://127.0.0.1:5173/callback/",
        "http://127.0.0.1:5173/callback?a=b",
        "http://127.0.0.1:5173/callback#a",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:x/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:5173/elsewhere",
        "http://127.0.0.1:5173@evil.example/callback",
        "http://evil.example:5173/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://localhost@evil.example/callback",
        "http://evil@127.0.0.1/callback",
        "http://127.0.0.1:5173\\@evil.example/callback",
        "http://127.0.0.1:5173/callback\r\nX: y",
    ],
)
def test_codes_leave_this_machine_to_nobody(uri: str) -> None:
    assert not Clients(frozenset(), "s").may_return_to(PERSON, uri)


def test_key_and_secret_stay_and_are_private(tmp_path: Path) -> None:
    key, secret = SigningKey.kept(tmp_path), kept_secret(tmp_path)
    assert SigningKey.kept(tmp_path).public == key.public
    assert kept_secret(tmp_path) == secret and len(secret) > 40
    assert not {"d", "p", "q"} & set(key.public)
    assert (tmp_path / KEY_FILE).is_file()
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    ["a=1&a=1", "&".join(f"a{n}=1" for n in range(51)), "a=%ff", "a=" + "b" * 8192],
)
def test_parameters_are_bounded_and_unambiguous(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert caught.value.code == "invalid_request"


def test_a_parameter_without_a_value_counts_as_absent() -> None:
    assert parse("a=&b=1&c") == {"b": "1"}


def test_authentication_is_on_whatever_else_says(tmp_path: Path) -> None:
    """`make run ARGS=--auth`, with a .env that turns it off."""
    issuer = Issuer(State(tmp_path), 7)
    told = {"AUTH_DISABLED": "true", "AUTH_ISSUER": "", **issuer.environment}
    assert told["AUTH_DISABLED"] == "false"
    assert told["AUTH_ISSUER"] == issuer.url == "http://127.0.0.1:7"
    assert (told["AUTH_AUDIENCE"], told["AUTH_CLIENT_ID"]) == (AUDIENCE, PERSON)
