"""From the last release to this tree under load, and back: process by process, in both
orders, with the migrations in between; then a migration of the next release, which
contracts. No request fails, and no work is lost."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psutil
import pytest

from local import apps
from local.apps import ROOT, App
from local.ports import free_port
from local.servers.nginx import Nginx
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, migrate, start_all, stop_all
from local.state import State
from tests.e2e.client import PROCESS, PROCESS_ASYNC, RECORDS, Api, wait_for
from tests.e2e.last_release import Release, last_release
from tests.e2e.next_release import NextRelease
from tests.e2e.threads import Threads

pytestmark = [pytest.mark.upgrade, pytest.mark.timeout(1800)]

QUEUE = "data_queue"
WAITED = 20  # requests that succeed after each step, with whatever runs then
SENDERS = 3


class Users(Threads):
    """Send work of both kinds, and read, until the end; nothing is sent twice."""

    def __init__(self, url: str) -> None:
        super().__init__()
        # Each request has a connection of its own: nginx closes idle ones as it
        # reloads.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._http = httpx2.Client(base_url=url, timeout=60, limits=limits)
        self._numbers = itertools.count()
        self.failures: list[str] = []
        self.succeeded = 0
        self.stored: dict[str, str] = {}  # payload by task id
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def _run(self) -> None:
        while not self._stopped.wait(0.05):
            for path in (PROCESS, PROCESS_ASYNC):
                payload = f"upgraded-{next(self._numbers)}"
                body = {"payload": payload, "description": "reverse"}
                answer = self._send("POST", path, json=body)
                if answer is not None:
                    task_id = answer.headers["Location"].rpartition("/")[2]
                    self.stored[task_id] = payload
                    self._send("GET", f"{RECORDS}/{task_id}")

    def _send(self, method: str, path: str, **body: object) -> httpx2.Response | None:
        try:
            answer = self._http.request(method, path, **body)  # type: ignore[arg-type]
        except httpx2.HTTPError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        if answer.is_success:
            self.succeeded += 1
            return answer
        self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return None

    def go_on(self) -> None:
        """Wait until more requests have succeeded; none may have failed."""
        enough = self.succeeded + WAITED
        wait_for(lambda: self.succeeded >= enough or self.failures, "requests", 120)
        assert self.failures == []


class Rolled:
    """The system, of which each part is of the last release or of this tree."""

    def __init__(self, state: State, old: Release) -> None:
        self.state, self.old = state, old
        self.postgres = PostgreSQL(state, free_port())
        self.redis = Redis(state, free_port())
        self.rabbitmq = RabbitMQ(state, free_port(), free_port())
        servers = Servers(
            self.postgres, self.redis, KeysRedis(state, free_port()), self.rabbitmq
        )
        self.servers = servers.own
        self.new_env = servers.environment()
        # The last release had no role of its own for the processes.
        owner = self.new_env["MIGRATIONS_DATABASE_URL"]
        asynchronous = owner.replace("+psycopg2", "+asyncpg")
        self.old_env = {
            **{k: v for k, v in self.new_env.items() if not k.startswith("MIGR")},
            "DATABASE_URL": owner,
            "ASYNC_DATABASE_URL": asynchronous,
        }
        self.running: dict[str, list[App]] = {}
        self.nginx = Nginx(state, free_port(), [])
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """The whole system of the last release."""
        start_all(self.servers)
        self.old.alembic(self.old_env, "upgrade", "head")
        for part in ("service", "worker", "api"):
            self.roll(part, is_new=False)
        self.nginx.start()

    def stop(self) -> None:
        self.nginx.stop()
        for part in ("api", "relay", "worker", "service"):
            stop_all(self.running.get(part, []))
        stop_all(self.servers)

    def roll(self, part: str, *, is_new: bool) -> None:
        """Start new processes of a part; then stop those that did its work before."""
        before, after = self.running.get(part, []), self._create(part, is_new=is_new)
        self.running[part] = before + after  # so that `stop` finds them
        start_all(after)
        if part == "api":
            self.nginx.api_ports = [app.port for app in after]
            if self.nginx.alive:
                self.nginx.reload()
                wait_for(lambda: not self._leaving(), "nginx has left the old APIs")
        for app in before:
            app.stop()
            assert app.child.returncode in (0, -15), app.child.log.read_text()
        self.running[part] = after

    def _leaving(self) -> list[psutil.Process]:
        """The workers of nginx that still have its old configuration."""
        workers = psutil.Process(self.nginx.pid).children()
        return [each for each in workers if "shutting down" in " ".join(each.cmdline())]

    def _create(self, part: str, *, is_new: bool) -> list[App]:
        env = self.new_env if is_new else self.old_env
        number = next(self._numbers)
        if part == "api":
            names = (f"api-{number}-{each}" for each in (1, 2))
            found = [apps.api(name, self.state, env, free_port()) for name in names]
        elif part == "worker":
            name = f"worker-{number}"
            log = self.state.log(name)
            worker = apps.worker(
                self.state, env, lambda: " ready." in log.read_text(), name=name
            )
            found = [worker, apps.beat(self.state, env, name=f"beat-{number}")]
        elif part == "relay":
            found = [apps.event_relay(f"relay-{number}", self.state, env)]
        else:
            own = {**env, "QUEUE_NAME": QUEUE, "SERVICE_NAME": "data"}
            enough = self._consumers() + 2 if self.running else 2
            found = [
                App(
                    f"service-{number}-{each}",
                    self.state,
                    ["main.py"],
                    cwd=ROOT / "services/dataservice",
                    env=own,
                    probe=lambda: self._consumers() >= enough,
                )
                for each in (1, 2)
            ]
        return found if is_new else [self.old.of(app) for app in found]

    def _consumers(self) -> int:
        return self.rabbitmq.consumers(QUEUE)


@pytest.fixture
def rolled(tmp_path: Path) -> Iterator[Rolled]:
    old = last_release()
    if old is None:
        pytest.fail("this clone has neither a tag nor a commit of the last release")
    state = State(tmp_path / "state")
    state.acquire()
    system = Rolled(state, old)
    try:
        system.start()
        yield system
    finally:
        system.stop()
        state.release()


SERVERS_FIRST, API_FIRST = ("service", "worker", "api"), ("api", "worker", "service")


def test_no_request_fails_from_release_to_release(
    rolled: Rolled, tmp_path: Path
) -> None:
    following = NextRelease(tmp_path / "next")
    assert following.faults == [], "`make check` would accept it"
    with Users(rolled.nginx.url) as users:
        users.go_on()
        migrate(rolled.new_env)
        users.go_on()
        for order, back in (
            (SERVERS_FIRST, API_FIRST),
            (API_FIRST, SERVERS_FIRST),
        ):
            for part in order:
                rolled.roll(part, is_new=True)
                users.go_on()
            for part in back:
                rolled.roll(part, is_new=False)
                users.go_on()
        for part in (*SERVERS_FIRST, "relay"):
            rolled.roll(part, is_new=True)
            users.go_on()
        for words in (("upgrade", "head"), ("downgrade", "-1"), ("upgrade", "head")):
            following.alembic(rolled.new_env, *words)
            users.go_on()
    assert users.failures == []
    with closing(Api(rolled.nginx.url)) as api:
        for page in api.pages(RECORDS, limit=100, task_status="Processing"):
            for row in page:
                api.wait_ended(row["task_id"])
        rows = [row for page in api.pages(RECORDS, limit=100) for row in page]
    assert {row["task_id"]: row["payload"] for row in rows} == users.stored
    for row in rows:
        assert row["task_status"] == "Success", row
        assert row["outcome"]["output"] == row["payload"][::-1]
    assert len(rows) == len(users.stored), "nothing is stored twice"
