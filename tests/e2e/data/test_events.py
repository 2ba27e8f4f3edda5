"""Events through the gateway: lists, streams, WebSocket, browsers."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from httpx2 import ReadError, RemoteProtocolError
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from local import apps
from local.apps import App
from local.ports import free_port
from local.stack import Stack
from local.state import State
from tests.e2e.browser import Browser
from tests.e2e.client import PROCESS, PROCESS_ASYNC, Api, wait_for
from tests.e2e.guarded import Guarded
from tests.e2e.streams import EVENTS, STREAM, Follower, event_source

TASKS = 30
FOLLOWERS = 50
# Events of a megabyte each.
BIG = 40


@pytest.fixture
def second(state: State, stack: Stack) -> Iterator[App]:
    """Another API process on the same servers."""
    app = apps.api("second-api", state, stack.env, free_port())
    app.start()
    yield app
    app.stop()


def accept(api: Api) -> str:
    answer = api.post(PROCESS_ASYNC, "x", "uppercase")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def websocket(url: str, query: str = "", **more: Any) -> ClientConnection:
    address = url.replace("http", "ws", 1) + f"{EVENTS}/ws{query}"
    opened: ClientConnection = connect(address, open_timeout=20, **more)
    return opened


def test_a_stream_shows_the_outcome_of_a_task(api: Api, url: str) -> None:
    with event_source(api) as source:
        task_id = accept(api)
        event = source.until(task_id)
    assert event["data"]["outcome"]["output"] == "X"
    with event_source(api, task_id=task_id) as source:
        types = [event["type"] for event in source]  # until its end
    assert types == ["record.accepted", "record.succeeded"]
    headers = {"Last-Event-ID": source.last_id}
    over = api.http.get(STREAM, params={"task_id": task_id}, headers=headers)
    assert over.status_code == 204
    listed = api.get_json(EVENTS, task_id=task_id)
    assert [event["type"] for event in listed] == types
    with websocket(url, f"?task_id={task_id}") as ws:
        messages = [json.loads(message) for message in ws]
    assert messages == listed and ws.close_code == 1000


def test_the_list_goes_on_by_its_links(api: Api) -> None:
    begin = api.get_json(EVENTS, limit=1)
    added = [api.process(n)["task_id"] for n in range(5)]
    after = int(begin[0]["sequence"]) - 1 if begin else 0
    pages = api.pages(EVENTS, limit=2, after=after)
    seen = [event["subject"] for page in pages for event in page]
    assert [each for each in seen if each in added] == added


def test_clients_that_return_to_any_process_miss_nothing(
    api: Api, second: App, stack: Stack
) -> None:
    """Many of them, at once, while events happen."""
    with ExitStack() as opened:
        direct = Api(second.address)
        opened.callback(direct.close)
        ways = [Api(stack.url) for _ in range(3)]
        for way in ways:
            opened.callback(way.close)
        with event_source(api) as source:
            first = source.until(accept(api), "record.accepted")["sequence"]
        tasks = [accept(api) for _ in range(TASKS // 2)]
        more = [accept(api) for _ in range(TASKS - len(tasks))]
        wanted = {*tasks, *more}
        followers = [
            Follower([ways[n % 3], direct][:: 1 - 2 * (n % 2)], wanted, first)
            for n in range(FOLLOWERS)
        ]
        for each in followers:
            each.start()
        for each in followers:
            each.join(60)
        assert not [each for each in followers if each.is_alive()]
    assert not [each.faults for each in followers if each.faults]
    parameters = {"after": first, "limit": 100}
    log = [e for page in api.pages(EVENTS, **parameters) for e in page]
    sequences = [int(event["sequence"]) for event in log]
    for each in followers:
        assert each.seen == sequences[: len(each.seen)]


def test_clients_of_a_process_that_stops_are_told(api: Api, second: App) -> None:
    direct = Api(second.address)
    with event_source(direct) as source, websocket(second.address) as ws:
        task_id = accept(api)
        source.until(task_id)
        began = time.monotonic()
        os.kill(second.pid, signal.SIGTERM)
        closed = list(source)[-1]
        assert closed["code"] == "shutting_down" and 0 < source.retry <= 3000
        with pytest.raises(ConnectionClosed):
            while True:
                ws.recv(timeout=10)
        assert ws.close_code == 1012
        wait_for(lambda: not second.alive, "the end of the process", 10)
        assert time.monotonic() - began < 10
    direct.close()
    with event_source(api, source.last_id) as source:
        task_id = accept(api)
        source.until(task_id)


def test_a_client_that_reads_nothing_is_dropped_and_misses_nothing(api: Api) -> None:
    """Both connections and nginx also hold some megabytes."""
    seen: list[dict[str, Any]] = []
    with event_source(api) as source:
        source.until(accept(api))
        answers = [api.post(PROCESS, "x" * 500_000) for _ in range(BIG)]
        # The API waits for a reader no longer. A reset loses what was not yet read.
        with suppress(RemoteProtocolError, ReadError):
            seen += iter(source)
    task_ids = [answer.headers["Location"].rpartition("/")[2] for answer in answers]
    assert task_ids[-1] not in {event.get("subject") for event in seen}
    if seen and seen[-1]["type"] == "stream.closed":
        assert seen[-1]["code"] == "slow_client" and source.retry >= 1000
    with event_source(api, source.last_id) as returned:
        while not seen or seen[-1].get("subject") != task_ids[-1]:
            seen.append(next(iter(returned)))
    subjects = [event.get("subject") for event in seen]
    assert [each for each in subjects if each in task_ids] == task_ids


def test_a_reload_of_the_gateway_ends_no_stream(api: Api, stack: Stack) -> None:
    if stack.nginx is None:
        pytest.skip("there is no nginx")
    with event_source(api) as source, websocket(stack.url) as ws:
        stack.nginx.reload()
        task_id = accept(api)
        source.until(task_id)
        assert json.loads(ws.recv(timeout=20))["subject"] == task_id


def test_only_the_websocket_of_events_is_passed_on(stack: Stack) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(stack.url, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        connect(stack.url.replace("http", "ws", 1) + "/health")
    assert refused.value.response.status_code == 200  # nginx asks for no upgrade


def test_owners_stream_their_own_events(
    alice: Api, bob: Api, admin: Api, guarded: Guarded
) -> None:
    protocols = ["cloudevents.json", f"bearer.{guarded.token('bob')}"]
    with (
        event_source(bob) as his,
        event_source(admin) as all_of_them,
        websocket(guarded.url, subprotocols=protocols) as ws,
    ):
        hers = alice.process("hers")["task_id"]
        own = bob.process("his")["task_id"]
        assert next(iter(his))["subject"] == own
        assert json.loads(ws.recv(timeout=20))["subject"] == own
        all_of_them.until(hers)
        all_of_them.until(own)
    assert bob.http.get(STREAM, params={"task_id": hers}).status_code == 404
    assert bob.get_json(EVENTS, task_id=hers) == []


PAGE = """(() => {
    document.body.innerHTML = '<p id="sse"></p><p id="ws"></p>';
    const show = (id, event) => {
        const found = JSON.parse(event.data);
        if (found.type === 'record.succeeded')
            document.getElementById(id).textContent = found.data.outcome.output;
    };
    window.source = new EventSource('%(path)s/stream');
    source.addEventListener('record.succeeded', event => show('sse', event));
    const url = location.origin.replace('http', 'ws') + '%(path)s/ws';
    window.ws = new WebSocket(url, ['cloudevents.json']);
    ws.onmessage = event => show('ws', event);
    return new Promise(resolve => {
        const look = () => source.readyState === 1 && ws.readyState === 1
            ? resolve(true) : setTimeout(look, 20);
        look();
    });
})()"""


def test_a_page_shows_the_outcome_of_a_task_live(
    browser: Browser, site: str, api: Api
) -> None:
    browser.call("Page.navigate", url=f"{site}/api/v1/docs")
    wait_for(
        lambda: browser.evaluate(
            "document.readyState === 'complete' && !!document.body"
        ),
        "the page",
    )
    browser.evaluate(PAGE % {"path": EVENTS})
    accept(api)
    for name in ("sse", "ws"):
        browser.wait(f"document.getElementById('{name}').textContent === 'X'")
    browser.evaluate("source.close(); ws.close()")
