"""A private RabbitMQ node, run by the current user.

All of it (data, cookie, node name, port mapper) is in its own folder and on its own
ports, so it never meets another node of the machine. RabbitMQ's shell scripts fail on
spaces in paths, so it runs in its folder with relative paths.
"""

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import amqp

from chassis.amqp_url import parse_hosts
from local import ports
from local.process import Child, ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.state import State

USER, PASSWORD = "guest", "welcome1"

# Debian's /usr/sbin/rabbitmq-server switches the user; the script it wraps does not.
_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/opt/rabbitmq/sbin",
)

_CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
management.tcp.ip = {host}
management.tcp.port = {management}
default_user = {user}
default_pass = {password}
log.console = true
log.file = false
"""

# Erlang's own connections take IPv4 unless told otherwise.
_HAS_IPV4 = ports.LOOPBACK == "127.0.0.1"
_DISTRIBUTION = "" if _HAS_IPV4 else "-proto_dist inet6_tcp "
_NAMES = """\
{inet6, true}.
{lookup, [file, native]}.
{host, {0,0,0,0,0,0,0,1}, ["localhost"]}.
"""
_INTERFACE = "{127,0,0,1}" if _HAS_IPV4 else "{0,0,0,0,0,0,0,1}"

_ERLANG_ARGUMENTS = (
    f"-noinput {_DISTRIBUTION}"
    f"-kernel inet_dist_use_interface {_INTERFACE} "
    # The management plugin takes 5 s to stop after all data is on disk.
    "-kernel shutdown_timeout 1500 "
    # No busy waiting on a machine with few cores.
    "+sbwt none +sbwtdcpu none +sbwtdio none"
)

# The management plugin tells of a connection or a depth up to 5 s late. No option but
# these shortens that: what counts is also the finest interval of the plugin's history.
_FRESH_FIGURES = (
    " -rabbit collect_statistics_interval 500 "
    "-rabbitmq_management_agent sample_retention_policies "
    "[{global,[{605,1}]},{basic,[{605,1}]},{detailed,[{10,1}]}]"
)


def find_script() -> str | None:
    """The machine's `rabbitmq-server` script, or None."""
    for place in _PLACES:
        if (script := Path(place) / "rabbitmq-server").exists():
            return str(script)
    return shutil.which("rabbitmq-server")


class Broker:
    """How to reach a RabbitMQ, whoever runs it."""

    host: str
    #: Of a cluster, all of its nodes.
    hosts: str
    port: int
    user: str
    password: str
    vhost: str
    management_url: str

    def url(self, vhost: str | None = None) -> str:
        """An AMQP URL with credentials."""
        name = quote(self.vhost if vhost is None else vhost, safe="")
        return f"amqp://{self.user}:{self.password}@{self.endpoint}/{name}"

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return ports.at(self.port, self.host)

    def connect(self, vhost: str | None = None) -> amqp.Connection:
        """A connection with short timeouts, for probes and tests; use it in a `with`
        block."""
        return amqp.Connection(
            self.endpoint,
            userid=self.user,
            password=self.password,
            virtual_host=self.vhost if vhost is None else vhost,
            connect_timeout=2,
            read_timeout=2,
        )

    @property
    def address(self) -> str:
        """Its management pages, and who may see them."""
        return f"{self.management_url} ({self.user} / {self.password})"

    def version(self) -> str:
        """What the broker says of itself."""
        with self.connect() as connection:
            properties = getattr(connection, "server_properties", {})
            return str(properties.get("version", ""))

    def answers(self) -> bool:
        """Whether an AMQP handshake with the credentials succeeds."""
        try:
            with self.connect():
                return True
        except (OSError, amqp.AMQPError):
            return False

    def consumers(self, queue: str, vhost: str | None = None) -> int:
        """How many consumers a queue has; 0 without the queue or the broker."""
        try:
            with self.connect(vhost) as connection:
                answer = connection.channel().queue_declare(queue, passive=True)
                return answer[2] if answer else 0
        except (OSError, amqp.AMQPError):
            return 0


class RabbitMQ(Broker, Server):
    """The node: AMQP on `port`, management on `management_port`.

    With `has_fresh_figures` its management API is a second late and not five.
    """

    name = "rabbitmq"

    def __init__(
        self,
        state: State,
        port: int,
        management_port: int,
        *,
        has_fresh_figures: bool = False,
    ) -> None:
        super().__init__(state, port)
        self._has_fresh_figures = has_fresh_figures
        self.management_port = management_port
        self.user, self.password, self.vhost = USER, PASSWORD, "/"
        self.host = self.hosts = ports.LOOPBACK
        self.management_url = f"http://{ports.at(management_port)}"
        self._mapper = Child("rabbitmq-epmd", state)
        self._mapper_port = ports.free_port()
        self._distribution_port = ports.free_port()

    def launch(self) -> None:
        self._start_mapper()
        super().launch()

    def command(self) -> Command:
        script = find_script()
        if script is None:
            raise ProcessFailed("there is no rabbitmq-server on this machine")
        folder = self.folder
        configuration = _CONFIGURATION.format(
            host=self.host,
            port=self.port,
            management=self.management_port,
            user=self.user,
            password=self.password,
        )
        (folder / "rabbitmq.conf").write_text(configuration)
        (folder / "names").write_text("" if _HAS_IPV4 else _NAMES)
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        environment = plain_environment(
            **self._node_environment(),
            RABBITMQ_ALLOW_INPUT="1",  # the script execs the node
            RABBITMQ_DIST_PORT=str(self._distribution_port),
            RABBITMQ_CONFIG_FILE="rabbitmq.conf",
            RABBITMQ_ADVANCED_CONFIG_FILE="./none",
            RABBITMQ_ENABLED_PLUGINS_FILE="enabled_plugins",
            RABBITMQ_MNESIA_BASE="mnesia",
            RABBITMQ_LOG_BASE=".",
            RABBITMQ_LOGS="-",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=_ERLANG_ARGUMENTS
            + (_FRESH_FIGURES if self._has_fresh_figures else ""),
        )
        return Command([script], folder, environment)

    def ready(self) -> bool:
        return self.answers()

    def stop(self) -> None:
        super().stop()
        self._mapper.stop(timeout=2)

    def create_vhost(self, name: str) -> str:
        """Create a virtual host with all permissions for the user; returns its name."""
        self.call("PUT", f"vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        path = f"permissions/{quote(name, safe='')}/{quote(self.user, safe='')}"
        self.call("PUT", path, everything)
        return name

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all its queues; does nothing if it is gone."""
        try:
            self.call("DELETE", f"vhosts/{quote(name, safe='')}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def call(self, method: str, path: str, body: object = None) -> None:
        """Change something through the management API."""
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode())
        request = urllib.request.Request(
            f"{self.management_url}/api/{path}",
            method=method,
            data=json.dumps(body or {}).encode(),
            headers={
                "Authorization": f"Basic {credentials.decode()}",
                "Content-Type": "application/json",
            },
        )
        ports.DIRECT.open(request, timeout=10).close()

    def set_alarm(self, *, is_full: bool) -> None:
        """Make the node believe that its disk is full, or not; when full, it accepts no
        messages."""
        limit = "{resource_limit, disk, node()}"
        call = f"set_alarm({{{limit}, []}})" if is_full else f"clear_alarm({limit})"
        self.control("eval", f"rabbit_alarm:{call}.")

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl`."""
        script = Path(find_script() or "").with_name("rabbitmqctl")
        subprocess.run(
            [script, *arguments],
            cwd=self.folder,
            env=plain_environment(**self._node_environment()),
            check=True,
            capture_output=True,
        )

    def _node_environment(self) -> dict[str, str]:
        return {
            **self._mapper_environment(),
            "HOME": str(self.folder),  # the cookie's folder
            "RABBITMQ_NODENAME": "kit@localhost",
            "RABBITMQ_CTL_ERL_ARGS": _DISTRIBUTION,
            "ERL_INETRC": str(self.folder / "names"),  # how Erlang looks names up
            "RABBITMQ_CONF_ENV_FILE": "./none",  # ignore the machine's configuration
        }

    def _mapper_environment(self) -> dict[str, str]:
        """Where the node finds its port mapper. Without `epmd` it starts its own."""
        return {
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
        }

    def _start_mapper(self) -> None:
        """Run `epmd` as our child: one started by Erlang would become a daemon."""
        binary = shutil.which("epmd")
        if binary is None or self._mapper.alive:
            return
        environment = plain_environment(**self._mapper_environment())
        self._mapper.start([binary], cwd=self.folder, env=environment)
        self._mapper.wait_until(lambda: ports.accepts(self._mapper_port), 10, "listen")


class ExternalRabbitMQ(Broker):
    """The RabbitMQ of `RABBITMQ_HOST`: used, never started or stopped.

    Of several nodes, `host` is the first; processes get `hosts`, all of them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        get = environment.get
        self.hosts = environment["RABBITMQ_HOST"]
        port = int(get("RABBITMQ_PORT", "5672"))
        self.host, self.port = parse_hosts(self.hosts, port)[0]
        self.user = get("RABBITMQ_USER", USER)
        self.password = get("RABBITMQ_PASSWORD", PASSWORD)
        self.vhost = get("RABBITMQ_VHOST", "/")
        self.management_url = get(
            "RABBITMQ_MANAGEMENT_URL", f"http://{ports.at(15672, self.host)}"
        )

    def require(self) -> None:
        """Raises ProcessFailed when it lets nobody in: retries would hide that."""
        try:
            with self.connect():
                return
        except (OSError, amqp.AMQPError) as error:
            raise ProcessFailed(
                f"cannot use the RabbitMQ at {self.endpoint}: {error}\n"
                "Check RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASSWORD "
                "and RABBITMQ_VHOST."
            ) from error
