"""Large answers: their pieces, the byte count, and readers that are too slow."""

import asyncio

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware import answers
from app.api.middleware.answers import PIECE
from app.api.middleware.bounds import BoundsMiddleware
from app.core.budget import Budget

BODY = bytes(range(256)) * 1000


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(budget: Budget, send: Send, method: str = "GET") -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(BODY)(scope, receive, send)

    bounded = BoundsMiddleware(app, max_body_bytes=1, max_json_values=1, budget=budget)
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    await bounded({**scope, "method": method}, receive, send)


async def test_pieces_are_counted_until_they_are_sent() -> None:
    budget, sent = Budget(2**20), []

    async def send(message: Message) -> None:
        assert budget.held == len(BODY)
        sent.append(message)

    await ask(budget, send)
    assert budget.held == 0
    bodies = [message["body"] for message in sent[1:]]
    assert b"".join(bodies) == BODY and max(map(len, bodies)) == PIECE
    assert [m["more_body"] for m in sent[1:]] == [True] * (len(bodies) - 1) + [False]


async def test_only_the_last_piece_of_several_bodies_ends_the_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for more in (True, False):
            body = {"type": "http.response.body", "body": BODY, "more_body": more}
            await send(body)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    budget = Budget(2**20)
    bounded = BoundsMiddleware(app, max_body_bytes=1, max_json_values=1, budget=budget)
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    await bounded({**scope, "method": "GET"}, receive, send)
    bodies = sent[1:]
    assert b"".join(each["body"] for each in bodies) == BODY * 2
    assert [each["more_body"] for each in bodies].index(False) == len(bodies) - 1


@pytest.mark.parametrize(("method", "status"), [("GET", 503), ("POST", 200)])
async def test_large_read_only_answers_are_refused(method: str, status: int) -> None:
    budget, sent = Budget(len(BODY)), []
    budget.hold(1)

    async def send(message: Message) -> None:
        sent.append(message)

    await ask(budget, send, method)
    assert [m["status"] for m in sent if "status" in m] == [status]
    assert budget.held == 1


@pytest.mark.budget("answers.PATIENCE")
async def test_a_slow_reader_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 0.01)
    budget, sent = Budget(2**20), []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await asyncio.Event().wait()

    await ask(budget, send)
    assert len(sent) == 3 and budget.held == 0
