"""Kinds of Redis: with an ACL user, on a socket, with TLS, behind Sentinels."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import redis
import yaml

from local.ports import free_port
from local.servers.base import Command
from local.servers.redis import Redis
from local.state import State

USER, PASSWORD = "shop", "p@s/s:w#rd"
LOGIN = "shop:p%40s%2Fs%3Aw%23rd"
MASTER = "main"


def rules(service: str) -> list[str]:
    """What the user of a container's Redis may do."""
    text = (Path(__file__).parents[3] / "docker-compose.yml").read_text()
    command: list[str] = yaml.safe_load(text)["services"][service]["command"]
    return command[command.index("--user") + 4 :]


class OwnRedis(Redis):
    """One for a test to break; knows USER, and has a socket."""

    def __init__(self, state: State, name: str, *options: str) -> None:
        self.name = name
        super().__init__(state, free_port())
        user = ("--user", USER, "on", f">{PASSWORD}", *rules("redis"))
        self.options += (*user, "--unixsocket", str(self.socket), *options)

    @property
    def socket(self) -> Path:
        """The path of its socket."""
        return self.folder / "redis.sock"


class Sentinel(Redis):
    """Watches a Redis, and makes its replica the primary when that is lost."""

    name = "sentinel"

    def __init__(self, state: State, primary: Redis) -> None:
        super().__init__(state, free_port())
        self.primary = primary

    def command(self) -> Command:
        plain = super().command()
        config = self.folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\nrequirepass {MASTER}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {MASTER} 500\n"
            f"sentinel failover-timeout {MASTER} 3000\n"
        )
        return Command([plain.argv[0], str(config), "--sentinel"], plain.cwd, plain.env)

    def ready(self) -> bool:
        client = redis.Redis(port=self.port, password=MASTER, socket_timeout=2)
        try:
            return bool(client.sentinel_slaves(MASTER))
        except redis.RedisError:
            return False
        finally:
            client.close()


class Forwarder:
    """Stands for a DNS name or a load balancer: its target may change."""

    def __init__(self, target: Redis, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.port = 0
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []
        self._served: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Forwarder"]:
        """Serve on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()  # a client of TLS would be waited for
            # One that has only just come has no writer in the list yet.
            for task in self._served:
                task.cancel()
            await asyncio.gather(*self._served, return_exceptions=True)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if task := asyncio.current_task():
            self._served.add(task)
        with suppress(asyncio.CancelledError):  # Python 3.11 would log it
            near = await asyncio.open_connection("127.0.0.1", self.target.port)
            self._writers += near[1], writer
            await asyncio.gather(_copy(reader, near[1]), _copy(near[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


def make_certificate(folder: Path) -> Path:
    """A self-signed certificate for `localhost` with its key, in one file."""
    openssl = shutil.which("openssl")
    assert openssl, "the openssl command is missing"
    command = f"{openssl} req -x509 -newkey ec -nodes -days 2 -subj /CN=localhost"
    command += " -pkeyopt ec_paramgen_curve:prime256v1"  # made in no time
    command += " -addext subjectAltName=DNS:localhost -keyout - -out -"
    made = subprocess.run(command.split(), capture_output=True, check=True)
    file = folder / "tls.pem"
    file.write_bytes(made.stdout)
    return file
