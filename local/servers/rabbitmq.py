"""A private RabbitMQ node, run by the current user.

All of it (data, cookie, node name, port mapper) is in its own folder and on its own
ports, so it never meets another node of the machine. RabbitMQ's shell scripts fail on
spaces in paths, so it runs in its folder with relative paths.
"""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

from local import ports
from local.process import Child, ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.servers.broker import PASSWORD, USER, Broker
from local.state import State
from local.tls import open_url, scheme

# Debian's /usr/sbin/rabbitmq-server switches the user; the script it wraps does not.
_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/opt/homebrew/sbin",
    "/usr/local/sbin",
    "/opt/rabbitmq/sbin",
)

_PLAIN = """\
listeners.tcp.1 = {host}:{port}
management.tcp.ip = {host}
management.tcp.port = {management}
"""
# Nothing asks clients for certificates: they log in with a password.
_TLS = """\
listeners.tcp = none
listeners.ssl.1 = {host}:{port}
ssl_options.cacertfile = ca.crt
ssl_options.certfile = server.crt
ssl_options.keyfile = server.key
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
management.ssl.ip = {host}
management.ssl.port = {management}
management.ssl.cacertfile = ca.crt
management.ssl.certfile = server.crt
management.ssl.keyfile = server.key
"""
_CONFIGURATION = """\
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
    # Little busy waiting on a machine with few cores. With none, threads fall asleep so
    # often that the start takes twice as long.
    "+sbwt very_short +sbwtdcpu very_short +sbwtdio very_short"
)

# The management plugin tells of a connection or a depth up to 5 s late. No option but
# these shortens that: what counts is also the finest interval of the plugin's history.
_FRESH_FIGURES = (
    " -rabbit collect_statistics_interval 500 "
    "-rabbitmq_management_agent sample_retention_policies "
    "[{global,[{605,1}]},{basic,[{605,1}]},{detailed,[{10,1}]}]"
)


def find_script() -> str | None:
    """The `rabbitmq-server` that RABBITMQ_SERVER names, else the machine's, or None."""
    if named := os.environ.get("RABBITMQ_SERVER"):
        if not Path(named).exists():
            raise ProcessFailed(f"RABBITMQ_SERVER: there is no {named}")
        return named
    for place in _PLACES:
        if (script := Path(place) / "rabbitmq-server").exists():
            return str(script)
    return shutil.which("rabbitmq-server")


def node_variables(distribution_port: int, erlang: str) -> dict[str, str]:
    """Variables of a node that keeps everything in its working folder; ``erlang`` are
    options of its virtual machine."""
    return {
        "RABBITMQ_ALLOW_INPUT": "1",  # the script execs the node
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": "./none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "enabled_plugins",
        "RABBITMQ_MNESIA_BASE": "mnesia",
        "RABBITMQ_LOG_BASE": ".",
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang,
    }


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
        self.host = ports.LOOPBACK
        if state.tls:
            self.ca = state.tls.ca
            self.tls = {"ca_certs": str(self.ca), "server_hostname": self.host}
        self.management_url = f"{scheme(state.tls)}://{ports.at(management_port)}"
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
        if tls := self.state.tls:
            tls.place(self.name, folder)
        configuration = ((_TLS if tls else _PLAIN) + _CONFIGURATION).format(
            host=self.host,
            port=self.port,
            management=self.management_port,
            user=self.user,
            password=self.password,
        )
        (folder / "rabbitmq.conf").write_text(configuration)
        (folder / "names").write_text("" if _HAS_IPV4 else _NAMES)
        (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        erlang = _ERLANG_ARGUMENTS
        erlang += _FRESH_FIGURES if self._has_fresh_figures else ""
        environment = plain_environment(
            **self._node_environment(),
            **node_variables(self._distribution_port, erlang),
        )
        return Command([script], folder, environment)

    def ready(self) -> bool:
        return self.answers()

    def crash(self) -> None:
        """Kill it when its queues are on disk.

        A quorum queue's name gets there half a second after its declaration. RabbitMQ
        3.10 keeps a queue that lost its name, and nobody can consume it ever again.
        """
        time.sleep(1)
        self.kill()

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
        open_url(request, 10, self.state.tls).close()

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
