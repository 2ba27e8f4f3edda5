"""What is stored of an answer, and when it is sent."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message

from app.core.answer_recorder import AnswerRecorder
from app.core.ids import KeyedWork
from app.core.keys import Answer


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def part(body: bytes, more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


class Client:
    """Notes the order of what the client and the store get."""

    def __init__(self, work: KeyedWork | None = None) -> None:
        self.events: list[Any] = []
        self.stored: list[Answer | None] = []
        self.wait: Callable[[], Any] = lambda: asyncio.sleep(0)
        work = work or KeyedWork("id")
        self.recorder = AnswerRecorder(self.send, work, 10, self.settle)

    async def send(self, message: Message) -> None:
        self.events.append(message.get("body", "start"))

    async def settle(self, answer: Answer | None) -> None:
        self.events.append("store")
        await self.wait()
        self.stored.append(answer)

    async def get(self, *messages: Message) -> Answer | None:
        for message in messages:
            await self.recorder(message)
        (answer,) = self.stored
        return answer


async def test_the_store_works_while_the_answer_travels() -> None:
    client = Client()
    answered = asyncio.Event()
    client.wait = answered.wait
    receiving = asyncio.create_task(client.get(start(), part(b"body")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert client.events == ["store", "start", b"body"]
    assert not receiving.done()
    answered.set()
    assert await receiving


async def test_the_answer_is_stored_though_the_client_has_left() -> None:
    client = Client()

    async def send(_: Message) -> None:
        raise OSError

    client.recorder = AnswerRecorder(send, KeyedWork("id"), 10, client.settle)
    with pytest.raises(OSError):
        await client.get(start(), part(b"body"))
    assert client.stored == [Answer(200, [], b"body")]


async def test_a_long_answer_is_passed_on_in_parts() -> None:
    client = Client()
    parts = [part(b"a" * 10, True), part(b"b", True), part(b"c", True)]
    for message in (start(), *parts):
        await client.recorder(message)
    assert client.events == ["start", b"a" * 10, b"b", b"c"]
    assert await client.get(part(b"")) == Answer(200, [], None)
    assert client.events[4:] == ["store", b""]


async def test_a_message_may_lack_body_and_more() -> None:
    answer = await Client().get(start(204), {"type": "http.response.body"})
    assert answer == Answer(204, [], b"")


@pytest.mark.parametrize(
    ("status", "is_kept"),
    [(199, False), (200, True), (299, True), (300, False), (400, True), (401, False)],
)
async def test_what_is_stored(status: int, is_kept: bool) -> None:
    answer = await Client().get(start(status), part(b""))
    assert (answer is not None) is is_kept


async def test_headers_of_the_content_are_stored() -> None:
    headers = [(b"Content-Type", b"text/\xe9"), (b"ETAG", b"1"), (b"Set-Cookie", b"a")]
    answer = await Client().get(start(200, *headers), part(b""))
    assert answer and answer.headers == [("Content-Type", "text/é"), ("ETAG", "1")]


@pytest.mark.parametrize(("status", "body"), [(201, b"public"), (422, b"own")])
async def test_a_secret_of_a_success_is_not_stored(status: int, body: bytes) -> None:
    client = Client(KeyedWork("id", repeated_body=b"public"))
    answer = await client.get(start(status), part(b"own"))
    assert answer == Answer(status, [], body)
