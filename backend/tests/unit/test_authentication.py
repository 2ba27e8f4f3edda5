"""Where the API looks for a token, and where it does not."""

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.errors import answer, send_answer
from app.api.middleware import authentication
from app.api.middleware.authentication import AuthenticationMiddleware
from app.api.middleware.rate_limits import RefusedTokenMiddleware
from app.core.exceptions import ProviderUnavailable, Unauthenticated
from app.core.principal import ADMIN, Principal
from app.core.rate_limits import RateLimits
from chassis.context import current_principal

TOKEN = "a.b.c"
GOOD = [(b"authorization", b"Bearer " + TOKEN.encode())]


async def ask(path: str = "/api/v1/x", **scope: Any) -> tuple[int | None, list[str]]:
    """The status of the refusal, if there is one; and the tokens that were seen."""
    seen: list[str] = []
    answers: list[Message] = []

    async def verify(token: str) -> Principal:
        seen.append(token)
        if token != TOKEN:
            raise Unauthenticated("It is not valid.", is_token=True)
        return Principal("alice", frozenset({ADMIN}))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not authentication.is_open(scope):
            assert scope["principal"].subject == "alice"
            assert current_principal.get() == "alice"  # whatever she sees

    async def receive() -> Message:
        raise AssertionError("a refused body is not read")

    async def send(message: Message) -> None:
        answers.append(message)

    request: dict[str, Any] = {"type": "http", "method": "GET", "query_string": b""}
    request |= {"path": path, "headers": [], **scope}
    await AuthenticationMiddleware(app, verify=verify)(request, receive, send)
    return (answers[0]["status"] if answers else None), seen


async def test_a_token_is_read_from_the_header() -> None:
    assert await ask(headers=GOOD) == (None, [TOKEN])
    assert (await ask())[0] == 401
    assert (await ask(headers=[(b"authorization", b"Basic YTpi")]))[0] == 401
    assert (await ask(headers=GOOD * 2))[0] == 400
    assert (await ask(headers=[(b"authorization", b"Bearer x.y.z")]))[0] == 401


def test_a_token_may_have_all_the_characters_of_tokens() -> None:
    """Also those that few tokens have. A subprotocol cannot have all of them."""
    token = "aZ09-._~"
    header = (b"authorization", f"Bearer {token}+/==".encode())
    bearer_token = authentication.bearer_token
    assert bearer_token({"headers": [header]}) == f"{token}+/=="
    offered = ["chat", f"bearer.{token}"]
    assert bearer_token({"headers": [], "subprotocols": offered}) == token


@pytest.mark.promise(
    "docs/SECURITY.md",
    "A token in an address would end up in logs, so the API reads none there.",
)
async def test_a_token_is_not_read_from_elsewhere() -> None:
    for name in (b"access_token", b"token", b"authorization"):
        query = name + b"=" + TOKEN.encode()
        assert await ask(query_string=query) == (401, [])
        assert await ask(headers=[(b"cookie", query)]) == (401, [])
        assert await ask(headers=[(b"x-" + name, TOKEN.encode())]) == (401, [])


@pytest.mark.promise(
    "docs/SECURITY.md",
    "`/`, `/health`, `/health/live`, `/health/ready`, and the documentation pages with "
    "their assets.",
)
@pytest.mark.promise(
    "docs/SECURITY.md", "An entry that ends with a slash opens everything below it."
)
async def test_what_is_open_and_nothing_near_it() -> None:
    folders = {path for path in authentication.OPEN if path.endswith("/")} - {"/"}
    assert len(folders) == 1
    for path in authentication.OPEN:
        assert await ask(path) == (None, [])
    for folder in folders:
        assert await ask(f"{folder}some/file.js") == (None, [])
        assert (await ask(folder.rstrip("/")))[0] == 401
    for path in ("/health/", "/health/x", "//", "/x", "/HEALTH", "/api/v1", "/docsx"):
        assert (await ask(path))[0] == 401, path


async def test_a_path_is_open_below_the_prefix_of_a_proxy() -> None:
    assert await ask("/kit/health", root_path="/kit") == (None, [])
    assert (await ask("/kit/api/v1/x", root_path="/kit"))[0] == 401


async def test_a_websocket_is_refused_by_a_server_that_sends_no_answer_for_it() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    receive: Any = None
    refusal = answer(Unauthenticated("Send a token."))
    await send_answer(refusal, {"type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_no_caller_passes_while_tokens_cannot_be_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(scope: Scope) -> str:
        raise ProviderUnavailable("It is away.")

    monkeypatch.setattr(authentication, "bearer_token", fail)
    assert (await ask(headers=GOOD))[0] == 503


async def test_mistakes_on_open_paths_are_no_guesses_of_tokens() -> None:
    """A monitor that asks wrongly is told so, for ever."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 405, "headers": []})

    def limits() -> RateLimits:
        raise AssertionError("nothing is counted")

    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    async def receive() -> Message:
        raise AssertionError("a refused body is not read")

    scope = {"type": "http", "path": "/health", "method": "POST", "headers": []}
    await RefusedTokenMiddleware(app, limits=limits)(scope, receive, send)
    assert [each["status"] for each in answers] == [405]
